// The lines that an operator sees while weights are packed.

import Testing

@testable import BerthServer
@testable import BerthStore

@Suite struct PackingReportsTests {
    private static let second: UInt64 = 1_000_000_000

    @Test func aLineASecondAtMost() {
        var reports = PackingReports(intervalNanoseconds: Self.second)
        // A hundred steps of a tenth of a second, 10 MiB each.
        let lines = (1...100).compactMap { step in
            reports.line(PackingProgress(doneBytes: step * 10 << 20, totalBytes: 1000 << 20, elapsedNanoseconds: UInt64(step) * Self.second / 10))
        }
        #expect(lines.count == 9, "the last step is no news")
        #expect(lines.first == "packing weights: 100.0 MiB of 1000.0 MiB, about 9 s to go")
        #expect(lines.last == "packing weights: 900.0 MiB of 1000.0 MiB, about 1 s to go")
    }

    @Test func quickPackingsAreSilent() {
        var reports = PackingReports(intervalNanoseconds: Self.second)
        #expect(reports.line(PackingProgress(doneBytes: 5, totalBytes: 10, elapsedNanoseconds: Self.second / 2)) == nil)
        #expect(reports.line(PackingProgress(doneBytes: 10, totalBytes: 10, elapsedNanoseconds: 2 * Self.second)) == nil)
    }

    @Test func noEstimateOutOfNothing() {
        var reports = PackingReports(intervalNanoseconds: Self.second)
        let line = reports.line(PackingProgress(doneBytes: 1 << 20, totalBytes: 1000 << 20, elapsedNanoseconds: 3 * Self.second))
        #expect(line == "packing weights: 1.0 MiB of 1000.0 MiB")
        #expect(PackingReports.text(nanoseconds: 91 * Self.second) == "2 min")
        #expect(PackingReports.text(nanoseconds: 1) == "1 s")
    }
}
