// What the queue has to do with experts: who is let in first, what is read for the next step, and whose pages are whose meanwhile.

import BerthCore
import BerthMemory
import BerthModels
import Synchronization
import Testing

@testable import BerthEngine

@Suite struct ExpertQueueTests {
    private static func configuration(running: Int) -> EngineConfiguration {
        var configuration = PagedExpertTests.narrow
        configuration.runningRequests = running
        return configuration
    }

    private static func prompt(_ token: Int32) -> [Int32] { Array(repeating: token, count: 40) }

    /// An engine that has room for few experts and one request, and two prompts that want different ones; the first one's are in memory.
    private func rivals(ordersAdmission: Bool) throws -> (harness: Harness, near: [Int32], far: [Int32]) {
        let pair = try PagedExpertTests.Pair("qwen2_moe", .bf16)
        let reader = FakeExpertReader(pair.image, seed: 1)
        reader.isPrompt = true
        var options = ExpertOptions()
        options.prefetches = false
        options.ordersAdmission = ordersAdmission
        let harness = try pair.harness(reader, percent: 0, pages: 12, options: options, Self.configuration(running: 1))
        for token in 3..<23 {
            harness.submit(Self.prompt(Int32(token)), maxTokens: 1)
            harness.run()
        }
        let cache = harness.engine.experts!
        func overlap(_ token: Int) -> Double { cache.overlap(of: GenerationRequest(id: RequestID(0), prompt: Self.prompt(Int32(token)), maxTokens: 1))! }
        harness.submit(Self.prompt(3), maxTokens: 1)
        harness.run()
        let far = (4..<23).min { overlap($0) < overlap($1) }!
        #expect(overlap(3) > overlap(far) + 0.2, "\(overlap(3)) against \(overlap(far))")
        return (harness, Self.prompt(3), Self.prompt(Int32(far)))
    }

    @Test func whoseExpertsAreInMemoryGoesFirstAndNobodyStarves() throws {
        for ordersAdmission in [true, false] {
            let (harness, near, far) = try rivals(ordersAdmission: ordersAdmission)
            let late = harness.submit(far, maxTokens: 1)
            let preferred = (0..<10).map { _ in harness.submit(near, maxTokens: 1) }
            let order = harness.ends(of: [late] + preferred)
            if ordersAdmission {
                #expect(order == preferred.prefix(Limits.passedOver) + [late] + preferred.dropFirst(Limits.passedOver))
            } else {
                #expect(order == [late] + preferred)
            }
        }
    }

    /// The routing changes nothing between requests of one tenant that are not as urgent; of those that are, it does.
    @Test func prioritiesKeepTheirPlaces() throws {
        let (harness, near, far) = try rivals(ordersAdmission: true)
        let ids = [(near, 2), (far, 1), (near, 1), (far, 0)].map { prompt, priority in harness.submit(prompt, maxTokens: 1) { $0.priority = priority } }
        #expect(harness.engine.admissionOrder().map(\.request.id) == [ids[3], ids[2], ids[1], ids[0]])
        harness.run()
    }

    /// The routing changes nothing between requests of different classes: whose places these are is for others to say.
    @Test func serviceClassesKeepTheirPlaces() throws {
        let (harness, near, far) = try rivals(ordersAdmission: true)
        let bulk = harness.submit(far, maxTokens: 1) { $0.serviceClass = .bulk }
        let interactive = harness.submit(far, maxTokens: 1)
        let others = [ServiceClass.bulk, .interactive].map { serviceClass in harness.submit(near, maxTokens: 1) { $0.serviceClass = serviceClass } }
        let places = harness.engine.admissionOrder()
        #expect(places.map(\.request.serviceClass) == [.bulk, .interactive, .bulk, .interactive])
        #expect(places.map(\.request.id) == [others[0], others[1], bulk, interactive])
        harness.run()
    }

    /// A request that was preempted wants the experts that it had. When its turn comes the idle disk brings them back before its first layer asks.
    @Test func theIdleDiskReadsForWhoIsNext() throws {
        let pair = try PagedExpertTests.Pair("qwen2_moe", .bf16)
        for prefetches in [true, false] {
            let reader = FakeExpertReader(pair.image, seed: 1)
            reader.isPrompt = true
            var options = ExpertOptions()
            options.prefetches = prefetches
            let harness = try pair.harness(reader, percent: 0, pages: 12, options: options, Self.configuration(running: 4))
            let first = GenerationRequest(id: RequestID(1), prompt: [5, 9, 11], maxTokens: 30)
            let second = GenerationRequest(id: RequestID(2), prompt: Self.prompt(17), maxTokens: 30)
            let alone = try [first, second].map(pair.alone)
            for request in [first, second] { harness.submit(request) }
            for _ in 0..<5 { harness.step() }
            // Memory gets short: the younger one waits until the older one has ended.
            let engine = harness.engine
            #expect(engine.running.count == 2)
            harness.pool.setShare(PoolShare(ceilingPages: (40 + 30) / pair.paged.kvLayout.blockTokens), for: .kv)
            engine.preempt(engine.running[1])
            while !harness.outcomes[first.id]!.isOver {
                #expect(engine.experts!.account.queueReads == 0 || prefetches)
                harness.step()
            }
            let account = engine.experts!.account
            if prefetches {
                // Nobody runs now: these are reads for the request that comes back.
                #expect(account.queueReads > 0 && engine.experts!.guessesInFlight > 0 && engine.running.isEmpty)
            }
            #expect(engine.waiting.count == 1 && engine.counterSnapshot.preemptions == 1)
            harness.pool.setShare(PoolShare(), for: .kv)
            harness.run()
            #expect((engine.experts!.account.usefulQueueReads > 0) == prefetches)
            #expect([first, second].map { harness.outcomes[$0.id]! } == alone)
        }
    }

