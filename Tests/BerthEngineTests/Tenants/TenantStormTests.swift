// Storms of several tenants with changing rules, deadlines and too little memory: what is served says what it says alone.

import BerthCore
import BerthMemory
import Testing

@testable import BerthEngine

@Suite struct TenantStormTests {
    @Test(arguments: 1...24 as ClosedRange<UInt64>) func storm(seed: UInt64) throws {
        var random = RandomSource(seed: seed)
        let pages = Int.random(in: 8...24, using: &random)
        var configuration = EngineConfiguration()
        configuration.stepTokens = Int.random(in: 8...64, using: &random)
        configuration.runningRequests = Int.random(in: 2...16, using: &random)
        configuration.admissionRule = AdmissionRule.allCases.randomElement(using: &random)!
        let model = FakeModel()
        let harness = try Harness(model, pages: pages, configuration: configuration)
        // Every other storm leaves its steps in the middle, for whatever comes then.
        if seed % 2 == 0 {
            model.leavesSteps = true
            var turns = RandomSource(seed: seed + 1000)
            harness.engine.peek = { _ in Int.random(in: 0..<3, using: &turns) == 0 }
            model.onForward = { [unowned harness] batch in harness.now += UInt64(1000 * batch.tokens.count) }
        }
        var versions: [String: (version: UInt64, pages: Int)] = [:]
        for index in 0..<4 {
            versions["a\(index)"] = (UInt64(index) + 1, Int.random(in: 1...2, using: &random))
            try harness.register("a\(index)", version: UInt64(index) + 1, pages: versions["a\(index)"]!.pages)
        }
        let names = (0..<5).map { TenantName("t\($0)")! }
        var requests: [GenerationRequest] = []
        while requests.count < 60 || !harness.engine.isEmpty || harness.engine.hasWork || !harness.reader.reads.isEmpty {
            switch Int.random(in: 0..<100, using: &random) {
            case 0..<30 where requests.count < 60:
                var request = StormTests.request(UInt64(requests.count + 1), adapters: versions.keys.sorted(), maxPrompt: 60, maxTokens: 40, random: &random)
                request.tenant = names[min(Int.random(in: 0..<8, using: &random), 4)]
                if Int.random(in: 0..<6, using: &random) == 0 { request.deadline = harness.now + UInt64.random(in: 0..<100_000, using: &random) }
                requests.append(request)
                harness.submit(request)
            case 28..<30 where seed % 4 == 0: harness.engine.withhold(parts: Int.random(in: 0...pages / 2, using: &random), of: pages)
            case 30..<35:
                harness.engine.setTenants(
                    Dictionary(uniqueKeysWithValues: names.filter { _ in Bool.random(using: &random) }.map { name in
                        var policy = TenantPolicy()
                        policy.weight = Double.random(in: 0.1...10, using: &random)
                        policy.maxRunning = Bool.random(using: &random) ? Int.random(in: 1...4, using: &random) : nil
                        if Bool.random(using: &random) { policy.kv = PoolShare(floorPages: Int.random(in: 0...4, using: &random), ceilingPages: Int.random(in: 7...24, using: &random)) }
                        policy.firstTokenObjective = Int.random(in: 0..<6, using: &random) == 0 ? UInt64.random(in: 10_000..<200_000, using: &random) : nil
                        return (name, policy)
                    }))
            case 35..<38:
                if let victim = requests.randomElement(using: &random) { harness.cancel(victim.id) }
            case 38..<60:
                if !harness.reader.reads.isEmpty { harness.reader.complete(Int.random(in: 0..<harness.reader.reads.count, using: &random), in: harness.engine) }
            default: harness.step()
            }
            harness.engine.checkInvariants()
        }
        for request in requests {
            let outcome = harness.outcomes[request.id]!
            let alone = try Harness.alone(request, adapter: request.adapter.map { versions[$0.text]! })
            if let failure = outcome.failure {
                #expect([.overloaded, .deadline].contains(failure.code), "seed \(seed), request \(request.id): \(failure)")
                #expect(alone.tokens.starts(with: outcome.tokens), "seed \(seed), request \(request.id)")
            } else if outcome.finish == .cancelled {
                #expect(alone.tokens.starts(with: outcome.tokens), "seed \(seed), request \(request.id)")
            } else {
                #expect(outcome == alone, "seed \(seed), request \(request.id)")
            }
        }
        harness.engine.withhold(parts: 0, of: 1)
        for name in versions.keys { try harness.engine.unregisterAdapter(AdapterName(name)!) }
        #expect(harness.unusedPageCount == pages, "seed \(seed)")
    }
}
