// What the plan of waves knows of prompts that begin alike.

import BerthCore
import Testing

@testable import BerthEngine

@Suite struct WaveDemandTests {
    private func request(_ prompt: [Int32], tenant: String = "a", adapter: String? = nil, mostTokens: Int) -> WaveDemand.Request {
        WaveDemand.Request(
            prefixes: WaveDemand.prefixes(of: prompt, blockTokens: 16, tenant: TenantName(tenant), adapter: adapter.flatMap { AdapterName($0) }),
            mostTokens: mostTokens)
    }

    /// Blocks are counted as a tree has them: those of a beginning once, whoever else stands on it.
    @Test(arguments: 0..<100 as Range<UInt64>)
    func sharedBlocksCountOnce(seed: UInt64) {
        var random = RandomSource(seed: seed)
        let prompts = (0..<Int.random(in: 1...30, using: &random)).map { _ in (0..<Int.random(in: 1...100, using: &random)).map { Int32($0 / 32 * 2 + Int.random(in: 0...($0 % 32 == 0 ? 1 : 0), using: &random)) } }
        let demand = WaveDemand(prompts.map { request($0, mostTokens: $0.count) }, blockTokens: 16)
        var users: [[Int32]: Int] = [:]
        for prompt in prompts {
            for end in stride(from: 16, to: prompt.count, by: 16) { users[Array(prompt[..<end]), default: 0] += 1 }
        }
        let shared = users.values.filter { $0 > 1 }
        #expect(demand.sharedPages == shared.count, "seed \(seed)")
        let own = Double(prompts.reduce(0) { $0 + $1.count }) / 16 - Double(shared.reduce(0, +))
        #expect(abs(demand.pagesPerRequest - own / Double(prompts.count) - 0.5) < 1e-9, "seed \(seed)")
    }

    @Test func scopesDoNotShare() {
        let prompt = [Int32](repeating: 3, count: 40)
        let requests = [request(prompt, mostTokens: 48), request(prompt, tenant: "b", mostTokens: 48), request(prompt, adapter: "x", mostTokens: 48)]
        var demand = WaveDemand(requests, blockTokens: 16)
        #expect(demand.repeatedBlocks == [0, 0, 0])
        demand.repeatedBlocks = [0]
        #expect(demand == WaveDemand([request(prompt, mostTokens: 48)], blockTokens: 16))
        #expect(WaveDemand(requests + requests, blockTokens: 16).repeatedBlocks == [0, 0, 0, 2, 2, 2])
        #expect(WaveDemand(requests + requests, blockTokens: 16).sharedPages == 6)
    }

    private func bulk(_ id: UInt64) -> GenerationRequest {
        let own = (0..<8).map { Int32(2 + (Int(id) * 5 + $0) % 50) }
        var request = GenerationRequest(id: RequestID(id), prompt: [Int32](repeating: 7, count: 128) + own, maxTokens: 8)
        request.ignoresEndTokens = true
        request.sampling.seed = id
        request.serviceClass = .bulk
        return request
    }

    /// A batch with a long beginning in common runs in a wave that would have no room for as many copies of it.
    @Test func aCommonBeginningMakesWavesWide() throws {
        func widest(cachesPrefixes: Bool) throws -> Int {
            var configuration = EngineConfiguration()
            configuration.cachesPrefixes = cachesPrefixes
            let harness = try Harness(pages: 60, configuration: configuration)
            let requests = (1...24).map { bulk(UInt64($0)) }
            for request in requests { harness.submit(request) }
            var widest = 0
            while harness.engine.hasWork {
                harness.step()
                widest = max(widest, harness.engine.waveStatus.running)
            }
            for request in requests { #expect(try harness.outcomes[request.id] == Harness.alone(request)) }
            return widest
        }
        #expect(try widest(cachesPrefixes: false) < 10, "each has nine pages of its own")
        #expect(try widest(cachesPrefixes: true) >= 20, "eight pages are everybody's")
    }
}
