// What drives a run: arrivals, popularity, times.

import BerthCore
import Testing

@testable import BerthSimulator

@Suite struct WorkloadTests {
    /// Every process keeps its rate, and only the bursty ones come in crowds.
    @Test(arguments: [
        (Arrivals.poisson(rate: 5), 0.8...1.2), (.gamma(rate: 5, shape: 0.2), 3.5...6.5), (.gamma(rate: 5, shape: 4), 0.15...0.4),
        // Of a wave of depth d: 2 / √(1 − d²) − 1, which is 3.6 here.
        (.onOff(rate: 20, on: 1, off: 3), 1.5...20), (.diurnal(rate: 5, period: 50, depth: 0.9), 2.8...4.6),
    ]) func arrivalsKeepTheirRate(arrivals: Arrivals, dispersion: ClosedRange<Double>) {
        var random = RandomSource(seed: 3)
        var time = 0.0, gaps: [Double] = []
        while time < 4000 {
            let gap = arrivals.gap(after: time, &random)!
            gaps.append(gap)
            time += gap
        }
        #expect(abs(Double(gaps.count) / time - 5) < 0.4, "\(arrivals): \(Double(gaps.count) / time) per second")
        let mean = time / Double(gaps.count)
        let variance = gaps.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(gaps.count)
        #expect(dispersion.contains(variance / mean / mean), "\(arrivals): \(variance / mean / mean)")
    }

    /// While off nothing comes.
    @Test func offIsOff() {
        var random = RandomSource(seed: 8)
        let arrivals = Arrivals.onOff(rate: 3, on: 2, off: 5)
        var time = 0.0
        for _ in 0..<2000 {
            time += arrivals.gap(after: time, &random)!
            #expect(time.truncatingRemainder(dividingBy: 7) <= 2.000001)
        }
    }

    /// The k-th is asked for k times less often than the first.
    @Test func popularityIsZipfs() {
        var random = RandomSource(seed: 5)
        let choice = ZipfChoice(count: 100, exponent: 1)
        var counts = Array(repeating: 0, count: 100)
        for _ in 0..<100_000 { counts[choice.draw(&random)] += 1 }
        #expect(abs(Double(counts[0]) / Double(counts[9]) - 10) < 1.5 && counts[99] > 0)
    }

    /// Another tenant's requests change none of one's own.
    @Test func tenantsDrawForThemselves() {
        var scenario = Scenario()
        scenario.tenants = [TenantLoad(TenantName("a")!, .poisson(rate: 1)), TenantLoad(TenantName("b")!, .poisson(rate: 1))]
        var alone = Workload(scenario, seed: 4), beside = Workload(scenario, seed: 4)
        for _ in 0..<20 {
            _ = beside.next(of: 1)
            let (left, right) = (alone.next(of: 0)!.request, beside.next(of: 0)!.request)
            #expect(left.prompt == right.prompt && left.maxTokens == right.maxTokens)
        }
    }

    /// Percentiles of a histogram are those of the sorted durations, up to its steps.
    @Test func percentilesAreNearTheTruth() {
        var random = RandomSource(seed: 9)
        let durations = (0..<5000).map { _ in UInt64(1e6 * random.exponential()) + 1 }
        var histogram = DurationHistogram()
        for duration in durations { histogram.add(duration) }
        for fraction in [0.01, 0.5, 0.9, 0.99, 1] {
            let truth = Double(durations.sorted()[max(0, Int((fraction * 5000).rounded(.up)) - 1)]) / 1e9
            #expect(abs(histogram.percentile(fraction) / truth - 1) < 0.03, "\(fraction)")
        }
    }
}
