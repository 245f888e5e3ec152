// Tenants beside each other: each has its share, whatever the others ask for.

import BerthCore
import BerthMemory
import Testing

@testable import BerthEngine

@Suite struct FairnessTests {
    private static func configuration(running: Int, stepTokens: Int = 64) -> EngineConfiguration {
        var configuration = EngineConfiguration.withoutPrefixes
        configuration.runningRequests = running
        configuration.stepTokens = stepTokens
        return configuration
    }

    private static func harness(pages: Int = 64, running: Int, stepTokens: Int = 64) throws -> Harness {
        let harness = try Harness(pages: pages, configuration: configuration(running: running, stepTokens: stepTokens))
        harness.isProving = false
        return harness
    }

    private static func policy(_ change: (inout TenantPolicy) -> Void) -> TenantPolicy {
        var policy = TenantPolicy()
        change(&policy)
        return policy
    }

    /// The theorem of virtual counters: of two tenants that both wait, neither is ahead by more than twice the dearest admission (the paper's bound), over any loads.
    @Test(arguments: 1...12 as ClosedRange<UInt64>) func countersOfThoseWhoWaitStayTogether(seed: UInt64) throws {
        var random = RandomSource(seed: seed)
        let pages = Int.random(in: 16...40, using: &random)
        let harness = try Self.harness(pages: pages, running: Int.random(in: 2...12, using: &random), stepTokens: Int.random(in: 16...64, using: &random))
        let weights = [1, Double.random(in: 0.5...3, using: &random)]
        harness.engine.setTenants([.a: Self.policy { $0.weight = weights[0] }, .b: Self.policy { $0.weight = weights[1] }])
        let names = [TenantName.a, .b]
        let flood = Flood(
            harness,
            names.map { name in
                let prompt = Int.random(in: 1...80, using: &random), output = Int.random(in: 1...60, using: &random)
                return Flood.Load(tenant: name, depth: Int.random(in: 20...90, using: &random), prompt: 1...prompt, output: 1...output)
            }, seed: seed)
        let bound = 2 * max(80, ServicePrices.outputBounds.upperBound * Double(pages * 16)) / weights.min()!
        var most = 0.0
        for _ in 0..<2500 {
            flood.step()
            most = max(most, abs(flood.counter(.a) - flood.counter(.b)))
        }
        let service = flood.counter(.a) + flood.counter(.b)
        #expect(most <= bound, "seed \(seed)")
        #expect(most < 0.1 * service, "seed \(seed): \(most) apart of \(service)")
        harness.engine.checkInvariants()
    }

    /// Two tenants that flood, one with many times the requests of the other: each has what its weight says, to five per cent.
    @Test(arguments: [1.0, 2, 3]) func serviceGoesByWeightAndNotByDemand(weight: Double) throws {
        let harness = try Self.harness(pages: 120, running: 16)
        harness.engine.setTenants([.a: Self.policy { $0.weight = weight }])
        // Who has the greater share has the smaller demand.
        let flood = Flood(
            harness,
            [
                .init(tenant: .a, depth: 30, prompt: 1...40, output: 1...40), .init(tenant: .b, depth: weight == 1 ? 60 : 120, prompt: 1...40, output: 1...40),
            ], seed: 5)
        for _ in 0..<8000 { flood.step() }
        let (a, b) = (flood.use(.a), flood.use(.b))
        let tokens = Double(a.promptTokens + a.generatedTokens) / Double(b.promptTokens + b.generatedTokens)
        #expect(abs(tokens / weight - 1) < 0.05, "\(tokens) instead of \(weight)")
        #expect(abs(a.computeSeconds / b.computeSeconds / weight - 1) < 0.05)
    }

    /// A place for each of two tenants is not yet a half for each: whoever has had less gets the place that is free, and keeps it, though the other then has none.
    @Test(arguments: 1...4 as ClosedRange<UInt64>) func fewPlacesGoByServiceToo(seed: UInt64) throws {
        let flood = Flood(
            try Self.harness(pages: 12, running: 2),
            [.init(tenant: .a, depth: 14, prompt: 1...8, output: 1...22), .init(tenant: .b, depth: 8, prompt: 1...26, output: 1...22)], seed: seed)
        var most = 0.0
        for _ in 0..<4000 {
            flood.step()
            most = max(most, abs(flood.counter(.a) - flood.counter(.b)))
        }
        // Twice the dearest admission.
        #expect(most <= 2 * (26 + ServicePrices.outputBounds.upperBound * 22), "seed \(seed)")
        #expect(most < 0.02 * (flood.counter(.a) + flood.counter(.b)), "seed \(seed): \(most) apart")
    }

