// Costs of a model, or of a machine, that nobody has measured.
//
// A measured table of passes is taken apart into what a pass of one row takes, which is the reading of the weights, and what further rows add, which is their
// arithmetic. The first part goes with the bytes and the memory's bandwidth, the second with the weights and the arithmetic per second; so does the head.
// Attention goes with the width of the queries and the arithmetic: no measured attention came near the bandwidth. Adapters go with their bytes (each) and their
// weights (each row). Experts cost the reading of their bytes, and for each row their arithmetic, as the passes have them. What the engine and the daemon take stays as
// it is. Where shape and machine are the measured ones, all of it gives back what was measured.

/// How much faster than the measured machine another one is.
public struct SpeedUp: Sendable, Equatable {
    public var bandwidth = 1.0
    public var operations = 1.0

    public init(bandwidth: Double = 1, operations: Double = 1) {
        self.bandwidth = bandwidth
        self.operations = operations
    }
}

extension StepCosts {
    /// Adapters that costs were measured with are taken for such of this rank, on all linear modules.
    public static let measuredRank = 16

    /// What the measured machine reaches: bytes of weights per second for one row, and operations per second for many.
    public func speeds(of shape: ModelShape) -> (bytes: Double, operations: Double) {
        let first = passes.points[0], last = passes.points[passes.points.count - 1]
        let added = last.nanoseconds - first.nanoseconds
        let perRow = added > 0 ? added / Double(last.rows - first.rows) : last.nanoseconds / Double(last.rows)
        return (shape.layerBytes / max(first.nanoseconds, 1e-3) * 1e9, 2 * shape.layerWeights / max(perRow, 1e-3) * 1e9)
    }

    /// - Parameters:
    ///   - measured: the shape of the model that these costs are of.
    ///   - rank: of the other model's adapters.
    public func extrapolated(from measured: ModelShape, to shape: ModelShape, rank: Int, _ speedUp: SpeedUp = SpeedUp()) -> StepCosts {
        let (weights, head) = (shape.layerWeights / measured.layerWeights, shape.headWeights / measured.headWeights)
        let perWeight = shape.bytesPerWeight / measured.bytesPerWeight
        var costs = self
        costs.passes = passes.scaled(first: weights * perWeight, rest: weights)
        costs.logits = logits.scaled(first: head * perWeight, rest: head)
        let attention = shape.attentionWidth / measured.attentionWidth
        costs.attendedByPrompt *= attention
        costs.attendedByStream *= attention
        costs.adapter *= shape.adapterBytes(rank: rank) / measured.adapterBytes(rank: Self.measuredRank)
        costs.adapterRow *= shape.adapterWeights * Double(rank) / (measured.adapterWeights * Double(Self.measuredRank))
        if let experts = shape.experts {
            let speeds = speeds(of: measured)
            costs.expert = experts.weights * shape.bytesPerWeight / speeds.bytes * 1e9
            costs.expertRow = 2 * experts.weights / speeds.operations * 1e9
        }
        return costs.sped(speedUp)
    }

    /// The same model on a faster machine.
    func sped(_ speedUp: SpeedUp) -> StepCosts {
        let (first, rest) = (1 / speedUp.bandwidth, 1 / speedUp.operations)
        var costs = self
        (costs.passes, costs.logits) = (passes.scaled(first: first, rest: rest), logits.scaled(first: first, rest: rest))
        costs.adapter /= speedUp.bandwidth
        costs.expert /= speedUp.bandwidth
        for price in [\StepCosts.attendedByPrompt, \.attendedByStream, \.adapterRow, \.expertRow] { costs[keyPath: price] /= speedUp.operations }
        return costs
    }
}

extension CostTable {
    /// What the first point takes, and what further rows add to it, so many times each.
    fileprivate func scaled(first: Double, rest: Double) -> CostTable {
        let start = points[0].nanoseconds
        return CostTable(points.map { .init(rows: $0.rows, nanoseconds: start * first + ($0.nanoseconds - start) * rest) })
    }
}
