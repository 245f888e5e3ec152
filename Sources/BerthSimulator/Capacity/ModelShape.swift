// What of a model's sizes its costs depend on.
//
// Prices that were measured on one model hold for another one in proportion to these numbers (`StepCosts+Extrapolation.swift`).

import BerthCore
import BerthModels

/// Counts of weights; a pure value.
public struct ModelShape: Sendable, Equatable {
    public struct Experts: Sendable, Equatable {
        /// Layers that have them, experts of one, and choices of a row.
        public var layers: Int
        public var count: Int
        public var chosen: Int
        /// Of one expert.
        public var weights: Double
    }

    public var format: WeightFormat
    /// Of the matrices of all layers that every row passes: all but the experts.
    public var layerWeights: Double
    public var headWeights: Double
    /// Numbers of a query over all heads and layers: what a pair of tokens costs goes with them.
    public var attentionWidth: Double
    /// Of an adapter of rank 1 on all linear modules. Experts have none.
    public var adapterWeights: Double
    public var experts: Experts?

    public init(_ c: ModelConfiguration, format: WeightFormat) {
        self.format = format
        func matrix(_ inputs: Int, _ outputs: Int) -> Double { Double(inputs) * Double(outputs) }
        (layerWeights, adapterWeights) = (0, 0)
        func rankRows(_ sizes: [(Int, Int)]) -> Double { sizes.reduce(0) { $0 + Double($1.0 + $1.1) } }
        for layer in c.layers {
            let attention = [(c.hiddenSize, c.queryWidth), (c.hiddenSize, c.kvWidth), (c.hiddenSize, c.kvWidth), (c.queryWidth, c.hiddenSize)]
            var adapted = attention
            switch layer.feedForward {
            case .dense(let width): adapted += [(c.hiddenSize, width), (c.hiddenSize, width), (width, c.hiddenSize)]
            case .experts(let mixture):
                layerWeights += matrix(c.hiddenSize, mixture.count) + 3 * matrix(c.hiddenSize, mixture.sharedIntermediateSize ?? 0)
                let layers = (experts?.layers ?? 0) + 1
                experts = Experts(layers: layers, count: mixture.count, chosen: mixture.chosen, weights: 3 * matrix(c.hiddenSize, mixture.intermediateSize))
            }
            layerWeights += adapted.reduce(0) { $0 + matrix($1.0, $1.1) }
            adapterWeights += rankRows(adapted)
        }
        headWeights = matrix(c.hiddenSize, c.vocabularySize)
        attentionWidth = Double(c.queryWidth) * Double(c.layers.count)
    }

    /// Of one weight, with its share of a scale.
    public var bytesPerWeight: Double {
        switch format {
        case .f32: 4
        case .bf16: 2
        case .int8: 1.0625
        case .int4: 0.5625
        }
    }

    /// That a pass reads, without experts and head.
    public var layerBytes: Double { layerWeights * bytesPerWeight }
    /// An adapter in memory and on disk: its factors in 16 bits, in 32 beside f32 weights.
    public func adapterBytes(rank: Int) -> Double { adapterWeights * Double(rank) * (format == .f32 ? 4 : 2) }
    /// Of all weights, and of those that a row passes.
    public var allWeights: Double { layerWeights + headWeights + (experts.map { Double($0.layers * $0.count) * $0.weights } ?? 0) }
    public var activeWeights: Double { layerWeights + headWeights + (experts.map { Double($0.layers * $0.chosen) * $0.weights } ?? 0) }
}
