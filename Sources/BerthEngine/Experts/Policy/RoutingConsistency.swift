// Local routing consistency of all layers, on whichever request is being followed.

public struct RoutingConsistency: Sendable {
    public private(set) var layers: [LayerConsistency]
    /// The request whose rows are measured, until it ends: segments are of consecutive rows.
    private var followed: Int32?

    init(shape: ExpertShape) { layers = (0..<shape.layers).map { LayerConsistency(experts: shape.experts(in: $0)) } }

    /// How far the layer's SCH is above the mean of all: what a layer holds on to is used again sooner there.
    func advantage(of layer: Int) -> Double {
        guard let own = layers[layer].sch else { return 0 }
        var (sum, count) = (0.0, 0.0)
        for layer in layers {
            if let sch = layer.sch { (sum, count) = (sum + sch, count + 1) }
        }
        return own - sum / count
    }

    mutating func note(layer: Int, choices: UnsafeBufferPointer<Int32>, slots: UnsafeBufferPointer<Int32>) {
        guard !slots.isEmpty else { return }
        if followed == nil { followed = slots[0] }
        let perRow = choices.count / slots.count
        for row in slots.indices where slots[row] == followed { layers[layer].note(choices[(row * perRow)..<((row + 1) * perRow)]) }
    }

    mutating func requestEnded(_ slot: Int) {
        guard followed == Int32(slot) else { return }
        followed = nil
        for layer in layers.indices { layers[layer].requestEnded() }
    }
}
