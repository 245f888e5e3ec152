// Priorities order what is a tenant's own, take nothing from anybody else, and let nobody starve.

import BerthCore
import BerthMemory
import Testing

@testable import BerthEngine

@Suite struct PriorityTests {
    private static func harness(running: Int, pages: Int = 64, stepTokens: Int = 64, _ change: (inout EngineConfiguration) -> Void = { _ in }) throws -> Harness {
        var configuration = EngineConfiguration.withoutPrefixes
        configuration.runningRequests = running
        configuration.stepTokens = stepTokens
        change(&configuration)
        return try Harness(pages: pages, configuration: configuration)
    }

    // MARK: the queue

    @Test(arguments: ServiceClass.allCases) func theQueueGoesByPriorityAndThenByAge(serviceClass: ServiceClass) throws {
        let harness = try Self.harness(running: 1)
        let first = harness.submit([3], maxTokens: 6) { $0.serviceClass = serviceClass }
        harness.step()
        // Of bulk requests as many run as a wave takes: they wait for pages here.
        if serviceClass == .bulk { harness.pool.setShare(PoolShare(ceilingPages: 1), for: .kv) }
        let ids = [3, 0, -1000, 0, 1000, -1000].map { priority in
            harness.submit([4, 5], maxTokens: 1) { ($0.priority, $0.serviceClass) = (priority, serviceClass) }
        }
        #expect(harness.ends(of: [first] + ids) == [first, ids[2], ids[5], ids[1], ids[3], ids[0], ids[4]])
        harness.engine.checkInvariants()
    }

    /// A priority that is no difference makes none.
    @Test(arguments: [-3, 7]) func onePriorityIsNone(priority: Int) throws {
        func run(_ priority: Int) throws -> ([RequestID: Outcome], UInt64, EngineCounters) {
            let harness = try Self.harness(running: 6, pages: 14) { $0.admissionRule = .optimistic }
            var random = RandomSource(seed: 4)
            for _ in 0..<40 {
                let prompt = (0..<Int.random(in: 1...40, using: &random)).map { _ in Int32.random(in: 2..<50, using: &random) }
                harness.submit(prompt, maxTokens: Int.random(in: 1...40, using: &random)) {
                    ($0.tenant, $0.priority) = ([.a, .b].randomElement(using: &random)!, priority)
                    $0.serviceClass = Int.random(in: 0..<4, using: &random) == 0 ? .bulk : .interactive
                }
            }
            harness.run()
            return (harness.outcomes, harness.now, harness.engine.counterSnapshot)
        }
        let (one, none) = (try run(priority), try run(0))
        #expect(one.0 == none.0 && one.1 == none.1 && one.2 == none.2 && one.2.preemptions > 0 && one.2.raisedRequests == 0)
    }

    @Test func whatIsNoPriorityIsRefused() throws {
        let harness = try Self.harness(running: 1)
        for priority in [-1001, 1001, .min, .max] {
            let id = harness.submit([3]) { $0.priority = priority }
            harness.run()
            let failure = harness.outcomes[id]!.failure
            #expect(failure?.code == .invalidRequest && failure!.message.contains("priority is \(priority)"))
        }
    }

    /// One that was preferred to an older one as urgent as it, and found no pages, keeps those from pages who are less urgent, and nobody else.
    @Test func whoFindsNoPagesKeepsOnlyTheLessUrgentBack() throws {
        let harness = try Self.harness(running: 1)
        let ids = [0, 0, 0, 4, 4].map { priority in harness.submit([3], maxTokens: 1) { ($0.tenant, $0.priority) = (.a, priority) } }
        let other = harness.submit([3], maxTokens: 1) { ($0.tenant, $0.priority) = (.b, 9) }
        let all = (ids + [other]).map { harness.engine.active[$0]! }
        // The second is asked first.
        var order = FairOrder([(all[0].tenant, 0, [all[1], all[0], all[2], all[3], all[4]]), (all[5].tenant, 1, [all[5]])])
        #expect(order.next() === all[1] && order.wasPreferred(all[1], among: 8))
        order.setAside(lessUrgentThan: all[1])
        #expect(order.next() === all[0] && !order.wasPreferred(all[0], among: 8))
        #expect(order.next() === all[2] && order.next() === all[5] && order.next() == nil)
        harness.run()
    }

    // MARK: age

    /// Of a backlog that urgent requests keep overtaking, one in nine goes by age; and so it is within one pass over the queue, however many are let in.
    @Test(arguments: [1, 12]) func oneInSoManyGoesByAge(running: Int) throws {
        let harness = try Self.harness(running: running)
        let patient = (0..<2).map { _ in harness.submit([3, 4], maxTokens: 1) { $0.priority = 5 } }
        let urgent = (0..<40).map { _ in harness.submit([5, 6], maxTokens: 1) }
        let overtakings = Limits.overtakings
        let order = urgent[..<overtakings] + [patient[0]] + urgent[overtakings..<2 * overtakings] + [patient[1]] + urgent[(2 * overtakings)...]
        if running == 1 {
            #expect(harness.ends(of: patient + urgent) == Array(order))
        } else {
            harness.step()
            #expect(Set(harness.outcomes.filter(\.value.isOver).keys) == Set(order.prefix(running)))
            harness.run()
        }
        #expect(harness.engine.counterSnapshot.raisedRequests == 2 && harness.engine.tenantStatuses.map(\.use.raisedRequests) == [2])
    }

