// The pool's size moves while requests run, and no token changes.

import BerthCore
import BerthKernels
import BerthMemory
import BerthModels
import Testing

@testable import BerthEngine

@Suite struct MemoryLimitTests {
    /// The limit goes up and down a hundred times under a storm of requests, adapters and cancellations; between, some of it is withheld. Every request that
    /// is served has the tokens that it has alone, none that fits the least of the limits fails, and no page is lost.
    @Test(arguments: 1...12 as ClosedRange<UInt64>)
    func aHundredMovesChangeNoToken(seed: UInt64) throws {
        var random = RandomSource(seed: seed)
        let least = Int.random(in: 8...10, using: &random), most = 40
        var configuration = EngineConfiguration()
        configuration.stepTokens = Int.random(in: 8...64, using: &random)
        configuration.runningRequests = Int.random(in: 2...16, using: &random)
        let harness = try Harness(pages: 24, reserving: most, configuration: configuration)
        for index in 0..<5 { try harness.register("a\(index)", version: UInt64(index) + 1, pages: 1 + index % 3) }
        var requests: [GenerationRequest] = []
        var cancelled: Set<RequestID> = []
        var moves = 0
        while moves < 100 || harness.engine.hasWork || !harness.reader.reads.isEmpty {
            switch Int.random(in: 0..<100, using: &random) {
            case 0..<16 where moves < 100:
                var request = StormTests.request(
                    UInt64(requests.count + 1), adapters: (0..<5).map { "a\($0)" }, maxPrompt: 30, maxTokens: 20, random: &random)
                request.ignoresEndTokens = true
                requests.append(request)
                harness.submit(request)
            case 16..<18 where !requests.isEmpty:
                let id = requests.randomElement(using: &random)!.id
                cancelled.insert(id)
                harness.cancel(id)
            case 18..<30 where moves < 100:
                moves += 1
                let pages = Int.random(in: least...most, using: &random)
                try harness.engine.setLimit(PoolLimit(pages: pages, leastPages: least))
                #expect(harness.pool.pageCount == pages)
                // Pages of reads under way stay until those end; nothing else may be over the limit.
                let reading = harness.engine.adapters.filter { $0.state == .loading }.reduce(0) { $0 + $1.pages }
                #expect(harness.pool.excessPages <= reading, "seed \(seed)")
            case 30..<36: harness.engine.withhold(parts: Bool.random(using: &random) ? 0 : Int.random(in: 0...most, using: &random), of: most)
            case 36..<60:
                if !harness.reader.reads.isEmpty { harness.reader.complete(Int.random(in: 0..<harness.reader.reads.count, using: &random), in: harness.engine) }
            default: harness.step()
            }
            harness.engine.checkInvariants()
            // The picture counts every page once.
            for row in harness.engine.poolPicture.classes { #expect(row.pages == row.inUse + row.pinned + row.loading + row.cached, "seed \(seed): \(row)") }
        }
        #expect(harness.engine.counterSnapshot.preemptions > 0 && harness.engine.economy.evictions.keys.contains { $0.cause == .limit })
        for request in requests {
            let outcome = harness.outcomes[request.id]!
            let version = request.adapter.map { (version: UInt64($0.text.dropFirst())! + 1, pages: 1 + Int($0.text.dropFirst())! % 3) }
            let alone = try Harness.alone(request, adapter: version)
            if outcome.finish == .cancelled {
                #expect(cancelled.contains(request.id) && alone.tokens.starts(with: outcome.tokens), "seed \(seed), request \(request.id)")
            } else {
                #expect(outcome == alone, "seed \(seed), request \(request.id): \(String(describing: outcome.failure))")
            }
        }
        harness.engine.withhold(parts: 0, of: 1)
        for index in 0..<5 { try harness.engine.unregisterAdapter(AdapterName("a\(index)")!) }
        while harness.engine.hasWork { harness.step() }
        #expect(harness.unusedPageCount == harness.pool.pageCount && harness.pool.surplusPages == 0, "seed \(seed)")
    }

    /// The same where experts are paged: they leave and come back as the limit and the pressure have it, in the middle of requests.
    @Test(arguments: [("qwen2_moe", WeightFormat.bf16, UInt64(1)), ("mixtral", .int8, 2), ("qwen2_moe", .int8, 3)])
    func expertsComeAndGoWithTheLimit(fixture: String, format: WeightFormat, seed: UInt64) throws {
        let pair = try PagedExpertTests.Pair(fixture, format)
        var random = RandomSource(seed: seed)
        let requests = pair.requests(24, seed: seed)
        let alone = try requests.map(pair.alone)
        let least = ExpertSupply.leastResident(chosen: pair.image.chosen, count: pair.count) * pair.pagesPerExpert + 12
        let most = 30 + pair.count * pair.pagesPerExpert
        let harness = try pair.harness(
            FakeExpertReader(pair.image, seed: seed), percent: 100, pages: 30, reserving: most, PagedExpertTests.narrow)
        var next = 0, moves = 0
        while next < requests.count || moves < 100 || harness.engine.hasWork || !harness.reader.reads.isEmpty {
            switch Int.random(in: 0..<12, using: &random) {
            case 0...2 where next < requests.count:
                harness.submit(requests[next])
                next += 1
            case 3 where moves < 100:
                moves += 1
                try harness.engine.setLimit(PoolLimit(pages: Int.random(in: least...most, using: &random), leastPages: least))
            case 4: harness.engine.withhold(parts: Int.random(in: 0...most, using: &random), of: most)
            case 5...6: harness.reader.completeAll(in: harness.engine)
            default: harness.step()
            }
            harness.engine.checkInvariants()
        }
        for (request, alone) in zip(requests, alone) { #expect(harness.outcomes[request.id] == alone, "seed \(seed), request \(request.id)") }
        #expect(harness.engine.experts!.account.lostExperts == 0, "seed \(seed)")
        if ExpertSupply.leastResident(chosen: pair.image.chosen, count: pair.count) < pair.count { #expect(harness.engine.experts!.account.evictions > 0) }
    }

    /// The order of those who leave: idle adapters, then waves, then the youngest; the oldest runs on.
    @Test func theOldestIsDisturbedLast() throws {
        let harness = try Harness(pages: 32, reserving: 32, configuration: .withoutPrefixes)
        try harness.register("idle", version: 1, pages: 2)
        harness.submit([2, 3], maxTokens: 1, adapter: "idle")
        harness.run()
        let oldest = harness.submit(Array(repeating: 5, count: 40), maxTokens: 30)
        let youngest = harness.submit(Array(repeating: 6, count: 40), maxTokens: 30)
        let bulk = harness.submit(Array(repeating: 7, count: 40), maxTokens: 30) { $0.serviceClass = .bulk }
        for _ in 0..<4 { harness.step() }
        #expect(harness.engine.running.count == 2 && harness.engine.bulk.count == 1)
        let idle = harness.pool.pageCount(of: .adapter)
        #expect(idle == 2)
        let leased = harness.pool.leasedPages
        try harness.engine.setLimit(PoolLimit(pages: leased - 1, leastPages: 4))
        #expect(harness.pool.pageCount(of: .adapter) == 0 && harness.engine.running.count == 2 && harness.engine.bulk.count == 1)
        try harness.engine.setLimit(PoolLimit(pages: leased - 3, leastPages: 4))
        #expect(harness.engine.running.count == 2 && harness.engine.bulk.isEmpty)
        let held = harness.engine.running[0].pages.count
        try harness.engine.setLimit(PoolLimit(pages: held + 2, leastPages: 4))
        #expect(harness.engine.running.requests.map(\.request.id) == [oldest])
        harness.engine.checkInvariants()
        harness.run()
        for id in [oldest, youngest, bulk] { #expect(harness.outcomes[id]!.finish == .length) }
    }

    /// What pinned adapters and requests need is the least.
    @Test func aLimitBelowWhatIsPinnedIsRefused() throws {
        let harness = try Harness(pages: 16, reserving: 20)
        try harness.register("pinned", version: 1, pages: 6)
        try harness.engine.setPinned(AdapterName("pinned")!, true)
        harness.run()
        #expect(throws: GenerationFailure.self) { try harness.engine.setLimit(PoolLimit(pages: 9, leastPages: 4)) }
        #expect(harness.pool.pageCount == 16)
        #expect(throws: GenerationFailure.self) { try harness.engine.setLimit(PoolLimit(pages: 21, leastPages: 4)) }
        try harness.engine.setLimit(PoolLimit(pages: 10, leastPages: 4))
        #expect(harness.engine.adapters[0].state == .resident)
    }

    /// Nor may what is pinned take what experts need.
    @Test func pinsLeaveExpertsTheirPart() throws {
        let harness = try Harness(pages: 16)
        harness.pool.setShare(PoolShare(floorPages: 10), for: .expert)
        try harness.register("large", version: 1, pages: 6)
        try harness.register("small", version: 2, pages: 5)
        #expect(throws: GenerationFailure.self) { try harness.engine.setPinned(AdapterName("large")!, true) }
        try harness.engine.setPinned(AdapterName("small")!, true)
    }

    /// Memory goes back in pieces, between steps, and the engine has work until it has.
    @Test func memoryOverTheLimitGoesBack() throws {
        let harness = try Harness(pages: 64, reserving: 64, configuration: .withoutPrefixes)
        harness.submit(Array(repeating: 5, count: 200), maxTokens: 4)
        harness.run()
        #expect(harness.pool.snapshot.touched > 8)
        try harness.engine.setLimit(PoolLimit(pages: 8, leastPages: 4))
        harness.run()
        #expect(harness.pool.snapshot.touched <= 8)
        let request = harness.submit([3, 4], maxTokens: 4)
        harness.run()
        #expect(harness.outcomes[request]!.finish == .length && harness.pool.snapshot.touched > 0)
        while harness.engine.rest() {}
        #expect(harness.pool.snapshot.touched == 0)
    }

    /// What requests have left in the prefix cache gives way like any other.
    @Test func cachedPrefixesGiveWay() throws {
        let harness = try Harness(pages: 32, reserving: 32)
        for salt in 0..<4 { harness.submit((0..<60).map { Int32(2 + ($0 * 7 + salt * 13) % 50) }, maxTokens: 4) }
        harness.run()
        let idle = harness.engine.prefixes.idleCount
        #expect(idle > 8)
        #expect(harness.engine.poolPicture.classes.first { $0.use == .kv }?.cached == idle)
        let touched = harness.pool.touchedPages
        harness.engine.withhold(parts: touched - 4, of: touched)
        #expect(harness.engine.prefixes.idleCount == 4 && harness.engine.economy.evictions[Eviction(use: .kv, cause: .pressure)] == idle - 4)
        try harness.engine.setLimit(PoolLimit(pages: 2, leastPages: 2))
        #expect(harness.pool.leasedPages <= 2)
        harness.run()
        #expect(harness.pool.snapshot.touched <= 2)
    }

    /// A pool most of which was never touched gives memory back from the first part on, first what is free, then what is cached; it takes no more than what is left
    /// to it while pressure lasts, and is whole when it is over.
    @Test func aHalfEmptyPoolGivesWayFromTheFirstPart() throws {
        let harness = try Harness(pages: 128)
        func converse(_ salts: Range<Int>) {
            for salt in salts { harness.submit((0..<60).map { Int32(2 + ($0 * 7 + salt * 13 + salt * $0) % 50) }, maxTokens: 4) }
            harness.run()
        }
        converse(0..<8)
        harness.pool.release(harness.pool.reserve(12, for: .activation)!)
        let idle = harness.engine.prefixes.idleCount, touched = harness.pool.touchedPages
        #expect(idle > 16 && touched >= idle + 12 && touched < 64, "\(touched) pages are touched, \(idle) of them cached")
        var left = touched
        for parts in 1...12 {
            left = touched * (16 - parts) / 16
            harness.engine.withhold(parts: parts, of: 16)
            #expect(harness.pool.touchedPages == left && harness.engine.prefixes.idleCount == min(idle, left), "\(parts) parts")
        }
        converse(8..<16)
        harness.engine.withhold(parts: 12, of: 16)
        #expect(harness.pool.touchedPages <= left && harness.pool.snapshot.withheld == 128 - left)
        harness.engine.withhold(parts: 0, of: 16)
        #expect(harness.pool.withheldPages == 0 && harness.pool.room(for: .adapter) == harness.pool.freePageCount)
        converse(16..<40)
        #expect(harness.pool.touchedPages > touched)
    }

    /// Parts are counted from what had memory when pressure began, whatever has gone back since; from the limit where that falls below it; and where there was
    /// hardly anything, a sixteenth of the pool is there.
    @Test func partsAreCountedFromTheBeginning() throws {
        let harness = try Harness(pages: 64, reserving: 96, configuration: .withoutPrefixes)
        harness.pool.release(harness.pool.reserve(32, for: .activation)!)
        func allowed() -> Int { harness.pool.pageCount - harness.pool.withheldPages }
        harness.engine.withhold(parts: 4, of: 16)
        #expect(allowed() == 24 && harness.pool.touchedPages == 24)
        while harness.engine.rest() {}
        #expect(harness.pool.touchedPages == 0)
        harness.engine.withhold(parts: 8, of: 16)
        #expect(allowed() == 16)
        try harness.engine.setLimit(PoolLimit(pages: 16, leastPages: 4))
        #expect(allowed() == 8)
        try harness.engine.setLimit(PoolLimit(pages: 96, leastPages: 4))
        #expect(allowed() == 16)
        harness.engine.withhold(parts: 0, of: 16)
        #expect(allowed() == 96)
        harness.engine.withhold(parts: 1, of: 16)
        #expect(allowed() == 6)
    }

    /// An adapter that was read under pressure is idle until its request is let in, and does not leave before: bulk requests, which take pages meanwhile, make way
    /// for it once.
    @Test(arguments: 1...10)
    func whatWasReadUnderPressureIsUsed(withheld: Int) throws {
        let harness = try Harness(pages: 16, reserving: 16, configuration: .withoutPrefixes)
        try harness.register("busy", version: 1, pages: 4)
        try harness.register("late", version: 2, pages: 6)
        let bulk = harness.submit(Array(repeating: 7, count: 40), maxTokens: 60, adapter: "busy") { $0.serviceClass = .bulk }
        func run(_ steps: Int) {
            for _ in 0..<steps {
                harness.step()
                harness.reader.completeAll(in: harness.engine)
            }
        }
        run(3)
        harness.engine.withhold(parts: withheld, of: 16)
        let stream = harness.submit([5, 6], maxTokens: 4, adapter: "late")
        run(100)
        #expect(harness.outcomes[stream]!.finish == .length, "after \(harness.engine.counterSnapshot.adapterLoads) reads")
        #expect(harness.engine.counterSnapshot.adapterLoads <= 4)
        harness.run()
        #expect(harness.outcomes[bulk]!.finish == .length)
    }

    /// A stream grows into what is withheld while an adapter is read: when it has come, its request is let in before pressure takes what is idle.
    @Test(arguments: 1...8)
    func whatCameUnderPressureIsTakenByItsRequest(withheld: Int) throws {
        let harness = try Harness(pages: 16, reserving: 16, configuration: .withoutPrefixes)
        // What it takes has been touched.
        try harness.register("wide", version: 1, pages: 12)
        _ = harness.submit([7], maxTokens: 1, adapter: "wide")
        harness.run()
        try harness.register("late", version: 2, pages: 4)
        let stream = harness.submit(Array(repeating: 7, count: 8), maxTokens: 100)
        for _ in 0..<3 { harness.step() }
        harness.engine.withhold(parts: withheld, of: 16)
        let late = harness.submit([5, 6], maxTokens: 4, adapter: "late")
        for _ in 0..<90 { harness.step() }
        harness.reader.completeAll(in: harness.engine)
        harness.run()
        #expect([stream, late].allSatisfy { harness.outcomes[$0]!.finish == .length })
        #expect(harness.engine.counterSnapshot.adapterLoads == 2)
    }

    /// Under pressure idle adapters leave; a request that could not run at all is lent what is withheld.
    @Test func pressureTakesWhatIsIdleAndNoRequest() throws {
        let harness = try Harness(pages: 16, reserving: 16, configuration: .withoutPrefixes)
        for index in 0..<4 {
            try harness.register("a\(index)", version: UInt64(index + 1), pages: 3)
            harness.submit([2, 3], maxTokens: 1, adapter: "a\(index)")
        }
        harness.run()
        #expect(harness.pool.pageCount(of: .adapter) == 12)
        let running = harness.submit([5, 6], maxTokens: 40)
        harness.step()
        let touched = harness.pool.touchedPages
        harness.engine.withhold(parts: touched - 4, of: touched)
        #expect(harness.pool.pageCount(of: .adapter) == 3 && harness.engine.running.count == 1)
        #expect(harness.engine.economy.evictions[Eviction(use: .adapter, cause: .pressure)] == 3)
        harness.engine.withhold(parts: touched - 1, of: touched)
        #expect(harness.pool.pageCount(of: .adapter) == 0)
        harness.run()
        #expect(harness.outcomes[running]!.finish == .length && harness.engine.counterSnapshot.preemptions == 0)
        let large = harness.submit([5, 6], maxTokens: 4, adapter: "a1")
        harness.run()
        #expect(harness.outcomes[large]!.finish == .length && harness.pool.withheldPages == 0)
    }
}