    /// Fairness costs nothing where nobody needs it: the same floods as one tenant's, in as many steps.
    @Test func fairnessCostsNoThroughput() throws {
        func tokens(_ other: TenantName) throws -> Int {
            let harness = try Self.harness(pages: 60, running: 16)
            let flood = Flood(
                harness, [.init(tenant: .a, depth: 30, prompt: 1...40, output: 1...40), .init(tenant: other, depth: 60, prompt: 1...40, output: 1...40)], seed: 8)
            for _ in 0..<3000 { flood.step() }
            return harness.engine.counterSnapshot.generatedTokens + harness.engine.counterSnapshot.promptTokens
        }
        let (fair, single) = (try tokens(.b), try tokens(.a))
        print("tokens of two floods with fairness and as one tenant's: \(fair) and \(single)")
        #expect(Double(fair) >= 0.98 * Double(single))
    }

    /// The measured case: 600 streams are there. With order of arrival a newcomer waits for all of them.
    @Test func aNewcomerDoesNotWaitForAFlood() throws {
        let harness = try Self.harness(pages: 400, running: 64, stepTokens: 128)
        for _ in 0..<600 { harness.submit([3, 4, 5], maxTokens: 150) { $0.tenant = .a } }
        for _ in 0..<40 { harness.step() }
        #expect(harness.engine.running.count == 64)
        let newcomer = harness.submit(Array(repeating: 7, count: 20), maxTokens: 16) { $0.tenant = .b }
        var steps = 0
        while !harness.outcomes[newcomer]!.isOver, steps < 5000 {
            harness.step()
            steps += 1
        }
        #expect(steps <= 18, "\(steps) steps for 16 tokens")
        #expect(harness.engine.counterSnapshot.preemptions <= 1)
        // The flood goes on to its end.
        harness.run()
        #expect(harness.engine.tenantStatuses.map(\.use.finishedRequests) == [600, 1])
    }

    /// A prompt of a newcomer is computed before the flood's prompts that were let in before it.
    @Test func aNewcomersPromptGetsRowsFirst() throws {
        let harness = try Self.harness(pages: 400, running: 32, stepTokens: 32)
        for _ in 0..<20 { harness.submit(Array(repeating: 3, count: 200), maxTokens: 4) { $0.tenant = .a } }
        for _ in 0..<5 { harness.step() }
        let newcomer = harness.submit(Array(repeating: 7, count: 30), maxTokens: 2) { $0.tenant = .b }
        var steps = 0
        while harness.outcomes[newcomer]!.tokens.isEmpty {
            harness.step()
            steps += 1
        }
        #expect(steps <= 3)
    }

    /// A tenant that asks for something now and then, beside one that floods with prompts and streams: its first token waits for the step that is under
    /// way and shares its own with the flood's streams, and that is all.
    @Test func aLightTenantWaitsForNoQueue() throws {
        func firstTokens(flooded: Bool) throws -> [Double] {
            var configuration = EngineConfiguration.withoutPrefixes
            configuration.runningRequests = 24
            let run = try PacedRun(interval: 100, configuration: configuration) { _, load in 5 + 0.5 * Double(load.rows) }
            run.harness.isProving = false
            let flood = Flood(run.harness, [.init(tenant: .a, depth: flooded ? 100 : 0, prompt: 20...120, output: 5...60)], seed: 6)
            var waits: [Double] = [], last: (id: RequestID, time: Double)?
            for step in 1...6000 where waits.count < 40 {
                if !flooded, last == nil { run.harness.now += 10_000_000 }
                if let (id, time) = last, let first = run.firstToken(id) {
                    waits.append(first - time)
                    last = nil
                } else if last == nil, step % 7 == 0 {
                    // It comes at some point within a step, which is not known before: half of it has passed.
                    let id = run.harness.submit(PacedRun.prompt(200), maxTokens: 5) { $0.tenant = .b }
                    last = (id, run.milliseconds - (flooded ? (run.steps.last?.milliseconds ?? 0) / 2 : 0))
                }
                flood.submit()
                run.step()
            }
            return waits.sorted()
        }
        let alone = try firstTokens(flooded: false), beside = try firstTokens(flooded: true)
        let (median, floodedMedian) = (alone[alone.count / 2], beside[beside.count / 2])
        print("first token of a light tenant: \(Int(median)) ms alone, \(Int(floodedMedian)) ms beside a flood")
        #expect(alone.count == 40 && beside.count == 40)
        #expect(floodedMedian < 2.2 * median)
    }

