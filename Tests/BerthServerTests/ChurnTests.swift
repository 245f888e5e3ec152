// The churn of `berth-bench`, for a moment, so that it never rots.

import BerthClient
import BerthCore
import Glibc
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

    /// Of what is asked for, some is more urgent than what says nothing, and some less.
    @Test func requestsDifferInUrgency() {
        var random = RandomSource(seed: 6)
        let priorities = (0..<200).map { _ in Churn.request(["base"], context: 512, &random).options.priority }
        #expect((60...140).contains(priorities.count { $0 == nil }))
        #expect(priorities.contains { $0 ?? 0 < 0 } && priorities.contains { $0 ?? 0 > 0 } && priorities.allSatisfy { Limits.priorities.contains($0 ?? 0) })
    }

    /// What is lost is told: a report with a growing memory and one without.
    @Test func growthIsSeen() {
        var report = ChurnReport()
        report.resident = Array(repeating: 100 << 20, count: 8) + Array(repeating: 140 << 20, count: 8)
        #expect(report.peaks?.early == 100 << 20 && report.peaks?.late == 140 << 20)
        report.problems = ["memory grew"]
        #expect(report.lines.last == "LOST: memory grew" && report.json["problems"] == ["memory grew"])
    }

    /// One descriptor that was not there before is a loss, whatever else was closed meanwhile.
    @Test func aLostDescriptorIsNamed() async throws {
        var before = Descriptors()
        for target in ["/var/lib/berth/state", "socket:[4711]", "socket:[4712]", "anon_inode:[eventpoll]", "anon_inode:inotify", "pipe:[3]"] { before.count(target) }
        #expect(before.total == 6 && before.text == "1 eventpoll, 1 file, 1 inotify, 1 pipe, 2 socket")
        var after = Descriptors()
        for target in ["/var/lib/berth/state", "/tmp/adapter (deleted)", "socket:[4713]", "anon_inode:[eventpoll]"] { after.count(target) }
        #expect(after.more(than: before) == ["descriptors: 2 of kind file and not 1"] && before.more(than: before).isEmpty)
        // This process's own: a file that is opened shows. Other tests run beside this one, so nothing is said of the sum.
        let (read, write) = try pipes()
        let own = try #require(ProcessFiles(pid: Int(getpid())).descriptors)
        #expect(own.byKind["pipe"] ?? 0 >= 2)
        close(read)
        close(write)
    }

    private func pipes() throws -> (Int32, Int32) {
        var ends: [Int32] = [0, 0]
        try #require(pipe(&ends) == 0)
        return (ends[0], ends[1])
    }
}
