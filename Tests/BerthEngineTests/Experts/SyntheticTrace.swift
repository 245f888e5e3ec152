// Routing with the properties that policies live on: topics, plain popularity, none, and recency's best case.

import BerthCore
import BerthEngine

enum TraceShape: CaseIterable {
    /// Runs of rows that prefer some experts, then others.
    case topics
    /// A few experts are popular for good.
    case popular
    case uniform
    /// Rows want what was wanted a few rows before, whatever that was.
    case recent
    /// Every other layer has topics, the others nothing to hold on to.
    case mixed

    func trace(steps: Int, layers: Int, experts: Int, chosen: Int, seed: UInt64) -> SyntheticTrace {
        var random = RandomSource(seed: seed)
        var trace = SyntheticTrace(layers: layers, experts: experts, steps: [])
        var topic = 0
        for step in 0..<steps {
            if random.unit() < 0.05 { topic = Int.random(in: 0..<16, using: &random) }
            trace.steps.append(
                (0..<layers).map { layer in
                    var row: [Int32] = []
                    while row.count < chosen {
                        let pick: Int
                        switch self == .mixed ? (layer % 2 == 0 ? .topics : .uniform) : self {
                        case .uniform: pick = Int.random(in: 0..<experts, using: &random)
                        case .popular:
                            let unit = random.unit()
                            pick = Int(unit * unit * unit * Double(experts))
                        case .topics:
                            let wanders = random.unit() < 0.3
                            pick = wanders ? Int.random(in: 0..<experts, using: &random) : (topic * 7 + layer * 5 + Int.random(in: 0..<(chosen + 1), using: &random)) % experts
                        case .mixed: preconditionFailure("a layer is one or the other")
                        case .recent:
                            let back = Int.random(in: 1...6, using: &random)
                            let repeats = step >= back && random.unit() < 0.8
                            pick = repeats ? Int(trace.steps[step - back][layer].randomElement(using: &random)!) : Int.random(in: 0..<experts, using: &random)
                        }
                        if !row.contains(Int32(pick)) { row.append(Int32(pick)) } else if self != .uniform, self != .mixed || layer % 2 == 0 { row.append(free(row, experts, &random)) }
                    }
                    return row
                })
        }
        return trace
    }

    private func free(_ row: [Int32], _ experts: Int, _ random: inout RandomSource) -> Int32 {
        while true {
            let pick = Int32.random(in: 0..<Int32(experts), using: &random)
            if !row.contains(pick) { return pick }
        }
    }
}

/// Choices of one request at a time: by step, by layer.
struct SyntheticTrace {
    var layers: Int
    var experts: Int
    var steps: [[[Int32]]]

    /// `requestSteps`: a request ends after so many, and another begins.
    func hitRate(_ kind: ExpertPolicy.Kind, capacity: Int, requestSteps: Int = .max) -> Double {
        let policy = ExpertPolicy(shape: ExpertShape(layers: layers, experts: experts), kind: kind, capacity: capacity)
        var (hits, wanted) = (0, 0)
        for (number, step) in steps.enumerated() {
            if number % requestSteps == 0 { policy.requestEnded(0) }
            policy.beginStep()
            for (layer, row) in step.enumerated() {
                policy.noteUse(layer: layer, choices: row, slots: [0])
                let keys = row.map { ExpertKey(layer: layer, expert: Int($0)) }
                for key in keys { policy.hold(key) }
                for key in keys {
                    wanted += 1
                    guard !policy.isResident(key) else {
                        hits += 1
                        continue
                    }
                    if policy.residentCount == capacity, let victim = policy.victim() { policy.left(victim) }
                    policy.becameResident(key)
                }
                for key in keys { policy.release(key) }
            }
        }
        return Double(hits) / Double(wanted)
    }
}
