// Runs in which the machine is not what it was at the beginning.

import BerthCore
import BerthEngine
import BerthKernels
import Testing

@testable import BerthSimulator

@Suite struct MovingMemoryTests {
    /// Pressure rises part by part, falls part by part, and comes to rest in between.
    @Test func pressureComesAndGoesByParts() {
        var random = RandomSource(seed: 4), walk = PressureWalk(), seen: Set<Int> = []
        for _ in 0..<2000 {
            let before = walk.withheld
            walk.step(&random)
            #expect(abs(walk.withheld - before) <= 1)
            seen.insert(walk.withheld)
        }
        #expect(seen == Set(0...12))
    }

    /// Where the limit falls below what a request may come to, it may be told so, and where the limit never does, nobody is: `failuresHaveCauses` sees to it.
    @Test func requestsFailForTheLeastLimit() throws {
        var overloaded: [Int] = []
        for least in [4, 16] {
            var scenario = Scenario()
            scenario.machine.pages = 24
            scenario.machine.configuration.runningRequests = 4
            var load = TenantLoad(TenantName("t")!, .clients(count: 6, thinking: 0))
            (load.prompt, load.output, load.endsAtEndToken, load.mostRequests) = (.fixed(60), .fixed(140), false, 24)
            scenario.tenants = [load]
            scenario.seconds = 1000
            (scenario.faults.limitSeconds, scenario.faults.limitPages) = (1, least...30)
            let report = try Simulation(scenario, seed: 1, compute: Compute(kernels: .scalar, threads: 1)).run()
            #expect(report.violation == nil && report.memoryMoves > 10 && report.counters.preemptions > 0)
            let failed = report.tenants[0].failed
            overloaded.append(failed["overloaded", default: 0])
            #expect(report.tenants[0].finished + overloaded.last! == 24 && failed.keys.allSatisfy { $0 == "overloaded" }, "\(failed)")
        }
        #expect(overloaded[0] > 0 && overloaded[1] == 0, "\(overloaded)")
    }

    /// Who asks for little beside a tenant with many streams does not wait for their steps, where these can be left.
    @Test func stepsAreLeftForNewcomers() throws {
        var times: [Double] = []
        for pieces in [1, 16] {
            var scenario = Scenario()
            scenario.machine.pages = 200
            scenario.machine.stepPieces = pieces
            scenario.machine.configuration.runningRequests = 32
            var many = TenantLoad(TenantName("many")!, .clients(count: 24, thinking: 0))
            (many.prompt, many.output, many.endsAtEndToken) = (.fixed(4), .fixed(60), false)
            var few = TenantLoad(TenantName("few")!, .poisson(rate: 0.5))
            (few.prompt, few.output) = (.fixed(2), .fixed(1))
            scenario.tenants = [many, few]
            scenario.seconds = 60
            let report = try Simulation(scenario, seed: 3, compute: Compute(kernels: .scalar, threads: 1)).run()
            #expect(report.violation == nil && (report.leftSteps > 5) == (pieces > 1), "\(report.leftSteps) steps were left")
            times.append(report.tenants[1].firstToken.percentile(0.5))
        }
        #expect(times[1] < 0.7 * times[0], "\(times)")
    }
}
