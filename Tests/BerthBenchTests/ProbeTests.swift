// The probe's statistics; the probe itself runs against a daemon in `ProbeSystemTests`.

import BerthCore
import Testing

@testable import berth_bench

@Suite struct ProbeTests {
    /// Against values that R's wilcox.test (exact = FALSE) gives.
    @Test func ranksAreTested() {
        let low = (0..<20).map(Double.init)
        #expect(RankTest.mannWhitney(low, low) > 0.99)
        #expect(abs(RankTest.mannWhitney(low, low.map { $0 + 100 }) - 6.796e-8) < 1e-10)
        #expect(RankTest.mannWhitney([1, 1, 1], [1, 1]) == 1 && RankTest.mannWhitney([], [1]) == 1)
        // Ties: 1, 2, 2 against 2, 3, 4. U = 1 and the variance 9 / 12 * (7 - 24 / 30).
        #expect(abs(RankTest.mannWhitney([1, 2, 2], [2, 3, 4]) - 0.164_1) < 1e-3)
    }

    /// Samples of one distribution are told apart as often as the significance says.
    @Test func chanceIsChance() {
        var random = RandomSource(seed: 5)
        let low = (0..<2000).count { _ in
            RankTest.mannWhitney((0..<20).map { _ in random.unit() }, (0..<20).map { _ in random.unit() }) < 0.05
        }
        #expect((60...140).contains(low), "\(low) of 2000, seed 5")
    }

    @Test func theVerdictNeedsAControl() {
        func shots(_ seconds: Double, cached: Int = 0) -> [Probe.Shot] { (0..<30).map { Probe.Shot(seconds: seconds + Double($0) / 1e3, cachedTokens: cached) } }
        #expect(ProbeReport(victimFirst: shots(9), victimAgain: shots(1), proberSame: shots(9), proberFresh: shots(9)).verdict == .nothing)
        #expect(ProbeReport(victimFirst: shots(9), victimAgain: shots(9), proberSame: shots(9), proberFresh: shots(9)).verdict == .blind)
        let slow = ProbeReport(victimFirst: shots(9), victimAgain: shots(1), proberSame: shots(1), proberFresh: shots(9))
        #expect(slow.verdict == .leak && slow.table.contains("LEAK") && slow.json["shots"]?.array?.count == 4)
        #expect(ProbeReport(victimFirst: shots(9), victimAgain: shots(1), proberSame: shots(9, cached: 1), proberFresh: shots(9)).verdict == .leak)
    }
}
