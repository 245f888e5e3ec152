// `berth-bench economy`: what the economy of the pool saves on seeded workloads, beside least-recently-used over all objects.

import ArgumentParser
import BerthCore
import BerthEngine

struct EconomyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "economy", abstract: "Replay requests through the pool's economy and through published rules, and compare what their hits save.",
        discussion: """
            Fails where the economy is, in the mean of the seeds, more than half a point below LRU, or, over all sizes of the pool, not above it where \
            pages differ in cost. With few requests a single seed says little: the standard error is printed where there are several.
            """)

    @Option(help: "Requests of each workload.") var requests = 20_000
    @Option(help: "Pools in per cent of the pages of all that a workload uses more than once, comma-separated.") var pools = "2,10,30"
    @Option(help: "Seed of the workloads, or the first of them.") var seed: UInt64 = 1
    @Option(help: "Seeds to take the mean over.") var seeds = 1
    @Option(help: "Only workloads whose name has this in it.") var only = ""
    @Flag(help: "Print JSON instead of a table.") var json = false

    func validate() throws {
        guard (20...10_000_000).contains(requests) else { throw ValidationError("--requests is a number from 20 to 10000000") }
        guard (1...10_000).contains(seeds) else { throw ValidationError("--seeds is a number from 1 to 10000") }
        _ = try ReplayCommand.percentages(pools)
    }

    func run() throws {
        let report = try Self.replay(requests: requests, seeds: (0..<UInt64(seeds)).map { seed &+ $0 }, pools: ReplayCommand.percentages(pools), only: only)
        print(json ? report.json.text : report.table)
        if !report.isKept { throw ExitCode(1) }
    }

    /// The workloads whose name has `only` in it, with each of the seeds.
    static func replay(requests: Int, seeds: [UInt64], pools: [Double], only: String = "") throws -> EconomyReport {
        var lines: [EconomyReport.Line] = []
        for seed in seeds {
            let workloads = CacheWorkload.all(requests: requests, seed: seed).filter { only.isEmpty || $0.name.contains(only) }
            let ofSeed = try workloads.flatMap { try Self.lines(of: $0, pools: pools) }
            if lines.isEmpty { lines = ofSeed } else { for index in lines.indices { lines[index].append(ofSeed[index]) } }
        }
        return EconomyReport(lines: lines)
    }

    /// One workload in each of the pools.
    private static func lines(of workload: CacheWorkload, pools: [Double]) throws -> [EconomyReport.Line] {
        let total = workload.seconds
        func value(_ seconds: Double) -> [Double] { [(1 - seconds / total) * 100] }
        let most = value(PublishedPool(.lru, workload, pages: .max).seconds())
        return try pools.map { pool in
            let pages = max(workload.leastPages, Int(Double(workload.reusedPages) * pool / 100))
            return try EconomyReport.Line(
                workload: workload.name, pages: pages, costsDiffer: workload.costsDiffer, economy: value(economySeconds(workload, pages: pages)),
                lru: value(PublishedPool(.lru, workload, pages: pages).seconds()), gdsf: value(PublishedPool(.gdsf, workload, pages: pages).seconds()), most: most)
        }
    }

    /// Seconds that the requests take with what they find in the engine's caches.
    static func economySeconds(_ workload: CacheWorkload, pages: Int) throws -> Double {
        let pool = try ReplayedPool(pages: pages, blockTokens: CacheWorkload.blockTokens, adapterPages: workload.adapters, costs: workload.costs)
        let tenant = TenantName("tenant")!
        var seconds = 0.0
        for use in workload.uses {
            pool.pass(steps: use.pause)
            let tokens = use.blocks.flatMap { Array(repeating: $0, count: CacheWorkload.blockTokens) }
            let found = pool.run(tokens, adapter: use.adapter, tenant: tenant, steps: use.steps)
            if let adapter = use.adapter, !found.adapter { seconds += workload.adapterSeconds(adapter) }
            for index in found.tokens / CacheWorkload.blockTokens..<use.blocks.count { seconds += workload.blockSeconds(at: index) }
        }
        pool.checkInvariants()
        return seconds
    }
}
