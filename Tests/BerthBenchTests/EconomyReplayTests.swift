// The economy against the rules of the literature, on small versions of the workloads. What hits save is counted and not timed: a seed gives the same.

import BerthCore
import BerthEngine
import Testing

@testable import berth_bench

@Suite struct EconomyReplayTests {
    /// Never more than half a point below LRU, and better wherever pages differ in cost.
    @Test(arguments: [UInt64(1), 2]) func theEconomyIsNoWorseThanRecency(seed: UInt64) throws {
        let report = try EconomyCommand.replay(requests: 2500, seeds: [seed], pools: [10])
        #expect(report.isKept, "seed \(seed):\n\(report.table)")
        #expect(report.lines.contains { $0.gain > 5 }, "seed \(seed):\n\(report.table)")
        #expect(
            report.lines.allSatisfy { max($0.economy[0], $0.lru[0], $0.gdsf[0]) <= $0.most[0] + 1e-9 }, "nobody hits what was not there: seed \(seed):\n\(report.table)")
        #expect(report.json["lines"]?.array?.count == report.lines.count)
    }

    /// Nor while there is little to learn from, in the mean of several replays: of one alone luck decides.
    @Test func theEconomyIsNoWorseThanRecencyBeforeItHasLearned() throws {
        let report = try EconomyCommand.replay(requests: 600, seeds: Array(11...18), pools: [30])
        #expect(report.isKept, "\(report.table)")
    }

    /// In a pool that holds everything all rules hit the same, and what they hit can be counted by hand.
    @Test func whereAllFitsAllAreTheSame() throws {
        let uses = [CacheUse(blocks: [1, 2, 3], adapter: 0), CacheUse(blocks: [1, 2, 4], adapter: 0), CacheUse(blocks: [1, 2, 3], adapter: nil)]
        let workload = CacheWorkload(name: "three", costs: ReplayedPool.Costs(token: 1, adapterPage: 8), adapters: [4], uses: uses)
        #expect(workload.seconds == 9 * 4 + 2 * 32 && workload.leastPages == 7 && workload.costsDiffer)
        // The adapter once, and two blocks of the second request; the third request is of another scope.
        let left = Double(7 * 4 + 32)
        #expect(try EconomyCommand.economySeconds(workload, pages: 100) == left)
        for rule in [PublishedPool.Rule.lru, .gdsf] { #expect(PublishedPool(rule, workload, pages: 100).seconds() == left) }
        // With room for one request alone each finds what the one before it has left.
        #expect(PublishedPool(.lru, workload, pages: 7).seconds() == left)
    }

    /// The verdict says what is broken, and is about the mean of the seeds.
    @Test func aRuleThatIsWorseIsNamed() {
        func line(_ economy: [Double], costsDiffer: Bool) -> EconomyReport.Line {
            let alike = Array(repeating: 50.0, count: economy.count)
            return EconomyReport.Line(workload: "w", pages: 1, costsDiffer: costsDiffer, economy: economy, lru: alike, gdsf: alike, most: alike)
        }
        #expect(EconomyReport(lines: [line([49.6], costsDiffer: false)]).isKept)
        #expect(!EconomyReport(lines: [line([49.4], costsDiffer: false)]).isKept)
        let level = EconomyReport(lines: [line([50], costsDiffer: true)])
        #expect(!level.isKept && level.notBetter == ["w"] && level.table.contains("BROKEN") && !level.table.contains("worst"))
        let several = EconomyReport(lines: [line([48, 52], costsDiffer: true), line([50, 51], costsDiffer: true)])
        #expect(several.isKept && several.table.contains("-2.00") && several.table.contains("worst"))
    }

    @Test(arguments: [["--pools", "0"], ["--requests", "3"], ["--pools", "x"], ["--seeds", "0"]])
    func badQuestionsAreRefused(arguments: [String]) { #expect(throws: (any Error).self) { try EconomyCommand.parse(arguments) } }
}
