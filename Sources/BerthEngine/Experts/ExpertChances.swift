// How likely each expert is to be wanted next.

import BerthCore
import BerthModels

/// Decayed counts per expert. Engine thread only.
final class ExpertChances {
    /// Who comes first leaves first.
    struct Order: Comparable {
        /// Chance, or the time of the last use.
        let worth: Double
        /// Layers until this one's turn: of two equals the later leaves.
        let distance: Int
        static func < (left: Order, right: Order) -> Bool { left.worth != right.worth ? left.worth < right.worth : left.distance > right.distance }
    }

    private let layers: Int, expertsPerLayer: Int
    private let isRoutingAware: Bool
    private var counts: [Double]
    private var lastUse: [UInt64]
    private var tick: UInt64 = 0
    private let decay = 0.84

    init(layers: Int, expertsPerLayer: Int, isRoutingAware: Bool) {
        self.layers = layers
        self.expertsPerLayer = expertsPerLayer
        self.isRoutingAware = isRoutingAware
        counts = Array(repeating: 0, count: layers * expertsPerLayer)
        lastUse = Array(repeating: 0, count: layers * expertsPerLayer)
    }

    func beginStep(_ requests: [RequestID]) {}
    func requestEnded(_ request: RequestID) {}
    func endLayer(_ layer: Int) {}

    func note(layer: Int, _ demand: ExpertDemand, _ sequences: [Range<Int>]) {
        let first = layer * expertsPerLayer
        for index in first..<first + expertsPerLayer { counts[index] *= decay }
        tick += 1
        for (expert, _) in demand.active {
            counts[first + expert] += 1 - decay
            lastUse[first + expert] = tick
        }
    }

    func chance(of index: Int) -> Double { min(1, counts[index]) }

    func order(of index: Int, from layer: Int) -> Order {
        let distance = (index / expertsPerLayer - layer - 1 + layers) % layers
        return Order(worth: isRoutingAware ? counts[index] : Double(lastUse[index]), distance: distance)
    }
}
