// The policies by their definitions: every row is kept, and every question goes through all of them.

import BerthEngine
import Glibc

struct NaivePolicy {
    struct Row {
        var slot: Int
        var step: Int
        var turn: Int
        var experts: [Int]
    }

    let scoring: ExpertScoring
    let layers: Int
    let experts: Int
    /// By layer, in the order in which they ran.
    var rows: [[Row]]
    var ended: Set<Int> = []
    var step = 0
    var turn = 0
    var layer = -1
    /// Step and expert of every use that was announced, by layer.
    var expected: [[(step: Int, expert: Int)]]
    var horizon = -1

    init(_ scoring: ExpertScoring, layers: Int, experts: Int) {
        (self.scoring, self.layers, self.experts) = (scoring, layers, experts)
        rows = Array(repeating: [], count: layers)
        expected = Array(repeating: [], count: layers)
    }

    /// More is worse: the expert to let go is the one with the most.
    func badness(_ of: (layer: Int, expert: Int)) -> Double {
        let distance = of.layer > layer ? of.layer - layer : of.layer - layer + layers
        let users = rows[of.layer].filter { $0.experts.contains(of.expert) }
        switch scoring {
        case .lru: return -Double(users.map(\.turn).max() ?? 0)
        case .lruLayered: return -Double(users.map(\.step).max() ?? 0) + Double(distance) / Double(layers + 1)
        case .consistent, .marginal, .popular: preconditionFailure("judged by what they hit")
        case .decayed(let halfLife):
            var none = 1.0
            for slot in Set(rows[of.layer].map(\.slot)).subtracting(ended) { none *= 1 - share(of, rows[of.layer].filter { $0.slot == slot }, halfLife) }
            let nextTurn = of.layer <= layer ? step + 1 : step
            let recency = users.map(\.step).max().map { 2 / Double(32 + nextTurn - 1 - $0) } ?? 0
            let chance = max(1 - none * (1 - share(of, rows[of.layer], 512) / 256), recency, 1e-9)
            var turns = max(1 / chance - 1, Double(horizon + 1 - nextTurn))
            if let known = expected[of.layer].filter({ $0.expert == of.expert && $0.step >= nextTurn }).map(\.step).min() {
                turns = min(Double(known - nextTurn), turns)
            }
            return Double(distance) + Double(layers) * turns
        }
    }

    /// Steps weigh as a whole: the rows of one step are spread evenly over it.
    private func share(_ of: (layer: Int, expert: Int), _ rows: [Row], _ halfLife: Double) -> Double {
        var share = 0.0
        for step in Set(rows.map(\.step)).sorted() {
            let now = rows.filter { $0.step == step }
            let kept = exp2(-Double(now.count) / halfLife)
            share = share * kept + (1 - kept) * Double(now.count { $0.experts.contains(of.expert) }) / Double(now.count)
        }
        return share
    }
}