    /// Reads ahead hold pages that nobody may take. A request that needs them waits for the reads, and is not refused.
    @Test func readsAheadAreNoReasonToRefuse() throws {
        let pair = try PagedExpertTests.Pair("qwen2_moe", .bf16)
        var options = ExpertOptions()
        options.popularity = Array(repeating: 1, count: pair.count)
        let harness = try pair.harness(FakeExpertReader(pair.image, seed: 1), percent: 50, pages: 0, options: options, Self.configuration(running: 4))
        harness.step()
        #expect(harness.unusedPageCount == 0 && harness.engine.experts!.evictablePages == 0 && harness.engine.experts!.readsInFlight > 0)
        let request = GenerationRequest(id: RequestID(1), prompt: [5, 9, 11], maxTokens: 10)
        harness.submit(request)
        harness.run()
        #expect(try harness.outcomes[request.id] == pair.alone(request), "\(String(describing: harness.outcomes[request.id]?.failure))")
    }

    /// What operators are told: one sentence out of what was measured, and what pages waste.
    @Test func adviceAndWasteAreMeasured() throws {
        let pair = try PagedExpertTests.Pair("qwen2_moe", .bf16)
        let reader = FakeExpertReader(pair.image, seed: 1)
        let harness = try pair.harness(reader, percent: 50, pages: 12, PagedExpertTests.narrow)
        let engine = harness.engine
        #expect(engine.experts!.status.advice.sentence.hasPrefix("Too little"))
        harness.submit([5, 9, 11], maxTokens: 40)
        for _ in 0..<20 { harness.step() }
        reader.account.bytes += 2_000_000
        reader.account.busyNanoseconds += 2_000_000
        // The harness lets each step take a microsecond.
        let status = engine.experts!.status
        #expect(abs(status.residentTokensPerSecond! - 1e6) < 1 && status.expertsPerToken == Double(pair.image.layers.count * pair.image.chosen))
        #expect(status.advice.sentence.contains("offloading") || status.advice.sentence.hasPrefix("Offloading"), "\(status.advice.sentence)")
        let snapshot = engine.poolSnapshot
        let request = engine.running[0]
        let layout = pair.paged.kvLayout
        #expect(snapshot.kv.wasteBytes == request.pages.count * pair.pageBytes - request.computed * layout.pageBytes / layout.blockTokens)
        let leased = (snapshot.expert.reserved + snapshot.expert.published) / pair.pagesPerExpert
        #expect(leased > 0 && snapshot.expert.wasteBytes == leased * (pair.pagesPerExpert * pair.pageBytes - pair.image.bytes))
        harness.run()
    }
}

@Suite struct MeasuredSpeedTests {
    /// Prompts and waiting do not count; a step whose time is not known does not, either.
    @Test func residentSpeedIsThatOfStreams() {
        var speed = ResidentSpeed()
        func step(_ counts: [Int], _ uses: Int, _ waited: UInt64, took: UInt64?) {
            speed.beginStep(counts, uses: 100, waited: 50)
            speed.endStep(uses: 100 + uses, waited: 50 + waited)
            if let took { speed.stepTook(took) }
        }
        step([7, 1], 30, 0, took: 1)
        step([1, 1], 9, 0, took: nil)
        #expect(speed.tokensPerSecond == nil && speed.expertsPerToken == nil)
        step([1, 1], 12, 3_000_000, took: 5_000_000)
        #expect(speed.tokensPerSecond == 1000 && speed.expertsPerToken == 6)
        speed.stepTook(1)
        #expect(speed.tokensPerSecond == 1000)
    }

    @Test func readSpeedFollowsTheDisk() {
        let speed = ReadSpeed()
        #expect(speed.bytesPerSecond == nil)
        for _ in 0..<3 { speed.took(1_000_000, bytes: 2_000_000) }
        #expect(abs(speed.bytesPerSecond! - 2e9) < 1)
        for _ in 0..<50 { speed.took(4_000_000, bytes: 2_000_000) }
        #expect(abs(speed.bytesPerSecond! - 0.5e9) < 1e7)
    }

    /// An adapter is worth the time that its reading was measured to take.
    @Test func adaptersAreWorthTheirReading() throws {
        let harness = try Harness(pages: 16)
        try harness.register("one", version: 1, pages: 2)
        harness.submit([5, 6], maxTokens: 2, adapter: "one")
        harness.run()
        let registry = harness.engine.registry
        let value = try #require(registry.cheapestValue())
        harness.reader.bytesPerSecond = 1e9
        #expect(abs(registry.cheapestValue()! / value - 0.5) < 1e-9)
        #expect(harness.engine.poolSnapshot.adapter.wasteBytes == registry.residents[0].pageCount * harness.pool.pageBytes - 2 * 4096)
    }

    /// What comes faster than it can be written is skipped, but for the last.
    @Test func historyIsWrittenElsewhere() {
        let written = Mutex<[[Float]]>([])
        let writer = HistoryWriter { value in written.withLock { $0.append(value) } }
        for value in 0..<100 { writer.put([Float(value)]) }
        writer.stop()
        #expect(written.withLock { $0.last == [99] && $0 == $0.sorted { $0[0] < $1[0] } })
    }
}