    /// A backlog that is never worked off is no queue by age: an urgent request waits for one raised at most, however long the others have waited.
    @Test func aBacklogDoesNotHoldUpUrgentOnes() throws {
        let harness = try Self.harness(running: 1)
        harness.isProving = false
        for _ in 0..<400 { harness.submit([3, 4], maxTokens: 1) { $0.priority = 1 } }
        var raised = 0
        for round in 1...270 {
            let urgent = harness.submit([5, 6], maxTokens: 1)
            var others = 0
            while !harness.outcomes[urgent]!.isOver {
                let before = harness.outcomes.values.count { $0.isOver }
                harness.step()
                others += harness.outcomes.values.count { $0.isOver } - before
            }
            #expect(others <= 2, "round \(round)")
            raised += others - 1
        }
        #expect(raised == 270 / Limits.overtakings && harness.engine.counterSnapshot.raisedRequests == raised)
    }

    /// Who is raised is so for life: preempted, it comes back before all others.
    @Test func whoWasRaisedComesBackFirst() throws {
        let harness = try Self.harness(running: 2) { $0.overtakings = 1 }
        let first = harness.submit([3], maxTokens: 60)
        harness.step()
        let patient = harness.submit([4], maxTokens: 20) { $0.priority = 9 }
        let urgent = (0..<6).map { _ in harness.submit([5, 6], maxTokens: 1) { $0.priority = -9 } }
        while harness.engine.active[patient]?.isRunning != true { harness.step() }
        #expect(harness.outcomes[urgent[0]]!.isOver && !harness.outcomes[urgent[1]]!.isOver)
        harness.engine.preempt(harness.engine.active[patient]!)
        harness.engine.stir()
        #expect(harness.ends(of: [patient] + urgent.dropFirst()) == [patient] + urgent.dropFirst())
        #expect(!harness.outcomes[first]!.isOver)
    }

    // MARK: the rows of prompts

    /// An urgent prompt gets its rows before those that its tenant's others were promised, beside another tenant or not.
    @Test(arguments: [false, true]) func urgentPromptsGetRowsFirst(isBesideAnother: Bool) throws {
        let harness = try Self.harness(running: 32, pages: 400, stepTokens: 32)
        if isBesideAnother { for _ in 0..<3 { harness.submit(Array(repeating: 9, count: 200), maxTokens: 2) { $0.tenant = .b } } }
        let long = (0..<6).map { _ in harness.submit(Array(repeating: 3, count: 200), maxTokens: 2) { $0.tenant = .a } }
        for _ in 0..<3 { harness.step() }
        let urgent = harness.submit(Array(repeating: 7, count: 30), maxTokens: 1) { ($0.tenant, $0.priority) = (.a, -1) }
        for _ in 0..<(isBesideAnother ? 4 : 1) { harness.step() }
        #expect(harness.outcomes[urgent]!.isOver && long.allSatisfy { harness.outcomes[$0]!.tokens.isEmpty })
        harness.run()
    }

    /// A long prompt that runs is not kept from rows for ever: the urgent ones that come after it are counted as those that overtake it in the queue.
    @Test func aPromptThatRunsComesToItsRows() throws {
        let harness = try Self.harness(running: 8, pages: 200, stepTokens: 16)
        let patient = harness.submit(Array(repeating: 3, count: 60), maxTokens: 1) { $0.priority = 1 }
        harness.step()
        var urgent: [RequestID] = []
        while !harness.outcomes[patient]!.isOver, urgent.count < 100 {
            // Another one comes in every step, and would take all of its rows.
            urgent.append(harness.submit(Array(repeating: 5, count: 16), maxTokens: 1))
            harness.step()
        }
        #expect((Limits.overtakings...Limits.overtakings + 4).contains(urgent.count), "\(urgent.count) came first")
        harness.run()
    }

    // MARK: who makes way

