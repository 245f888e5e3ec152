// What comes too late is ended early, and what is kept comes in time.

import BerthCore
import BerthMemory
import Testing

@testable import BerthEngine

@Suite struct DeadlineTests {
    private static let millisecond: UInt64 = 1_000_000

    @Test func aDeadlineEndsARequestWhereverItIs() throws {
        var configuration = EngineConfiguration.withoutPrefixes
        configuration.runningRequests = 1
        let harness = try Harness(configuration: configuration)
        try harness.register("slow", version: 1)
        let running = harness.submit([3], maxTokens: 200) { $0.deadline = 20_000 }
        let queued = harness.submit([4], maxTokens: 3) { $0.deadline = 10_000 }
        let reading = harness.submit([5], adapter: "slow") { $0.deadline = 15_000 }
        let patient = harness.submit([6], maxTokens: 3)
        while harness.engine.hasWork { harness.step() }
        for id in [running, queued, reading] { #expect(harness.outcomes[id]!.failure?.code == .deadline && harness.outcomes[id]!.failure!.retrySeconds! >= 1) }
        #expect((15...20).contains(harness.outcomes[running]!.tokens.count))
        #expect(harness.outcomes[queued]!.tokens.isEmpty && harness.outcomes[patient]!.finish == .length)
        harness.run()
        harness.engine.checkInvariants()
        #expect(harness.pool.pageCount(of: .kv) == 0)
    }

    /// Nobody steps while the disk is waited for: the engine says when somebody's time is over.
    @Test func theHostWakesForADeadline() throws {
        let inbox = Inbox()
        let host = try HostTests.host(inbox)
        let gate = HostTests.Flag()
        let source = AdapterSource(bytes: 4096, digest: "slow", modules: []) { _ in
            Inbox.wait("the end of the test") { gate.isSet.withLock { $0 } }
            throw GenerationFailure(.adapterRejected, "late")
        }
        _ = HostTests.ask(host, .register(AdapterName("slow")!, source))
        var request = HostTests.request(1, adapter: "slow")
        request.deadline = EngineHost.monotonicNanoseconds() + 50 * Self.millisecond
        #expect(host.submit(request))
        Inbox.wait("the deadline") { inbox.outcome(request.id).isOver }
        #expect(inbox.outcome(request.id).failure?.code == .deadline)
        gate.isSet.withLock { $0 = true }
        host.stop()
    }

    /// Twice as much as can be served, with an objective and without: what is kept has its first token in time to a step, what is refused hears so at once, and more is served in time.
    @Test func hopelessPromptsAreRefusedEarly() throws {
        let objective = 2000.0, step = 330.0
        func serve(_ seconds: Double?) throws -> (inTime: Int, late: Int, refused: [(wait: Double, failure: GenerationFailure)]) {
            var configuration = EngineConfiguration.withoutPrefixes
            configuration.runningRequests = 16
            let run = try PacedRun(stepTokens: 32, configuration: configuration) { _, load in PacedRun.twoCores(load) }
            run.harness.isProving = false
            if let seconds {
                var policy = TenantPolicy()
                policy.firstTokenObjective = UInt64(seconds * 1e6)
                run.harness.engine.setTenants([.a: policy])
            }
            // The machine takes 100 tokens a second; 200 arrive.
            var submitted: [RequestID: Double] = [:], ended: [RequestID: Double] = [:]
            while run.milliseconds < 60_000 {
                while Double(submitted.count) * 500 <= run.milliseconds {
                    submitted[run.harness.submit(PacedRun.prompt(100), maxTokens: 4) { $0.tenant = .a }] = run.milliseconds
                }
                run.step()
                for id in submitted.keys where ended[id] == nil && run.harness.outcomes[id]!.isOver { ended[id] = run.milliseconds }
            }
            let waits = submitted.keys.compactMap { id in run.firstToken(id).map { $0 - submitted[id]! } }
            let refused = submitted.keys.compactMap { id in run.harness.outcomes[id]!.failure.map { (ended[id]! - submitted[id]!, $0) } }
            return (waits.count { $0 <= objective + step }, waits.count { $0 > objective + step }, refused)
        }
        let without = try serve(nil), with = try serve(objective)
        print("first tokens within \(Int(objective)) ms of twice the load: \(with.inTime) and \(with.late) late, \(with.refused.count) refused; without: \(without.inTime) and \(without.late) late")
        #expect(with.inTime > 3 * without.inTime && with.inTime >= 40)
        #expect(with.late == 0)
        #expect(with.refused.count > 20 && with.refused.allSatisfy { $0.failure.code == .deadline && (1...600).contains($0.failure.retrySeconds!) })
        // Most hear it long before their time is over.
        #expect(with.refused.map(\.wait).sorted()[with.refused.count / 2] < objective / 2)
    }

    /// A tenant's own interval holds while its streams run, beside another's prompts.
    @Test func tokensOfATenantComeAtItsInterval() throws {
        for (interval, expected) in [(nil, 250.0), (100, 100.0)] as [(UInt64?, Double)] {
            let run = try PacedRun { _, load in 20 + 3 * Double(load.rows) }
            run.harness.isProving = false
            var policy = TenantPolicy()
            policy.tokenInterval = interval.map { $0 * Self.millisecond }
            run.harness.engine.setTenants([.a: policy])
            let stream = run.harness.submit([5, 6], maxTokens: 400) { $0.tenant = .a }
            for _ in 0..<20 { run.step() }
            let start = run.milliseconds
            let long = run.harness.submit(PacedRun.prompt(3000)) { $0.tenant = .b }
            run.prefill(long)
            let gaps = run.gaps(of: stream, since: start + 500).sorted()
            #expect(gaps.last! < 1.3 * expected && gaps[gaps.count / 2] > 0.8 * expected, "\(gaps[gaps.count / 2]), \(gaps.last!)")
        }
    }
}
