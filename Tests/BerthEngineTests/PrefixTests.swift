// What was computed once is not computed again, and nobody can tell but by the time and the account.

import BerthCore
import BerthMemory
import Testing

@testable import BerthEngine

@Suite struct PrefixTests {
    private let tenants = ["acme", "zenith"].map { TenantName($0)! }

    private func request(_ id: UInt64, _ prompt: [Int32], maxTokens: Int = 12, tenant: TenantName = .daemon) -> GenerationRequest {
        var request = GenerationRequest(id: RequestID(id), prompt: prompt, maxTokens: maxTokens)
        request.ignoresEndTokens = true
        request.sampling.seed = id
        request.tenant = tenant
        return request
    }

    private func prompt(_ count: Int, _ salt: Int = 0) -> [Int32] { (0..<count).map { Int32(2 + ($0 * 7 + salt * 13) % 50) } }

    /// The rows that a request makes an engine compute, where it ran before whatever ran before.
    private func rows(_ request: GenerationRequest, in harness: Harness) throws -> Int {
        let before = harness.engine.counterSnapshot.computedTokens
        harness.submit(request)
        harness.run()
        #expect(try harness.outcomes[request.id] == Harness.alone(request))
        return harness.engine.counterSnapshot.computedTokens - before
    }

    /// A block of the fake model has 16 tokens.
    @Test func theNextTurnCostsWhatIsNew() throws {
        let harness = try Harness()
        #expect(try rows(request(1, prompt(50)), in: harness) == 50 + 11)
        // The conversation goes on: prompt, answer, and something new. The last token of the answer was never computed.
        let answer = harness.outcomes[RequestID(1)]!.tokens
        let next = request(2, prompt(50) + answer + [3, 4, 5])
        #expect(try rows(next, in: harness) == 65 - 61 + 11)
        #expect(harness.outcomes[next.id]!.cachedTokens == 61)
        let counters = harness.engine.counterSnapshot
        #expect(counters.prefixQueries == 50 + 65 && counters.prefixHits == 61)
        // The same again: all but the last token, whose logits are wanted.
        #expect(try rows(request(3, prompt(48)), in: harness) == 1 + 11)
        #expect(harness.outcomes[RequestID(3)]!.cachedTokens == 47)
    }

    @Test func aBlockIsCopiedAsFarAsItAgrees() throws {
        let harness = try Harness()
        _ = try rows(request(1, prompt(40)), in: harness)
        // 32 tokens in full blocks, five of the third.
        #expect(try rows(request(2, prompt(37) + [58, 57, 56]), in: harness) == 3 + 11)
        #expect(harness.outcomes[RequestID(2)]!.cachedTokens == 37)
        // What the copy was written over with has not harmed the original.
        #expect(try rows(request(3, prompt(40)), in: harness) == 1 + 11)
    }

    @Test func logitsOfThePromptAreComputed() throws {
        let harness = try Harness()
        _ = try rows(request(1, prompt(40)), in: harness)
        var second = request(2, prompt(40))
        second.promptLogprobs = 2
        #expect(try rows(second, in: harness) == 40 + 11)
        #expect(harness.outcomes[second.id]!.cachedTokens == 0)
    }

    @Test func tenantsFindOnlyTheirOwn() throws {
        let harness = try Harness()
        _ = try rows(request(1, prompt(40), tenant: tenants[0]), in: harness)
        #expect(try rows(request(2, prompt(40), tenant: tenants[1]), in: harness) == 40 + 11)
        #expect(harness.outcomes[RequestID(2)]!.cachedTokens == 0)
        #expect(try rows(request(3, prompt(40), tenant: tenants[0]), in: harness) == 1 + 11)

        var configuration = EngineConfiguration()
        configuration.sharesPrefixes = true
        let shared = try Harness(configuration: configuration)
        _ = try rows(request(1, prompt(40), tenant: tenants[0]), in: shared)
        #expect(try rows(request(2, prompt(40), tenant: tenants[1]), in: shared) == 1 + 11)
    }

