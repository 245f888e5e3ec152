// How a policy orders experts.
//
// A score has two parts. The one kept per expert changes only at the turn of its layer (and when a request ends), so that within a layer
// the cheapest resident expert stays the same between turns; the other is the layer's distance, common to all its experts.
// Choosing a victim then takes one look at each layer's cheapest, not at every expert.

/// What decides which expert leaves.
public enum ExpertScoring: Hashable, Sendable, CustomStringConvertible {
    /// Longest unused, over all layers.
    case lru
    /// Longest unused in steps; of one step's, the expert whose layer comes round last. A pass is a cycle, and plain recency
    /// throws out just what the next layers want.
    case lruLayered
    /// Farthest expected next use, from the requests' decayed counts of this half-life in rows.
    case decayed(halfLife: Double)

    public var description: String {
        switch self {
        case .lru: "lru"
        case .lruLayered: "lru-layered"
        case .decayed(let halfLife): "decayed-\(halfLife == halfLife.rounded() ? String(Int(halfLife)) : String(halfLife))"
        }
    }
}

/// The scores of all experts by one rule, resident or not; caches of any size share it.
final class ExpertScores {
    let scoring: ExpertScoring
    private let shape: ExpertShape
    private let history: RequestHistory?
    /// The expert's own part: the least leaves first, within a layer.
    private(set) var own: [Double]
    private var none: [Float]

    /// An expert that no running request has used is wanted by one row in so many at most, in proportion to its popularity.
    private static let strangerWeight = 1.0 / 256
    private static let leastChance = 1e-9

    init(_ scoring: ExpertScoring, shape: ExpertShape) {
        (self.scoring, self.shape) = (scoring, shape)
        if case .decayed(let halfLife) = scoring { history = RequestHistory(shape: shape, halfLife: halfLife) } else { history = nil }
        own = Array(repeating: history == nil ? 0 : -1 / Self.leastChance, count: shape.count)
        none = Array(repeating: 1, count: (0..<shape.layers).map(shape.experts(in:)).max() ?? 0)
    }

    /// Counts a layer's choices and scores its experts anew.
    func note(_ use: LayerUse, _ outlook: ExpertOutlook, _ position: PassPosition) {
        let start = shape.range(of: use.layer).lowerBound
        switch scoring {
        case .lru: for expert in use.experts { own[start + expert] = Double(position.turns) }
        case .lruLayered: for expert in use.experts { own[start + expert] = Double(position.step) }
        case .decayed:
            history!.note(use)
            score(use.layer, outlook, turnIsOver: true, position)
        }
    }

    /// Forgets a request; every layer's scores change with it.
    func end(_ slot: Int) { history?.end(slot) }

    /// Scores a layer's experts from the counts as they are, for what changed beside its turn.
    func rescore(_ layer: Int, _ outlook: ExpertOutlook, _ position: PassPosition) {
        guard history != nil else { return }
        score(layer, outlook, turnIsOver: layer <= position.layer, position)
    }

    /// Comparable over the layers: the least leaves first.
    @inline(__always) func total(_ own: Double, distance: Int) -> Double {
        switch scoring {
        case .lru: own
        case .lruLayered: own - Double(distance) / Double(shape.layers + 1)
        case .decayed: Double(shape.layers) * own - Double(distance)
        }
    }

    /// The chance that the expert is wanted soon: 1 for one that the next layer wants for certain, about 1/n for one that is wanted in n steps.
    func chance(_ index: Int, layer: Int, _ position: PassPosition) -> Double {
        let distance = position.distance(to: layer)
        let passes =
            switch scoring {
            case .lru: Double(position.turns) - own[index]
            case .lruLayered: Double(position.step * shape.layers) - total(own[index], distance: distance) * Double(shape.layers)
            case .decayed: -total(own[index], distance: distance)
            }
        return 1 / (1 + max(0, passes - 1) / Double(shape.layers))
    }

    /// With the chance p at each turn, the next use is expected after 1/p − 1 more turns of the layer than its next.
    private func score(_ layer: Int, _ outlook: ExpertOutlook, turnIsOver: Bool, _ position: PassPosition) {
        let range = shape.range(of: layer)
        history!.chanceOfNone(in: layer, into: &none)
        let nextTurn = turnIsOver ? position.step + 1 : position.step
        own.withUnsafeMutableBufferPointer { own in
            outlook.popularity.withUnsafeBufferPointer { popularity in
                for index in range {
                    let none = Double(none[index - range.lowerBound])
                    let chance = 1 - none * (1 - Self.strangerWeight * Double(popularity[index]))
                    own[index] = 1 - 1 / max(chance, Self.leastChance)
                }
            }
        }
        guard outlook.knowsFuture else { return }
        for index in range {
            own[index] = -outlook.turnsUntilUse(index, nextTurn: nextTurn, estimate: -own[index])
        }
    }
}
