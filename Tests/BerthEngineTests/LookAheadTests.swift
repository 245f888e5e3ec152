// Adapters that are read before their request's turn.

import BerthCore
import BerthMemory
import Testing

@testable import BerthEngine

@Suite struct LookAheadTests {
    private func harness(pages: Int, adapters: Int, adapterPages: Int, running: Int, reads: Int = 4) throws -> Harness {
        var configuration = EngineConfiguration.withoutPrefixes
        configuration.runningRequests = running
        configuration.adapterReads = reads
        let harness = try Harness(pages: pages, configuration: configuration)
        for index in 0..<adapters { try harness.register("a\(index)", version: UInt64(index + 1), pages: adapterPages) }
        return harness
    }

    private func reading(_ harness: Harness) -> [String] { harness.reader.reads.map { $0.source.digest } }

    /// While the only place is taken, adapters come in the queue's order, one reader stays free, and every turn finds its own in memory.
    @Test func theQueueFindsItsAdaptersInMemory() throws {
        let harness = try harness(pages: 64, adapters: 6, adapterPages: 2, running: 1)
        harness.submit([3, 4], maxTokens: 30)
        for index in 0..<6 { harness.submit([3, 4], maxTokens: 4, adapter: "a\(index)") }
        harness.step()
        #expect(reading(harness) == ["digest-1", "digest-2", "digest-3"])
        harness.reader.complete(1, in: harness.engine)
        harness.step()
        #expect(reading(harness) == ["digest-1", "digest-3", "digest-4"])
        harness.run()
        let picture = harness.engine.poolPicture
        #expect(picture.adapters.queries == 6 && picture.adapters.hits == 6, "\(picture.adapters)")
        #expect(harness.engine.counterSnapshot.adapterLoads == 6)
    }

    /// Where pages are what is missing, nothing is read that would keep the request in front out for longer.
    @Test func whoIsInFrontHasItsPages() throws {
        let harness = try harness(pages: 12, adapters: 2, adapterPages: 2, running: 4)
        let long = harness.submit(Array(repeating: 5, count: 100), maxTokens: 20)
        harness.step()
        let front = harness.submit(Array(repeating: 6, count: 90), maxTokens: 4)
        harness.submit([3], maxTokens: 4, adapter: "a0")
        harness.step()
        #expect(harness.engine.running.count == 1 && reading(harness).isEmpty)
        harness.run()
        #expect(harness.outcomes[long]!.finish == .length && harness.outcomes[front]!.finish == .length && harness.engine.counterSnapshot.preemptions == 0)
    }

    /// Nobody whom the queue waits for sooner has to leave, though it was not used for longer; who is not waited for does.
    @Test func theFarNeverReplacesTheNear() throws {
        let harness = try harness(pages: 10, adapters: 4, adapterPages: 3, running: 1)
        for name in ["a0", "a1"] {
            harness.submit([3], maxTokens: 2, adapter: name)
            harness.run()
        }
        let resident = { harness.engine.adapters.filter { $0.state == .resident }.map(\.name.text) }
        #expect(resident() == ["a0", "a1"])
        // Four pages are free; a0, the older one, comes first in the queue.
        let long = harness.submit(Array(repeating: 5, count: 10), maxTokens: 30)
        harness.submit([3], maxTokens: 2)
        for name in ["a0", "a2", "a3"] { harness.submit([3], maxTokens: 2, adapter: name) }
        for _ in 0..<25 {
            harness.step()
            harness.reader.completeAll(in: harness.engine)
        }
        #expect(!harness.outcomes[long]!.isOver && resident() == ["a0", "a2"], "\(resident())")
    }

    /// Tokens do not depend on it, and no load is wasted where there is room.
    @Test(arguments: [UInt64(1), 2, 3]) func aStormLooksAhead(seed: UInt64) throws {
        var random = RandomSource(seed: seed)
        let harness = try harness(pages: 20, adapters: 8, adapterPages: 2, running: 3, reads: 2)
        var requests: [GenerationRequest] = []
        for id in 1...60 as ClosedRange<UInt64> {
            var request = GenerationRequest(
                id: RequestID(id), adapter: AdapterName("a\(Int.random(in: 0..<8, using: &random))"), prompt: [Int32(id % 50) + 2, 9], maxTokens: Int.random(in: 1...30, using: &random))
            request.ignoresEndTokens = true
            request.sampling.seed = id
            requests.append(request)
            harness.submit(request)
        }
        var steps = 0
        while harness.engine.hasWork || !harness.reader.reads.isEmpty {
            if Int.random(in: 0..<4, using: &random) == 0, !harness.reader.reads.isEmpty { harness.reader.complete(in: harness.engine) }
            harness.step()
            steps += 1
            #expect(steps < 20_000, "seed \(seed)")
        }
        for request in requests {
            let version = UInt64(request.adapter!.text.dropFirst())! + 1
            #expect(try harness.outcomes[request.id] == Harness.alone(request, adapter: (version, 2)), "seed \(seed), request \(request.id)")
        }
        let lookups = harness.engine.poolPicture.adapters
        #expect(lookups.queries == 60 && lookups.hits > 30, "seed \(seed): \(lookups)")
    }

    /// Two tenants whose adapters do not fit together: each is read once and used, though the reading makes it the other's turn.
    @Test(arguments: [ServiceClass.interactive, .bulk])
    func whatWasReadIsUsedBeforeItMakesWay(serviceClass: ServiceClass) throws {
        let harness = try Harness(pages: 8, configuration: .withoutPrefixes)
        var requests: [RequestID] = []
        for (index, tenant) in [TenantName.a, .b].enumerated() {
            try harness.register("a\(index)", version: UInt64(index + 1), pages: 4)
            requests.append(
                harness.submit(Array(repeating: 5, count: 40), maxTokens: 4, adapter: "a\(index)") { ($0.tenant, $0.serviceClass) = (tenant, serviceClass) })
        }
        for _ in 0..<200 {
            harness.step()
            if !harness.reader.reads.isEmpty { harness.reader.complete(0, in: harness.engine) }
        }
        for id in requests { #expect(harness.outcomes[id]!.finish == .length, "after \(harness.engine.counterSnapshot.adapterLoads) reads") }
        #expect(harness.engine.counterSnapshot.adapterLoads == 2)
    }
}