    @Test func anAdaptersVersionHasItsOwn() throws {
        let harness = try Harness()
        try harness.register("french", version: 1)
        func rows(_ id: UInt64, _ name: String?) -> Int {
            var request = request(id, prompt(40))
            request.adapter = name.flatMap { AdapterName($0) }
            let before = harness.engine.counterSnapshot.computedTokens
            harness.submit(request)
            harness.run()
            return harness.engine.counterSnapshot.computedTokens - before
        }
        #expect(rows(1, nil) == 51 && rows(2, "french") == 51 && rows(3, "french") == 12)
        let held = harness.pool.pageCount(of: .kv)
        // A new version: what the old one has computed is of no use, and goes.
        try harness.register("french", version: 2)
        #expect(harness.pool.pageCount(of: .kv) < held)
        #expect(rows(4, "french") == 51 && rows(5, nil) == 12)
        try harness.engine.unregisterAdapter(AdapterName("french")!)
        harness.engine.checkInvariants()
    }

    /// Requests that come together compute their common beginning once, whether of one prompt or of several.
    @Test(arguments: [ServiceClass.interactive, .bulk]) func whatComesTogetherIsComputedOnce(_ serviceClass: ServiceClass) throws {
        let harness = try Harness(pages: 200)
        let requests = (1...20 as ClosedRange<UInt64>).map { id in
            var request = request(id, prompt(100) + (id <= 10 ? [] : [Int32(id), 9, 9]))
            request.serviceClass = serviceClass
            return request
        }
        for request in requests { harness.submit(request) }
        harness.run()
        for request in requests { #expect(try harness.outcomes[request.id] == Harness.alone(request)) }
        // The first all of it; ten the last token; ten more one or three of their own.
        #expect(harness.engine.counterSnapshot.computedTokens == 100 + 9 * 1 + 10 * 3 + 20 * 11)
    }

    /// A page on which several requests stand is its tenant's once.
    @Test func sharedPagesAreCountedOnce() throws {
        let harness = try Harness(pages: 200)
        for id in 1...4 as ClosedRange<UInt64> { harness.submit(request(id, prompt(100) + [Int32(id), 9])) }
        var mostShared = 0
        for _ in 0..<200 where !harness.engine.requests.isEmpty {
            harness.step()
            let picture = harness.engine.poolPicture
            let held = picture.tenants.values.reduce(0, +), byRequest = picture.holders.reduce(0) { $0 + ($1.kind == .request ? $1.pages : 0) }
            #expect(held == picture.classes.first { $0.use == .kv }?.inUse)
            mostShared = max(mostShared, byRequest - held)
        }
        #expect(harness.engine.requests.isEmpty && mostShared > 0)
    }

    /// Whoever waits for a beginning does not wait for ever: its owner may be cancelled or fail.
    @Test func theNextComputesWhatTheFirstLeaves() throws {
        var configuration = EngineConfiguration()
        configuration.stepTokens = 8
        let harness = try Harness(configuration: configuration)
        let requests = (1...3 as ClosedRange<UInt64>).map { request($0, prompt(100)) }
        for request in requests { harness.submit(request) }
        for _ in 0..<5 { harness.step() }
        #expect(harness.engine.requests.map(\.phase) == ["prefilling", "waitingForPrefix", "waitingForPrefix"])
        harness.cancel(requests[0].id)
        harness.run()
        for request in requests[1...] { #expect(try harness.outcomes[request.id] == Harness.alone(request)) }
        // What the first had computed was not lost either.
        #expect(harness.engine.counterSnapshot.computedTokens == 100 + 1 + 2 * 11)
    }

    /// A request that gave up its pages comes back to what is left of them.
    @Test func preemptedRequestsComeBack() throws {
        let harness = try Harness(pages: 10)
        let requests = [request(1, prompt(60), maxTokens: 60), request(2, prompt(40, 1), maxTokens: 60)]
        for request in requests { harness.submit(request) }
        harness.run()
        for request in requests { #expect(try harness.outcomes[request.id] == Harness.alone(request)) }
        let counters = harness.engine.counterSnapshot
        let least = 60 + 59 + 40 + 59
        #expect(counters.preemptions > 0)
        #expect(counters.computedTokens < least + 60, "\(counters.computedTokens) of at least \(least) rows")
        #expect(harness.outcomes[RequestID(2)]!.cachedTokens == 0, "its own tokens are not others'")
    }

    /// The cache takes no room from requests: what it holds leaves, the ends of conversations first.
    @Test func theCacheGivesWay() throws {
        let harness = try Harness(pages: 12)
        for id in 1...8 as ClosedRange<UInt64> { _ = try rows(request(id, prompt(60, Int(id))), in: harness) }
        #expect(harness.pool.freePageCount < 5 && harness.engine.counterSnapshot.prefixEvictions > 0)
        #expect(try rows(request(9, prompt(150), maxTokens: 30), in: harness) == 150 + 29)
        #expect(harness.engine.counterSnapshot.preemptions == 0)
    }

    /// A block that would be copied leaves, too, where the request takes the whole pool: it computes those tokens anew.
    @Test func aCopyTakesNoRoomFromWhoFitsAlone() throws {
        let harness = try Harness(pages: 6)
        harness.submit(request(1, prompt(24), maxTokens: 1))
        harness.run()
        let whole = request(2, prompt(84), maxTokens: 10)
        #expect(try rows(whole, in: harness) == 84 - 16 + 9)
        #expect(try harness.outcomes[whole.id] == Harness.alone(whole) && harness.outcomes[whole.id]!.cachedTokens == 16)
    }

    /// Of blocks that are worth the same, the one that was left first leaves, whatever the order in which a dictionary has them.
    @Test(arguments: [[0, 1], [1, 0]]) func equalsLeaveInTheirOrder(_ reuses: [Int]) {
        var idle = IdleBlocks()
        let blocks = reuses.map { reuses in
            let block = KVBlock()
            block.reuses = reuses
            idle.insert(block, seconds: 0.5)
            return block
        }
        for block in blocks {
            #expect(idle.cheapest(step: 3)?.block === block)
            idle.remove(block)
        }
        #expect(idle.cheapest(step: 3) == nil && idle.count == 0)
    }

    /// Cached or not, in little memory or much, alone or together: the same tokens.
    @Test(arguments: [1, 2, 3, 4, 5, 6, 7, 8] as [UInt64]) func conversationsOfManyTenants(seed: UInt64) throws {
        var random = RandomSource(seed: seed)
        var configuration = EngineConfiguration()
        configuration.stepTokens = [16, 64, 256].randomElement(using: &random)!
        configuration.cachesPrefixes = seed % 4 != 0
        let harness = try Harness(pages: [16, 24, 90].randomElement(using: &random)!, configuration: configuration)
        var talks = (0..<6).map { prompt(Int.random(in: 1...40, using: &random), $0 % 2) }
        var open: [RequestID: (talk: Int, request: GenerationRequest)] = [:]
        var id: UInt64 = 0
        while id < 60 || !open.isEmpty {
            let talk = Int.random(in: talks.indices, using: &random)
            if id < 60, !open.values.contains(where: { $0.talk == talk }) {
                id += 1
                if talks[talk].count > 150 { talks[talk] = Array(talks[talk].prefix(Int.random(in: 1...60, using: &random))) }
                var next = request(id, talks[talk], maxTokens: Int.random(in: 1...20, using: &random), tenant: tenants[talk % 3 == 0 ? 0 : 1])
                next.serviceClass = Int.random(in: 0..<4, using: &random) == 0 ? .bulk : .interactive
                open[next.id] = (talk, next)
                harness.submit(next)
            }
            if let victim = open.keys.sorted(by: { $0.rawValue < $1.rawValue }).randomElement(using: &random), Int.random(in: 0..<40, using: &random) == 0 {
                harness.cancel(victim)
            }
            harness.step()
            for (id, (talk, request)) in open where harness.outcomes[id]!.isOver {
                open[id] = nil
                let (outcome, alone) = (harness.outcomes[id]!, try Harness.alone(request))
                if outcome.finish == .cancelled { continue }
                #expect(outcome == alone, "seed \(seed), request \(id)")
                talks[talk] = request.prompt + outcome.tokens + [Int32.random(in: 2..<50, using: &random)]
            }
        }
        harness.run()
        #expect(harness.unusedPageCount == harness.pool.pageCount, "seed \(seed)")
        #expect(configuration.cachesPrefixes == (harness.engine.counterSnapshot.prefixHits > 0), "seed \(seed)")
    }
}
