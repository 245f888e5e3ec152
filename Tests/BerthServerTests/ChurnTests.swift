// The churn of `berth-bench`, for a moment, so that it never rots.

import BerthClient
import BerthCore
import Testing

@testable import BerthServer
@testable import berth_bench

@Suite struct ChurnTests {
    @Test func nothingIsLost() async throws {
        let daemon = try await RealDaemon { $0.memory = ByteSize("160M") }
        defer { daemon.stop() }
        let churn = Churn(
            client: daemon.client, admin: daemon.admin, adapters: try Churn.folders(of: RealDaemon.demo + "/adapters"),
            goal: .init(seconds: 2, loads: 30, moves: 20), streams: 8, most: nil, process: nil, seed: 3)
        let report = try await churn.run()
        #expect(report.problems.isEmpty, "\(report.lines)")
        #expect(report.counts.loads >= 30 && report.counts.moves >= 20 && report.counts.finished > 0 && report.counts.probes > 0)
        #expect(report.counts.unloads > 0)
    }

    /// What is lost is told: a report with a growing memory and one without.
    @Test func growthIsSeen() {
        var report = ChurnReport()
        report.resident = Array(repeating: 100 << 20, count: 8) + Array(repeating: 140 << 20, count: 8)
        #expect(report.peaks?.early == 100 << 20 && report.peaks?.late == 140 << 20)
        report.problems = ["memory grew"]
        #expect(report.lines.last == "LOST: memory grew" && report.json["problems"] == ["memory grew"])
    }
}
