// Runs whose outcome can be told beforehand.

import BerthCore
import BerthEngine
import BerthKernels
import Testing

@testable import BerthSimulator

@Suite struct SimulationTests {
    private static func run(_ scenario: Scenario, seed: UInt64 = 1) throws -> SimulationReport {
        let report = try Simulation(scenario, seed: seed, compute: Compute(kernels: .scalar, threads: 1)).run()
        #expect(report.violation == nil)
        return report
    }

    private static func scenario(_ arrivals: Arrivals, prompt: Int, output: Int) -> Scenario {
        var scenario = Scenario()
        scenario.machine.pages = 400
        scenario.machine.costs = StepCosts()
        var load = TenantLoad(TenantName("t")!, arrivals)
        (load.prompt, load.output, load.endsAtEndToken) = (.fixed(prompt), .fixed(output), false)
        scenario.tenants = [load]
        return scenario
    }

    /// One request alone takes what its steps cost.
    @Test func aRequestTakesWhatItsStepsCost() throws {
        let scenario = Self.scenario(.together(count: 1), prompt: 20, output: 5)
        let costs = scenario.machine.costs
        var first = StepWork()
        first.add(rows: 20, after: 0, logitRows: 1, hasAdapter: false)
        let report = try Self.run(scenario)
        let wanted = (costs.request + costs.wake + costs.nanoseconds(of: first)) / 1e9
        #expect(abs(report.firstToken.percentile(0.5) / wanted - 1) < 0.03)
        var next = StepWork()
        next.add(rows: 1, after: 21, logitRows: 1, hasAdapter: false)
        #expect(abs(report.gap.percentile(0.5) / (costs.nanoseconds(of: next) / 1e9) - 1) < 0.03)
        #expect(report.outputTokens == 5)
    }

    /// Who comes while the engine wakes up for somebody else shares that one's step; who comes a little later waits for its end.
    @Test func whoComesWhileTheEngineWakesIsInItsStep() throws {
        func firstTokens(apart seconds: Double) throws -> [Double] {
            var scenario = Self.scenario(.together(count: 1), prompt: 20, output: 5)
            var second = scenario.tenants[0]
            (second.name, second.begins) = (TenantName("later")!, seconds)
            scenario.tenants.append(second)
            return try Self.run(scenario).tenants.map { $0.firstToken.percentile(0.5) }
        }
        let together = try firstTokens(apart: 1e-4), apart = try firstTokens(apart: 6e-4)
        #expect(abs(together[1] / together[0] - 1) < 0.03, "\(together)")
        #expect(apart[1] > 1.5 * apart[0], "\(apart)")
    }

    /// Streams share a step: sixteen are faster together than one after the other.
    @Test func streamsShareSteps() throws {
        let one = try Self.run(Self.scenario(.together(count: 1), prompt: 4, output: 40))
        let many = try Self.run(Self.scenario(.together(count: 16), prompt: 4, output: 40))
        #expect(many.tokensPerSecond > 2 * one.tokensPerSecond)
    }

    /// More memory for adapters, more of them found there.
    @Test func memoryHoldsAdapters() throws {
        var rates: [Double] = []
        for pages in [40, 80, 200] {
            var scenario = Self.scenario(.poisson(rate: 4), prompt: 8, output: 6)
            scenario.machine.pages = pages
            scenario.adapters = AdapterPopulation(count: 60, pages: 2...2)
            (scenario.tenants[0].adapterShare, scenario.tenants[0].adapters) = (1, 0..<60)
            scenario.seconds = 60
            rates.append(try #require(Self.run(scenario).adapterHitRate))
        }
        #expect(rates[0] < rates[1] && rates[1] < rates[2], "\(rates)")
    }

    /// Time that a step waits for experts passes on the clock: a slow disk makes slow tokens.
    @Test func expertsAreWaitedFor() throws {
        var speeds: [Double] = []
        for bytesPerSecond in [1e7, 1e9] {
            var scenario = Self.scenario(.together(count: 2), prompt: 8, output: 20)
            scenario.routing = ExpertRouting()
            scenario.machine.pages = 60
            scenario.machine.mostExpertPages = 20
            scenario.machine.disk.bytesPerSecond = bytesPerSecond
            speeds.append(try Self.run(scenario).tokensPerSecond)
        }
        #expect(speeds[1] > 3 * speeds[0], "\(speeds)")
    }

    /// Two tenants that flood have what their weights say.
    @Test func floodsGoByWeight() throws {
        var scenario = Scenario()
        scenario.machine.configuration.runningRequests = 8
        scenario.seconds = 400
        for (name, depth, weight) in [("a", 20, 2.0), ("b", 60, 1.0)] {
            var load = TenantLoad(TenantName(name)!, .clients(count: depth, thinking: 0))
            (load.prompt, load.output, load.policy.weight) = (.fixed(20), .fixed(16), weight)
            scenario.tenants.append(load)
        }
        let report = try Self.run(scenario)
        let ratio = Double(report.tenants[0].outputTokens) / Double(report.tenants[1].outputTokens)
        #expect((1.6...2.2).contains(ratio), "\(ratio)")
    }

    /// A token that the request alone would not have is seen.
    @Test func anotherTokenIsSeen() {
        let function = TokenFunction()
        let prompt: [Int32] = [5, 9, 33, 7]
        func output(_ prompt: [Int32], adapter: UInt64 = 0) -> [Int32] {
            function.output(of: prompt, adapter: adapter, maxTokens: 12, endsAtEndToken: false, contextLength: 100)
        }
        let wanted = output(prompt)
        #expect(wanted.count == 12 && wanted == output(prompt))
        #expect(wanted != output([5, 9, 34, 7]) && wanted != output(prompt, adapter: 1) && wanted != output([9, 5, 33, 7]))
    }
}
