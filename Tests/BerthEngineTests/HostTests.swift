// The engine on its own thread, with real mailboxes and real reader threads.

import BerthCore
import BerthMemory
import Glibc
import Synchronization
import Testing

@testable import BerthEngine

/// Collects what `deliver` brings, and lets a test wait for it.
final class Inbox: Sendable {
    private let outcomes = Mutex<[RequestID: Outcome]>([:])

    func deliver(_ events: [(RequestID, GenerationEvent)]) {
        outcomes.withLock { outcomes in for (id, event) in events { outcomes[id, default: Outcome()].add(event) } }
    }

    func outcome(_ id: RequestID) -> Outcome { outcomes.withLock { $0[id] ?? Outcome() } }

    /// Looks again and again, for at most ten seconds.
    static func wait(_ what: String, until isDone: () -> Bool) {
        for _ in 0..<10_000 where !isDone() { usleep(1000) }
        #expect(isDone(), "waited in vain for \(what)")
    }
}

@Suite struct HostTests {
    static func host(_ inbox: Inbox, configuration: EngineConfiguration = EngineConfiguration(), restNanoseconds: UInt64 = EngineHost.restNanoseconds) throws -> EngineHost {
        EngineHost(
            model: FakeModel(), pool: try Pool(bytes: 256 * 4096, pageBytes: 4096), endTokens: [FakeModel.end], configuration: configuration, restNanoseconds: restNanoseconds,
            detokenizer: { _ in FakeDetokenizer() }, deliver: inbox.deliver)
    }

    static func request(_ id: UInt64, maxTokens: Int = 12, adapter: String? = nil) -> GenerationRequest {
        var request = GenerationRequest(
            id: RequestID(id), adapter: adapter.flatMap { AdapterName($0) }, prompt: [Int32(id % 50) + 2, 3], maxTokens: maxTokens)
        request.ignoresEndTokens = true
        request.sampling.seed = id
        return request
    }

    /// Asks and waits for the answer.
    static func ask(_ host: EngineHost, _ command: EngineCommand) -> EngineReply? {
        let answer = AnswerBox()
        #expect(host.perform(command) { reply in answer.reply.withLock { $0 = reply } })
        Inbox.wait("an answer") { answer.reply.withLock { $0 != nil } }
        return answer.reply.withLock { $0 }
    }

    final class AnswerBox: Sendable { let reply = Mutex<EngineReply?>(nil) }
    final class Flag: Sendable { let isSet = Mutex(false) }