    /// What an idle tenant did not use is gone: it has half from when it is back, not more.
    @Test func idlenessIsNotSavedUp() throws {
        let harness = try Self.harness(running: 8)
        let a = Flood.Load(tenant: .a, depth: 30, prompt: 1...30, output: 1...30)
        let flood = Flood(harness, [a], seed: 3)
        harness.submit([3], maxTokens: 2) { $0.tenant = .b }
        for _ in 0..<2000 { flood.step() }
        let before = flood.use(.a).generatedTokens
        #expect(flood.counter(.b) < 0.01 * flood.counter(.a))
        flood.loads.append(.init(tenant: .b, depth: 30, prompt: 1...30, output: 1...30))
        flood.step()
        #expect(flood.counter(.b) > 0.9 * flood.counter(.a))
        for _ in 0..<400 { flood.step() }
        let (a2, b2) = (flood.use(.a).generatedTokens - before, flood.use(.b).generatedTokens)
        #expect((0.8...1.25).contains(Double(a2) / Double(b2)), "\(a2) against \(b2)")
    }

    /// However small its weight and however many the others: everybody is served.
    @Test func nobodyStarves() throws {
        let harness = try Self.harness(pages: 40, running: 8)
        let others = (0..<30).map { TenantName("t\($0)")! }
        harness.engine.setTenants([.b: Self.policy { $0.weight = 0.1 }])
        let flood = Flood(
            harness, (others + [.b]).map { .init(tenant: $0, depth: 4, prompt: 1...20, output: 1...20) }, seed: 11)
        var last: [TenantName: Int] = [:], longest = 0
        var ended: [TenantName: Int] = [:]
        for step in 0..<4000 {
            flood.step()
            for status in harness.engine.tenantStatuses where status.use.finishedRequests > ended[status.tenant, default: 0] {
                longest = max(longest, step - last[status.tenant, default: 0])
                (ended[status.tenant], last[status.tenant]) = (status.use.finishedRequests, step)
            }
        }
        #expect(ended.count == 31 && ended.values.min()! >= 2 && longest < 1600, "\(ended), \(longest)")
        #expect(Double(ended[.b]!) < 0.3 * Double(ended[others[0]]!))
    }

    /// A thousand tenants, each with a request: all are served, and those that are idle are forgotten when there are too many.
    @Test func thousandsOfTenantsComeAndGo() throws {
        let harness = try Self.harness(pages: 100, running: 32)
        for round in 0..<12 {
            for index in 0..<1000 { harness.submit([3, 4], maxTokens: 2) { $0.tenant = TenantName("r\(round).\(index)")! } }
            harness.run()
        }
        #expect(harness.outcomes.values.allSatisfy { $0.finish == .length })
        let known = harness.engine.tenantStatuses
        #expect(known.count <= Limits.rememberedTenants && known.contains { $0.tenant.text == "r11.999" } && !known.contains { $0.tenant.text == "r0.0" })
        harness.engine.checkInvariants()
    }

