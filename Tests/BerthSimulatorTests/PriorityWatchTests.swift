// What the simulator sees of priorities, and what it does not take for a fault.

import BerthCore
import BerthEngine
import BerthKernels
import Testing

@testable import BerthSimulator

@Suite struct PriorityWatchTests {
    private typealias Standing = PriorityWatch.Standing

    private static let running = Standing(isRunning: true, isQueued: false, isDecoding: true)
    private static let waiting = Standing()
    private static let reading = Standing(isQueued: false)

    /// A watch over requests of one tenant with these priorities, numbered from 1 in the order in which they came.
    private static func watch(_ priorities: [Int], overtakings: Int = 2, _ serviceClass: ServiceClass = .interactive) -> PriorityWatch {
        var watch = PriorityWatch(tenants: 1, overtakings: overtakings)
        for (index, priority) in priorities.enumerated() { watch.begin(RequestID(UInt64(index + 1)), tenant: 0, serviceClass, priority: priority) }
        return watch
    }

    private static func look(_ watch: inout PriorityWatch, _ standings: [Standing], raised: Int = 0, preemptions: Int = 0) -> String? {
        var counters = EngineCounters()
        (counters.raisedRequests, counters.preemptions) = (raised, preemptions)
        let numbered = standings.enumerated().map { (RequestID(UInt64($0.offset + 1)), $0.element) }
        return watch.fault(now: Dictionary(uniqueKeysWithValues: numbered), counters)
    }

    @Test func theUrgentGoFirst() {
        for (standings, fault) in [([Self.running, Self.waiting], "2, which is more urgent"), ([Self.waiting, Self.running], nil), ([Self.running, Self.reading], nil)] {
            var watch = Self.watch([1, 0])
            let found = Self.look(&watch, standings)
            #expect(fault.map { found?.contains($0) == true } ?? (found == nil), "\(found ?? "no fault")")
        }
        // Of equals, and of who was raised, it is no fault.
        var equals = Self.watch([1, 1])
        #expect(Self.look(&equals, [Self.waiting, Self.running]) == nil)
        var raised = Self.watch([1, 0, 0], overtakings: 1)
        var old = Self.waiting
        old.isRaised = true
        #expect(Self.look(&raised, [old, Self.running, Self.waiting], raised: 1) == nil)
        (old.isRunning, old.isQueued) = (true, false)
        #expect(Self.look(&raised, [old, Self.running, Self.waiting], raised: 1) == nil)
    }

    @Test func theLeastUrgentBulkRequestMakesWay() {
        func preempted(_ index: Int, of priorities: [Int]) -> String? {
            var watch = Self.watch(priorities, .bulk)
            var standings = priorities.map { _ in Self.running }
            #expect(Self.look(&watch, standings) == nil)
            standings[index] = Standing(preemptions: 1)
            return Self.look(&watch, standings, preemptions: 1)
        }
        #expect(preempted(2, of: [0, 5, 0])?.contains("2, which is less urgent, kept") == true)
        #expect(preempted(1, of: [0, 5, 0]) == nil)
    }

    @Test func oneIsRaisedForSoMany() {
        // Two are let in before the first, in two steps.
        func run(raised: [Int]) -> String? {
            var watch = Self.watch([1, 0, 0])
            var standings = [Self.waiting, Self.waiting, Self.waiting]
            for (step, raised) in raised.enumerated() {
                standings[step + 1] = Self.running
                standings[0].isRaised = raised > 0
                if let fault = Self.look(&watch, standings, raised: raised) { return fault }
            }
            return nil
        }
        #expect(run(raised: [0, 1]) == nil)
        #expect(run(raised: [1, 1])?.contains("not overtaken often enough") == true)
        #expect(run(raised: [0, 0])?.contains("often enough for 1") == true)
    }

    @Test func theOldestIsRaisedAndGoesNext() {
        var raised = Self.waiting
        raised.isRaised = true
        var wrong = Self.watch([1, 1, 0], overtakings: 1)
        #expect(Self.look(&wrong, [Self.waiting, raised, Self.running], raised: 1)?.contains("1 was passed with it and is older") == true)
        var late = Self.watch([1, 0, 0], overtakings: 1)
        #expect(Self.look(&late, [raised, Self.running, Self.running], raised: 1)?.contains("2 requests were let in before 1") == true)
    }

    /// Runs in which all say the same priority come to the same decisions, whichever that is.
    @Test(arguments: 1...30 as ClosedRange<UInt64>) func onePriorityIsNone(seed: UInt64) throws {
        let compute = try Compute(kernels: .scalar, threads: 1)
        let reports = try [0, -9, 1000].map { priority in
            var scenario = SeedSweep.scenario(seed: seed)
            for index in scenario.tenants.indices { scenario.tenants[index].priorities = [priority] }
            return try Simulation(scenario, seed: seed, compute: compute).run()
        }
        #expect(reports.allSatisfy { $0.violation == nil && $0.digest == reports[0].digest && $0.counters == reports[0].counters }, "seed \(seed)")
    }

    /// Under a flood of its own a tenant's urgent requests have their first tokens much sooner than its others, which have theirs, too; another tenant's have theirs as soon as ever.
    @Test func urgentRequestsAreServedFirst() throws {
        func medians(_ priorities: [Int]) throws -> (own: Double, other: Double, raised: Int) {
            var scenario = Scenario()
            scenario.machine.configuration.runningRequests = 4
            scenario.seconds = 200
            for (name, depth) in [("a", 30), ("b", 6)] {
                var load = TenantLoad(TenantName(name)!, .clients(count: depth, thinking: 0))
                (load.prompt, load.output, load.endsAtEndToken, load.mostRequests) = (.fixed(20), .fixed(16), false, 400)
                if name == "a" { load.priorities = priorities }
                scenario.tenants.append(load)
            }
            let report = try Simulation(scenario, seed: 3, compute: Compute(kernels: .scalar, threads: 1)).run()
            #expect(report.violation == nil, "\(report.violation as Any)")
            return (report.tenants[0].firstToken.percentile(0.25), report.tenants[1].firstToken.percentile(0.5), report.counters.raisedRequests)
        }
        let (equal, mixed) = (try medians([0]), try medians([0, 1]))
        #expect(mixed.own < 0.5 * equal.own, "\(mixed.own) and \(equal.own)")
        #expect(abs(mixed.other / equal.other - 1) < 0.1, "\(mixed.other) and \(equal.other)")
        #expect(equal.raised == 0 && mixed.raised > 10)
    }
}
