// A cache of keys without experts: what a rule would have hit with so many slots, on the live trace.

struct ShadowCache {
    /// Experts that it holds at most.
    var capacity: Int
    private var residents: ResidentSet
    /// Wanted and found, in experts per layer and step, with the older ones counting less.
    private(set) var wanted = 0.0
    private(set) var hits = 0.0

    init(shape: ExpertShape, capacity: Int) {
        self.capacity = capacity
        residents = ResidentSet(shape: shape)
    }

    var hitRate: Double { wanted > 0 ? hits / wanted : 0 }

    /// One layer's turn, after its choices were scored. The experts of the turn do not push out each other; those that find no
    /// room are used and forgotten.
    mutating func turn(_ use: LayerUse, first: Int, by scores: ExpertScores, _ position: PassPosition) {
        residents.rescored(use.layer)
        for expert in use.experts { residents.hold(first + expert, layer: use.layer) }
        while residents.count > capacity, let victim = residents.victim(by: scores, position) {
            residents.remove(victim.index, layer: victim.layer)
        }
        wanted += Double(use.experts.count)
        for expert in use.experts {
            if residents.isResident[first + expert] {
                hits += 1
                continue
            }
            if residents.count >= capacity {
                guard let victim = residents.victim(by: scores, position) else { continue }
                residents.remove(victim.index, layer: victim.layer)
            }
            if residents.count < capacity { residents.insert(first + expert, layer: use.layer) }
        }
        for expert in use.experts { residents.release(first + expert, layer: use.layer) }
    }

    /// Lets what was counted so far weigh less.
    mutating func fade(by kept: Double) {
        wanted *= kept
        hits *= kept
    }

    mutating func rescored(_ layer: Int) { residents.rescored(layer) }
}