    @Test func servesFromManyThreads() throws {
        let inbox = Inbox()
        let host = try Self.host(inbox)
        for index in 0..<3 as Range<UInt64> {
            _ = Self.ask(host, .register(AdapterName("a\(index)")!, FakeAdapter.source(index + 1, bytes: 8192)))
        }
        let requests = (1...60).map { (id: UInt64) in Self.request(id, adapter: id % 4 == 0 ? nil : "a\(id % 3)") }
        let threads = (0..<3).map { part in
            Thread(name: "poster") { for request in requests where Int(request.id.rawValue) % 3 == part { #expect(host.submit(request)) } }
        }
        for thread in threads { thread.join() }
        Inbox.wait("all requests") { requests.allSatisfy { inbox.outcome($0.id).isOver } }
        for request in requests {
            let adapter: (version: UInt64, pages: Int)? = request.adapter == nil ? nil : (request.id.rawValue % 3 + 1, 2)
            #expect(try inbox.outcome(request.id) == Harness.alone(request, adapter: adapter))
        }
        guard case .counters(let counters) = Self.ask(host, .counters) else { fatalError() }
        #expect(counters.finishedRequests == 60 && counters.generatedTokens == 60 * 12 && counters.adapterLoads == 3)
        guard case .adapters(let adapters) = Self.ask(host, .listAdapters) else { fatalError() }
        #expect(adapters.map(\.state) == [.resident, .resident, .resident])
        for index in 0..<3 { _ = Self.ask(host, .unregister(AdapterName("a\(index)")!)) }
        guard case .pool(let pool) = Self.ask(host, .pool) else { fatalError() }
        #expect(pool.free + pool.kv.cached == pool.pageCount)
        guard case .failed(let failure) = Self.ask(host, .unregister(AdapterName("a0")!)) else { fatalError() }
        #expect(failure.code == .unknownAdapter)
        host.stop()
        #expect(!host.submit(Self.request(999)) && !host.perform(.pool) { _ in })
    }

    @Test func refusesMoreThanItsLimitAndRecovers() throws {
        let inbox = Inbox()
        var configuration = EngineConfiguration()
        configuration.queuedRequests = 5
        let host = try Self.host(inbox, configuration: configuration)
        // An adapter whose read waits for the test, so that nothing ends meanwhile.
        let gate = Flag()
        _ = Self.ask(
            host,
            .register(
                AdapterName("slow")!,
                AdapterSource(bytes: 4096, digest: "") { memory in
                    while !gate.isSet.withLock({ $0 }) { usleep(500) }
                    return try FakeAdapter.source(1, bytes: 4096).load(memory)
                }))
        let accepted = (1...8).filter { (id: UInt64) in host.submit(Self.request(id, adapter: "slow")) }
        #expect(accepted == [1, 2, 3, 4, 5])
        host.cancel(RequestID(2))
        Inbox.wait("the cancellation") { inbox.outcome(RequestID(2)).finish == .cancelled }
        #expect(host.submit(Self.request(20, adapter: "slow")))
        gate.isSet.withLock { $0 = true }
        Inbox.wait("the rest") { [1, 3, 4, 5, 20].allSatisfy { inbox.outcome(RequestID($0)).finish == .length } }
        host.stop()
    }

    @Test func drainsThenStops() throws {
        let inbox = Inbox()
        let host = try Self.host(inbox)
        for id in 1...10 as ClosedRange<UInt64> { #expect(host.submit(Self.request(id, maxTokens: 100))) }
        let isDrained = Flag()
        host.drain { isDrained.isSet.withLock { $0 = true } }
        #expect(host.submit(Self.request(11)))
        Inbox.wait("the drain") { isDrained.isSet.withLock { $0 } }
        #expect((1...10).allSatisfy { inbox.outcome(RequestID($0)).finish == .length })
        #expect(inbox.outcome(RequestID(11)).failure?.code == .draining)
        host.stop()
    }

    @Test func stoppingCancelsWhatRunsAndWaits() throws {
        let inbox = Inbox()
        let host = try Self.host(inbox)
        _ = Self.ask(
            host,
            .register(
                AdapterName("slow")!,
                AdapterSource(bytes: 4096, digest: "") { memory in
                    // The engine is stopped in the middle of this read; its pages must stay until it is over.
                    usleep(100_000)
                    return try FakeAdapter.source(1, bytes: 4096).load(memory)
                }))
        for id in 1...4 as ClosedRange<UInt64> { _ = host.submit(Self.request(id, maxTokens: 200, adapter: id == 4 ? "slow" : nil)) }
        host.stop()
        #expect((1...4).allSatisfy { inbox.outcome(RequestID($0)).isOver })
    }

    /// A command that is taken is answered, also one that comes while the engine's thread is ending.
    @Test func commandsAreAnsweredToTheEnd() throws {
        let host = try Self.host(Inbox())
        let gate = Flag(), hasBegun = Flag(), counts = Mutex((taken: 0, answered: 0))
        _ = Self.ask(
            host,
            .register(
                AdapterName("slow")!,
                AdapterSource(bytes: 4096, digest: "") { memory in
                    hasBegun.isSet.withLock { $0 = true }
                    Inbox.wait("the gate") { gate.isSet.withLock { $0 } }
                    return try FakeAdapter.source(1, bytes: 4096).load(memory)
                }))
        _ = host.submit(Self.request(1, adapter: "slow"))
        Inbox.wait("the read") { hasBegun.isSet.withLock { $0 } }
        let stopping = Thread(name: "stop") { host.stop() }
        // The thread waits for the read, and is past its last message.
        for _ in 0..<50 {
            if host.perform(.pool, reply: { _ in counts.withLock { $0.answered += 1 } }) { counts.withLock { $0.taken += 1 } }
            usleep(1000)
        }
        gate.isSet.withLock { $0 = true }
        stopping.join()
        #expect(counts.withLock { $0.taken == $0.answered && $0.taken > 0 })
    }

    /// An engine that has had nothing to do for a while gives its free memory back, and wakes up as before.
    @Test func anIdlePoolGivesItsMemoryBack() throws {
        let inbox = Inbox()
        let host = try Self.host(inbox, restNanoseconds: 20_000_000)
        _ = Self.ask(host, .register(AdapterName("a")!, FakeAdapter.source(1, bytes: 8192)))
        for id in [1, 2] as [UInt64] {
            #expect(host.submit(Self.request(id, maxTokens: 60, adapter: "a")))
            Inbox.wait("the request") { inbox.outcome(RequestID(id)).isOver }
            Inbox.wait("the memory") {
                guard case .pool(let pool) = Self.ask(host, .pool) else { return false }
                return pool.touched == 2 + pool.kv.cached && pool.adapter.published == 2 && pool.touched < 12
            }
        }
        host.stop()
    }

    /// An engine with nothing to do sleeps: less than a hundredth of a core.
    @Test func idlesWithoutComputing() throws {
        let host = try Self.host(Inbox())
        _ = Self.ask(host, .pool)
        let time = Mutex<(UInt64, UInt64)>((0, 0))
        let command: @Sendable (EngineReply) -> Void = { _ in
            var spent = timespec()
            clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent)
            time.withLock { $0 = ($0.1, UInt64(spent.tv_sec) * 1_000_000_000 + UInt64(spent.tv_nsec)) }
        }
        _ = host.perform(.pool, reply: command)
        usleep(200_000)
        _ = host.perform(.pool, reply: command)
        host.stop()
        #expect(time.withLock { $0.1 - $0.0 } < 2_000_000 && time.withLock { $0.0 } > 0)
    }
}
