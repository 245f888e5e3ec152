// What a replay of the pool's caches consists of: requests, one after the other, with what they would find if it were still there.

import BerthCore
import BerthEngine

/// One request.
struct CacheUse {
    /// Its prompt, a number for each block of tokens: two that begin with the same numbers share them.
    var blocks: [Int32]
    /// A number of the workload's adapters.
    var adapter: Int?
    /// Steps of the engine in which it runs, and in which nothing is wanted before it comes.
    var steps = 16
    var pause = 0
}

/// A seeded sequence of requests, and what things cost in it.
struct CacheWorkload {
    var name: String
    var costs: ReplayedPool.Costs
    /// By number: pages.
    var adapters: [Int] = []
    var uses: [CacheUse] = []
    /// Pages of different objects differ in what they cost to bring back.
    var costsDiffer: Bool { !adapters.isEmpty && abs(costs.adapterPage / blockSeconds(at: 0) - 1) > 0.01 || costs.tokenSlope > 0 }

    /// Few, so that a replay is quick: blocks are what counts.
    static let blockTokens = 4

    func blockSeconds(at index: Int) -> Double { Double(Self.blockTokens) * costs.token(after: index * Self.blockTokens) }
    func adapterSeconds(_ adapter: Int) -> Double { costs.adapterPage * Double(adapters[adapter]) }

    /// What the requests would take with nothing cached, in seconds.
    var seconds: Double {
        uses.reduce(0) { sum, use in sum + use.blocks.indices.reduce(use.adapter.map(adapterSeconds) ?? 0) { $0 + blockSeconds(at: $1) } }
    }

    /// Pages that the largest request needs.
    var leastPages: Int { uses.reduce(1) { max($0, $1.blocks.count + ($1.adapter.map { adapters[$0] } ?? 0)) } }

    /// Pages of what at least two requests use: a pool of that size could have all hits that there are.
    var reusedPages: Int {
        var uses: [[Int32]: Int] = [:], adapterUses = Array(repeating: 0, count: adapters.count)
        // A block is known by its number and its scope; what stands before it goes without saying.
        for use in self.uses {
            if let adapter = use.adapter { adapterUses[adapter] += 1 }
            for block in use.blocks { uses[[Int32(use.adapter ?? -1), block], default: 0] += 1 }
        }
        return uses.values.count { $0 > 1 } + zip(adapters, adapterUses).reduce(0) { $0 + ($1.1 > 1 ? $1.0 : 0) }
    }
}
