// A recorded routing, from either form: an archive of arrays (.npz) with `routes` [inputs, rows, layers, k] and `experts`, or what the
// daemon's `--record-routing` writes.

import BerthCore
import BerthEngine

struct RoutingTrace {
    /// One layer's turn in one step.
    struct Turn {
        var step: Int
        var layer: Int
        var slots: [Int32]
        var choices: [Int32]
        /// The experts wanted, once each, by dense index.
        var wanted: [Int]
        /// Requests that ended before this turn.
        var ended: [Int] = []
    }

    var shape: ExpertShape
    /// Each begins with an empty cache.
    var inputs: [[Turn]]

    init(shape: ExpertShape, inputs: [[Turn]]) { (self.shape, self.inputs) = (shape, inputs) }

    init(file path: String) throws {
        let bytes = try Self.contents(of: path)
        if bytes.starts(with: [0x50, 0x4b]) {
            try self.init(archive: NumPyArchive(bytes, path: path), path: path)
        } else {
            try self.init(recording: bytes, path: path)
        }
        guard inputs.contains(where: { !$0.isEmpty }) else { throw BenchError("\(path) holds no routing") }
    }

    static func turn(step: Int, layer: Int, slots: [Int32], choices: [Int32], _ shape: ExpertShape) -> Turn {
        var wanted: [Int] = []
        for choice in choices {
            let index = shape.index(layer, Int(choice))
            if !wanted.contains(index) { wanted.append(index) }
        }
        return Turn(step: step, layer: layer, slots: slots, choices: choices, wanted: wanted)
    }

    // MARK: - archive

    private init(archive: NumPyArchive, path: String) throws {
        let routes = try archive.array("routes")
        let experts = try archive.array("experts")
        guard routes.shape.count == 4, let count = experts.values.first, experts.values.count == 1, (1...Limits.expertsPerLayer).contains(count) else {
            throw BenchError("\(path): routes has to be [inputs, rows, layers, k], and experts one number")
        }
        let (rows, layers, perRow) = (routes.shape[1], routes.shape[2], routes.shape[3])
        guard (1...Limits.modelLayers).contains(layers), (1...Limits.chosenExperts).contains(perRow) else { throw BenchError("\(path): \(layers) layers with \(perRow) experts per row") }
        guard routes.values.allSatisfy({ (0..<count).contains($0) }) else { throw BenchError("\(path): a choice is none of the \(count) experts") }
        let shape = ExpertShape(layers: layers, experts: count)
        let inputs = (0..<routes.shape[0]).map { input in
            (0..<rows * layers).map { turn in
                let start = (input * rows * layers + turn) * perRow
                return Self.turn(step: turn / layers + 1, layer: turn % layers, slots: [0], choices: routes.values[start..<start + perRow].map(Int32.init), shape)
            }
        }
        self.init(shape: shape, inputs: inputs)
    }

    // MARK: - recording

    private init(recording bytes: [UInt8], path: String) throws {
        guard let newline = bytes.prefix(1 << 16).firstIndex(of: 10), let head = try? JSON(parsing: Array(bytes[..<newline])),
            head["format"]?.string == RoutingRecorder.format, let list = head["experts"]?.array
        else { throw BenchError("\(path) is neither an .npz archive nor a recorded routing") }
        let experts = list.compactMap(\.int).filter { (1...Limits.expertsPerLayer).contains($0) }
        guard experts.count == list.count, (1...Limits.modelLayers).contains(experts.count) else { throw BenchError("\(path): impossible counts of experts") }
        let shape = ExpertShape(expertsPerLayer: experts)
        var reader = LittleEndianReader(bytes, at: newline + 1)
        var turns: [Turn] = []
        var ended: [Int] = []
        // A daemon that was killed leaves half a record at the end: what is whole counts.
        while let step = reader.next(UInt32.self), let layer = reader.next(UInt16.self), let perRow = reader.next(UInt16.self), let rows = reader.next(UInt32.self),
            let slots = reader.next(UInt32.self, count: Int(rows)), let choices = reader.next(UInt16.self, count: Int(rows) * Int(perRow))
        {
            guard slots.allSatisfy({ $0 < 1 << 20 }) else { throw BenchError("\(path): a request has an impossible slot") }
            if layer == RoutingRecorder.endOfRequest {
                ended += slots.map(Int.init)
                continue
            }
            guard Int(layer) < shape.layers, rows > 0, choices.allSatisfy({ Int($0) < shape.experts(in: Int(layer)) }) else {
                throw BenchError("\(path): step \(step) names a layer or an expert that the model does not have")
            }
            turns.append(Self.turn(step: Int(step), layer: Int(layer), slots: slots.map(Int32.init), choices: choices.map(Int32.init), shape))
            turns[turns.count - 1].ended = ended
            ended = []
        }
        self.init(shape: shape, inputs: [turns])
    }
}

/// Numbers of a byte string, one after another; nil where it ends.
struct LittleEndianReader {
    private let bytes: [UInt8]
    private(set) var offset: Int

    init(_ bytes: [UInt8], at offset: Int) { (self.bytes, self.offset) = (bytes, offset) }

    mutating func next<I: FixedWidthInteger & UnsignedInteger>(_: I.Type) -> I? {
        guard bytes.count - offset >= I.bitWidth / 8 else { return nil }
        defer { offset += I.bitWidth / 8 }
        return bytes[offset..<offset + I.bitWidth / 8].reversed().reduce(0) { $0 << 8 | I($1) }
    }

    mutating func next<I: FixedWidthInteger & UnsignedInteger>(_: I.Type, count: Int) -> [I]? {
        guard count <= (bytes.count - offset) / (I.bitWidth / 8) else { return nil }
        return (0..<count).compactMap { _ in next(I.self) }
    }
}