    /// Where pages run out the least urgent gives up its own, then the youngest of those; the oldest of all keeps them, whatever it said.
    @Test(arguments: [false, true]) func theLeastUrgentMakesWay(hasCeiling: Bool) throws {
        func preempted(_ priorities: [Int]) throws -> Set<Int> {
            let harness = try Self.harness(running: 8, pages: hasCeiling ? 64 : 10) { $0.admissionRule = .optimistic }
            var policy = TenantPolicy()
            if hasCeiling { policy.kv = PoolShare(ceilingPages: 10) }
            harness.engine.setTenants([.a: policy])
            let ids = priorities.map { priority in harness.submit([3, 4, 5], maxTokens: 60) { ($0.tenant, $0.priority) = (.a, priority) } }
            var first: Set<Int> = []
            while harness.engine.hasWork {
                harness.step()
                if first.isEmpty { first = Set(ids.indices.filter { harness.engine.active[ids[$0]]?.preemptions == 1 }) }
            }
            for id in ids { #expect(harness.outcomes[id]!.finish == .length) }
            return first
        }
        // Three want a third page at the same time, and two make way for them.
        #expect(try preempted([0, 0, 0, 0, 0]) == [3, 4])
        #expect(try preempted([0, 5, 0, 5, 0]) == [1, 3])
        #expect(try preempted([5, 0, 1, 0, 0]) == [2, 4])
    }

    /// A more urgent request takes no place from one that runs, also where its tenant has all the places that it may have; then it is the first.
    @Test func whoRunsKeepsItsPlace() throws {
        let harness = try Self.harness(running: 8)
        var policy = TenantPolicy()
        policy.maxRunning = 2
        harness.engine.setTenants([.a: policy])
        let running = (0..<2).map { index in harness.submit([3], maxTokens: 20 + 10 * index) { ($0.tenant, $0.priority) = (.a, 100) } }
        let waiting = harness.submit([4], maxTokens: 2) { ($0.tenant, $0.priority) = (.a, 100) }
        harness.step()
        let urgent = harness.submit([5], maxTokens: 2) { ($0.tenant, $0.priority) = (.a, -100) }
        #expect(harness.ends(of: running + [waiting, urgent]) == [running[0], urgent, waiting, running[1]])
        #expect(harness.engine.counterSnapshot.preemptions == 0)
    }

    // MARK: others

    /// Of two tenants that flood, what one says of its own requests changes nothing of when the other's tokens come.
    @Test(arguments: [1, 4]) func anotherTenantIsNotSlowed(running: Int) throws {
        func serve(_ priority: (Int) -> Int) throws -> (steps: [Int], order: [Int]) {
            let harness = try Self.harness(running: running, pages: 200, stepTokens: 128)
            harness.isProving = false
            var own: [RequestID] = [], others: [RequestID] = []
            for index in 0..<60 {
                own.append(harness.submit(Array(repeating: 3, count: 20), maxTokens: 8) { ($0.tenant, $0.priority) = (.a, priority(index)) })
                others.append(harness.submit(Array(repeating: 4, count: 20), maxTokens: 8) { $0.tenant = .b })
            }
            var steps = Array(repeating: 0, count: others.count), order: [Int] = [], step = 0
            while harness.engine.hasWork {
                harness.step()
                step += 1
                for (index, id) in others.enumerated() where harness.outcomes[id]!.isOver && steps[index] == 0 { steps[index] = step }
                for (index, id) in own.enumerated() where harness.outcomes[id]!.isOver && !order.contains(index) { order.append(index) }
            }
            return (steps, order)
        }
        let (mixed, equal) = (try serve { $0 < 50 ? 0 : -7 }, try serve { _ in 0 })
        #expect(zip(mixed.steps, equal.steps).allSatisfy { $0 <= $1 }, "\(zip(mixed.steps, equal.steps).map { $0 - $1 })")
        #expect(equal.order == Array(0..<60) && mixed.order.prefix(Limits.overtakings).allSatisfy { $0 == 0 || $0 >= 50 })
    }

    /// Who can no longer be served in time is found in the order in which they will be served.
    @Test func predictionsKnowWhoComesFirst() throws {
        var configuration = EngineConfiguration.withoutPrefixes
        configuration.runningRequests = 16
        let run = try PacedRun(stepTokens: 32, configuration: configuration) { _, load in PacedRun.twoCores(load) }
        // A prompt of 100 tokens takes a second.
        for _ in 0..<3 { run.prefill(run.harness.submit(PacedRun.prompt(100), maxTokens: 1)) }
        let start = run.milliseconds
        func submit(_ priority: Int) -> RequestID {
            run.harness.submit(PacedRun.prompt(100), maxTokens: 1) { ($0.priority, $0.deadline) = (priority, run.harness.now + 3_600_000_000) }
        }
        let patient = (0..<3).map { _ in submit(1) }, urgent = (0..<3).map { _ in submit(0) }
        run.step()
        #expect(patient.allSatisfy { run.harness.outcomes[$0]!.failure?.code == .deadline })
        run.run { urgent.allSatisfy { run.harness.outcomes[$0]!.isOver } }
        #expect(urgent.allSatisfy { run.harness.outcomes[$0]!.finish == .length && run.firstToken($0)! - start < 3600 })
    }

    /// The order in which prompts are foreseen has those in it that age brings forward.
    @Test func predictionsKnowAge() throws {
        let harness = try Self.harness(running: 1) { $0.overtakings = 2 }
        harness.submit([3], maxTokens: 40)
        harness.step()
        let patient = (0..<2).map { _ in harness.submit([4], maxTokens: 1) { $0.priority = 3 } }
        let urgent = (0..<6).map { _ in harness.submit([5], maxTokens: 1) }
        harness.step()
        let engine = harness.engine
        let foreseen = engine.foreseenOrder(of: engine.active[urgent[0]]!.tenant, .interactive, running: []).map(\.request.id)
        #expect(foreseen == [urgent[0], urgent[1], patient[0], urgent[2], urgent[3], patient[1], urgent[4], urgent[5]])
        #expect(harness.ends(of: patient + urgent) == foreseen)
    }
}
