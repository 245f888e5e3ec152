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
    /// The same, and a layer whose SCH is above the mean keeps its experts longer: small caches pay where routing is consistent.
    case consistent(halfLife: Double)
    /// The same, and an expert that nobody wanted of late is wanted as often as its layer takes such: the marginal gain of a slot. Large caches
    /// have room for what comes back late, and it comes back most where routing is least consistent.
    case marginal(halfLife: Double)
    /// The same, and strangers are expected to want what all rows of late wanted: many short requests leave before much is known of each, and some
    /// experts are popular with all of them.
    case popular(halfLife: Double)

    public var description: String {
        switch self {
        case .lru: "lru"
        case .lruLayered: "lru-layered"
        case .decayed(let halfLife): "decayed-\(Self.text(halfLife))"
        case .consistent(let halfLife): "consistent-\(Self.text(halfLife))"
        case .marginal(let halfLife): "marginal-\(Self.text(halfLife))"
        case .popular(let halfLife): "popular-\(Self.text(halfLife))"
        }
    }

    /// The half-life of the counts that it needs, in rows; nil where it needs none.
    var halfLife: Double? {
        switch self {
        case .lru, .lruLayered: nil
        case .decayed(let halfLife), .consistent(let halfLife), .marginal(let halfLife), .popular(let halfLife): halfLife
        }
    }

    private static func text(_ halfLife: Double) -> String { halfLife == halfLife.rounded() ? String(Int(halfLife)) : String(halfLife) }
}

/// What rules know beside the requests' counts.
struct Knowledge {
    let outlook: ExpertOutlook
    let consistency: RoutingConsistency
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
    /// What is believed of a layer's `strangerChance`: an expert that was not wanted in a segment is not wanted for longer, too.
    private static let strangerTrust = 0.5

    /// - Parameter history: the counts of the rule's half-life, which rules share; whoever owns them keeps them up to date.
    init(_ scoring: ExpertScoring, shape: ExpertShape, history: RequestHistory?) {
        precondition(history?.halfLife == scoring.halfLife, "counts of another half-life")
        (self.scoring, self.shape, self.history) = (scoring, shape, history)
        own = Array(repeating: history == nil ? 0 : -1 / Self.leastChance, count: shape.count)
        none = Array(repeating: 1, count: (0..<shape.layers).map(shape.experts(in:)).max() ?? 0)
    }

    /// Scores a layer's experts anew after its choices were counted.
    func note(_ use: LayerUse, _ knowledge: Knowledge, _ position: PassPosition) {
        let start = shape.range(of: use.layer).lowerBound
        switch scoring {
        case .lru: for expert in use.experts { own[start + expert] = Double(position.turns) }
        case .lruLayered: for expert in use.experts { own[start + expert] = Double(position.step) }
        case .decayed, .consistent, .marginal, .popular: score(use.layer, knowledge, turnIsOver: true, position)
        }
    }

    /// Scores a layer's experts from the counts as they are, for what changed beside its turn.
    func rescore(_ layer: Int, _ knowledge: Knowledge, _ position: PassPosition) {
        guard history != nil else { return }
        score(layer, knowledge, turnIsOver: layer <= position.layer, position)
    }

    /// Comparable over the layers: the least leaves first.
    @inline(__always) func total(_ own: Double, distance: Int) -> Double {
        switch scoring {
        case .lru: own
        case .lruLayered: own - Double(distance) / Double(shape.layers + 1)
        case .decayed, .consistent, .marginal, .popular: Double(shape.layers) * own - Double(distance)
        }
    }

    /// The chance that the expert is wanted soon: 1 for one that the next layer wants for certain, about 1/n for one that is wanted in n steps.
    func chance(_ index: Int, layer: Int, _ position: PassPosition) -> Double {
        let distance = position.distance(to: layer)
        let passes =
            switch scoring {
            case .lru: Double(position.turns) - own[index]
            case .lruLayered: Double(position.step * shape.layers) - total(own[index], distance: distance) * Double(shape.layers)
            case .decayed, .consistent, .marginal, .popular: -total(own[index], distance: distance)
            }
        return 1 / (1 + max(0, passes - 1) / Double(shape.layers))
    }

    /// With the chance p at each turn, the next use is expected after 1/p − 1 more turns of the layer than its next.
    private func score(_ layer: Int, _ knowledge: Knowledge, turnIsOver: Bool, _ position: PassPosition) {
        let outlook = knowledge.outlook
        let range = shape.range(of: layer)
        history!.chanceOfNone(in: layer, into: &none)
        let nextTurn = turnIsOver ? position.step + 1 : position.step
        var (factor, floor, strangers) = (1.0, 0.0, Self.strangerWeight)
        switch scoring {
        case .lru, .lruLayered, .decayed: break
        case .consistent: factor += knowledge.consistency.advantage(of: layer)
        case .marginal: floor = Self.strangerTrust * knowledge.consistency.layers[layer].strangerChance
        case .popular: strangers = 1
        }
        own.withUnsafeMutableBufferPointer { own in
            outlook.popularity.withUnsafeBufferPointer { popularity in
                for index in range {
                    let none = Double(none[index - range.lowerBound])
                    var chance = 1 - none * (1 - strangers * Double(popularity[index])) * (1 - floor)
                    if floor == 0 { chance = max(chance, outlook.recencyChance(index, nextTurn: nextTurn)) }
                    own[index] = 1 - 1 / min(1, max(chance * factor, Self.leastChance))
                }
            }
        }
        guard outlook.knowsFuture else { return }
        for index in range {
            own[index] = -outlook.turnsUntilUse(index, nextTurn: nextTurn, estimate: -own[index])
        }
    }
}
