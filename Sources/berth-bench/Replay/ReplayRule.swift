// The rules that a replay compares, and one run of one of them.

import BerthCore
import BerthEngine

enum ReplayRule: Equatable {
    /// The published ones; the victim is the resident expert with the least priority.
    case lru, lfu, gdsf, markAndPredict, belady
    /// Of the engine. `lookAhead`: the uses of so many steps, the present one included, are announced.
    case policy(ExpertPolicy.Kind, lookAhead: Int = 0)

    var name: String {
        switch self {
        case .lru: "LRU"
        case .lfu: "LFU"
        case .gdsf: "GDSF"
        case .markAndPredict: "mark-and-predict"
        case .belady: "Belady"
        case .policy(.adaptive, let steps): "adaptive" + (steps > 0 ? ", \(steps) steps known" : "")
        case .policy(.fixed(let scoring), let steps): scoring.description + (steps > 0 ? ", \(steps) steps known" : "")
        }
    }

    static let all: [ReplayRule] =
        [.lru, .lfu, .gdsf, .markAndPredict] + ExpertPolicy.candidates.filter { $0 != .lru }.map { .policy(.fixed($0)) }
        + [.policy(.adaptive), .policy(.adaptive, lookAhead: 2), .policy(.adaptive, lookAhead: 4), .belady]

    /// Experts found resident and experts wanted, each counted once per turn, every input from an empty cache.
    func run(_ trace: RoutingTrace, capacity: Int, seed: UInt64) -> (hits: Int, wanted: Int) {
        var (hits, wanted) = (0, 0)
        for input in trace.inputs {
            wanted += input.reduce(0) { $0 + $1.wanted.count }
            switch self {
            case .policy(let kind, let steps): hits += Self.run(kind, steps, input, trace.shape, capacity)
            default: hits += PublishedCache(self, input, experts: trace.shape.count, capacity: capacity, seed: seed).hits()
            }
        }
        return (hits, wanted)
    }

    private static func run(_ kind: ExpertPolicy.Kind, _ lookAhead: Int, _ input: [RoutingTrace.Turn], _ shape: ExpertShape, _ capacity: Int) -> Int {
        let policy = ExpertPolicy(shape: shape, kind: kind, capacity: capacity)
        var hits = 0
        var step: Int?
        for (number, turn) in input.enumerated() {
            for slot in turn.ended { policy.requestEnded(slot) }
            if turn.step != step {
                policy.beginStep()
                step = turn.step
                if lookAhead > 0 { announce(policy, input[number...], lookAhead) }
            }
            policy.noteUse(layer: turn.layer, choices: turn.choices, slots: turn.slots)
            let keys = turn.wanted.map(shape.key(at:))
            for key in keys { policy.hold(key) }
            for key in keys {
                guard !policy.isResident(key) else {
                    hits += 1
                    continue
                }
                if policy.residentCount >= capacity {
                    guard let victim = policy.victim() else { continue }
                    policy.left(victim)
                }
                policy.becameResident(key)
            }
            for key in keys { policy.release(key) }
        }
        return hits
    }

    private static func announce(_ policy: ExpertPolicy, _ rest: ArraySlice<RoutingTrace.Turn>, _ steps: Int) {
        guard let first = rest.first?.step else { return }
        for turn in rest {
            guard turn.step - first < steps else { break }
            policy.expect(layer: turn.layer, experts: turn.wanted.map { Int(policy.shape.key(at: $0).expert) }, inSteps: turn.step - first)
        }
        policy.expectNothingElse(forSteps: steps - 1)
    }
}