    /// A tenant's own bound makes it wait and nobody else.
    @Test func boundsOfATenantBlockNobodyElse() throws {
        let harness = try Self.harness(pages: 60, running: 16)
        harness.engine.setTenants([.a: Self.policy { $0.maxRunning = 3 }, .b: Self.policy { $0.kv.ceilingPages = 5 }])
        let flood = Flood(
            harness, [.a, .b, .c].map { .init(tenant: $0, depth: 20, prompt: 1...40, output: 1...30) }, seed: 2)
        var others = 0
        for _ in 0..<600 {
            flood.step()
            let status = Dictionary(uniqueKeysWithValues: harness.engine.tenantStatuses.map { ($0.tenant, $0) })
            #expect(status[.a]!.running <= 3 && status[.b]!.pages <= 5)
            others = max(others, status[.c]!.running)
        }
        #expect(others >= 8 && flood.use(.a).finishedRequests > 20 && flood.use(.b).finishedRequests > 20)
        // What can never fit is refused, with the tenant's bound.
        let large = harness.submit(Array(repeating: 3, count: 90), maxTokens: 2) { $0.tenant = .b }
        harness.step()
        #expect(harness.outcomes[large]!.failure?.message.contains("blue may have 80") == true)
    }

    /// Pages that come free are kept for whoever is first in line: others' small streams, none of which holds enough to have to make way, do not take them one by one
    /// from a request that needs most of the pool.
    @Test(arguments: 1...8 as ClosedRange<UInt64>) func freePagesAreKeptForTheFirstInLine(seed: UInt64) throws {
        let harness = try Self.harness(pages: 18, running: 16)
        let flood = Flood(harness, [.init(tenant: .a, depth: 2, prompt: 1...20, output: 20...28), .init(tenant: .c, depth: 2, prompt: 1...20, output: 20...28)], seed: seed)
        for _ in 0..<20 { flood.step() }
        let large = harness.submit(Array(repeating: 3, count: 220), maxTokens: 2) { $0.tenant = .b }
        let before = flood.steps
        while !harness.outcomes[large]!.isOver, flood.steps < before + 600 { flood.step() }
        // Those who run come to their ends, and then its prompt is computed.
        #expect(flood.steps - before < 60, "seed \(seed): \(flood.steps - before) steps")
        #expect(flood.use(.a).preemptions + flood.use(.c).preemptions == 0, "seed \(seed)")
    }

    /// Pages below a tenant's floor are there when it comes, whatever a flood holds.
    @Test func floorsAreKept() throws {
        let harness = try Self.harness(pages: 24, running: 16)
        harness.engine.setTenants([.b: Self.policy { $0.kv.floorPages = 10; $0.weight = 0.01 }])
        let flood = Flood(harness, [.init(tenant: .a, depth: 30, prompt: 20...40, output: 20...30)], seed: 4)
        for _ in 0..<100 { flood.step() }
        let large = harness.submit(Array(repeating: 3, count: 140), maxTokens: 10) { $0.tenant = .b }
        for _ in 0..<2 { flood.step() }
        #expect(harness.engine.requests.first { $0.id == large }!.pages >= 9)
        while !harness.outcomes[large]!.isOver, flood.steps < 400 { flood.step() }
        #expect(harness.outcomes[large]!.finish == .length && flood.use(.b).preemptions == 0)
    }

    /// Sums by tenant add up to the engine's, and disk and time have owners.
    @Test func everythingIsBookedOnce() throws {
        let harness = try Self.harness(pages: 40, running: 8)
        try harness.register("one", version: 1, pages: 2)
        for index in 0..<30 {
            harness.submit(Array(repeating: 3, count: 1 + index), maxTokens: 10, adapter: index % 3 == 0 ? "one" : nil) { $0.tenant = [.a, .b, .c][index % 3] }
        }
        harness.submit([99]) { $0.tenant = .b }
        harness.run()
        let engine = harness.engine
        let statuses = engine.tenantStatuses
        let sum = statuses.reduce(into: TenantUse()) { $0 += $1.use }
        let counters = engine.counterSnapshot
        #expect(sum.promptTokens == counters.promptTokens && sum.generatedTokens == counters.generatedTokens && sum.finishedRequests == 30)
        #expect(sum.refusedRequests == 1 && statuses[1].use.refusedRequests == 1 && counters.failedRequests == 1)
        #expect(statuses[0].use.diskBytes == 8192 && sum.diskBytes == 8192)
        #expect(statuses[0].adapters.map(\.adapter?.text) == ["one"] && statuses[0].adapters[0].use == statuses[0].use)
        // The harness lets each step take a microsecond.
        #expect(abs(sum.computeSeconds - Double(counters.steps) * 1e-6) < 3e-6)
    }
}
