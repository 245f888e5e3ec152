// The routing of a daemon as a file, for `berth-bench replay`.
//
// The first line is JSON: {"format":"berth-routing-1","experts":[64,64,…]}, the experts of each mixture. Records follow, one for each turn of a layer, numbers little-endian:
//
//     u32 step · u16 layer (among mixtures) · u16 k · u32 rows · rows × u32 request slot · rows × k × u16 expert
//
// A request that ends is a record of layer 0xffff with k = 0 and one row. The recorder makes bytes; whoever owns the file writes them.

public struct RoutingRecorder {
    public static let format = "berth-routing-1"
    public static let endOfRequest: UInt16 = 0xffff

    /// What was recorded and not yet taken.
    public private(set) var bytes: [UInt8]

    public init(shape: ExpertShape) {
        let experts = (0..<shape.layers).map { String(shape.experts(in: $0)) }.joined(separator: ",")
        bytes = Array("{\"format\":\"\(Self.format)\",\"experts\":[\(experts)]}\n".utf8)
    }

    /// - Parameters: as of `ExpertPolicy.noteUse`.
    public mutating func turn(step: Int, layer: Int, choices: UnsafeBufferPointer<Int32>, slots: UnsafeBufferPointer<Int32>) {
        guard !slots.isEmpty else { return }
        head(step, UInt16(layer), UInt16(choices.count / slots.count), slots.count)
        for slot in slots { append(UInt32(slot)) }
        for choice in choices { append(UInt16(choice)) }
    }

    public mutating func requestEnded(step: Int, slot: Int) {
        head(step, Self.endOfRequest, 0, 1)
        append(UInt32(slot))
    }

    /// Hands over the recorded bytes; to be written in this order.
    public mutating func take() -> [UInt8] {
        defer { bytes.removeAll(keepingCapacity: false) }
        return bytes
    }

    private mutating func head(_ step: Int, _ layer: UInt16, _ perRow: UInt16, _ rows: Int) {
        append(UInt32(truncatingIfNeeded: step))
        append(layer)
        append(perRow)
        append(UInt32(rows))
    }

    private mutating func append<I: FixedWidthInteger>(_ value: I) {
        withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
    }
}
