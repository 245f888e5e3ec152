// Tenants with little to do do not wait for the steps of those with much.

import BerthCore
import BerthMemory
import Testing

@testable import BerthEngine

@Suite struct NewcomerTests {
    /// Sixteen streams of one tenant, whose steps take their rows' time, and a mailbox that the engine can look into.
    private final class Run {
        let model = FakeModel()
        let harness: Harness
        let streams: [RequestID]
        /// What has come and was not taken.
        var mail: GenerationRequest?

        init(running: Int = 64, pages: Int = 400, warmSteps: Int = 200, rule: AdmissionRule = .predicted) throws {
            var configuration = EngineConfiguration.withoutPrefixes
            configuration.admissionRule = rule
            configuration.runningRequests = running
            harness = try Harness(model, pages: pages, configuration: configuration)
            streams = (0..<16).map { [harness] index in harness.submit([3, 4, Int32(5 + index)], maxTokens: 220) { $0.tenant = .a } }
            model.onForward = { [unowned harness] batch in harness.now += UInt64(1_000_000 + 200_000 * batch.tokens.count) }
            // Costs are learned, and time is earned.
            for _ in 0..<warmSteps { harness.step() }
            model.leavesSteps = true
            harness.engine.peek = { [unowned self] isWanted in mail.map(isWanted) ?? false }
        }

        var streamTokens: Int { streams.reduce(0) { $0 + harness.outcomes[$1]!.tokens.count } }

        /// A request comes in the middle of a step.
        func interrupt(_ request: GenerationRequest) {
            mail = request
            harness.step()
            mail = nil
            harness.submit(request)
        }
    }

    private static func request(_ id: UInt64, _ tenant: TenantName, prompt: Int = 12, maxTokens: Int = 4) -> GenerationRequest {
        var request = GenerationRequest(id: RequestID(id), prompt: (0..<prompt).map { Int32(2 + ($0 * 7 + Int(id)) % 50) }, maxTokens: maxTokens)
        request.tenant = tenant
        request.sampling.temperature = 0
        request.ignoresEndTokens = true
        return request
    }

    @Test func aNewcomerGetsItsTokenInTheMiddleOfAStep() throws {
        let run = try Run()
        let before = run.streamTokens
        let request = Self.request(1000, .b)
        run.interrupt(request)
        #expect(run.harness.engine.stepUnderWay != nil && run.streamTokens == before)
        run.harness.step()
        #expect(run.harness.outcomes[request.id]!.tokens.count == 1 && run.streamTokens == before)
        run.harness.step()
        #expect(run.harness.engine.stepUnderWay == nil && run.streamTokens == before + 16)
        run.harness.run()
        for id in run.streams + [request.id] { #expect(run.harness.outcomes[id]!.finish == .length) }
        #expect(run.harness.outcomes[request.id] == (try Harness.alone(request)))
    }

    /// The tenant that has most, a long prompt, and work that nobody waits for: the step goes on.
    @Test func nobodyElseInterrupts() throws {
        let run = try Run()
        var bulk = Self.request(1002, .b)
        bulk.serviceClass = .bulk
        for request in [Self.request(1000, .a), Self.request(1001, .b, prompt: 200), bulk] {
            run.mail = request
            run.harness.step()
            #expect(run.harness.engine.stepUnderWay == nil, "request \(request.id)")
        }
    }

    /// It runs beside as many as may run, until the step has ended.
    @Test func aNewcomerNeedsNoPlace() throws {
        let run = try Run(running: 16)
        let request = Self.request(1000, .b, maxTokens: 1)
        let second = Self.request(1001, .c)
        run.interrupt(request)
        run.harness.submit(second)
        run.harness.step()
        #expect(run.harness.outcomes[request.id]!.isOver && run.harness.engine.counterSnapshot.preemptions == 0)
        run.harness.step()
        #expect(run.harness.engine.running.count <= 16)
        run.harness.run()
        for id in run.streams + [second.id] { #expect(run.harness.outcomes[id]!.finish == .length) }
    }

    /// Pages that are kept for somebody who waits for more of them are no newcomer's, in the middle of a step as between two.
    @Test(arguments: [false, true]) func aNewcomerTakesNoPagesThatAreKept(areKept: Bool) throws {
        // Of 216 pages the streams have 208.
        let run = try Run(pages: 216, rule: .optimistic)
        let large = Self.request(999, .a, prompt: 200)
        if areKept {
            run.harness.submit(large)
            run.harness.step()
        }
        #expect(run.harness.pool.freePageCount == 8 && run.harness.engine.isShortOfPages == areKept)
        let request = Self.request(1000, .b), before = run.streamTokens
        run.interrupt(request)
        #expect(run.harness.engine.stepUnderWay != nil)
        run.harness.step()
        #expect(run.harness.outcomes[request.id]!.tokens.count == (areKept ? 0 : 1) && run.streamTokens == (areKept ? before + 16 : before))
        run.harness.run()
        for id in run.streams + [request.id] + (areKept ? [large.id] : []) { #expect(run.harness.outcomes[id]!.finish == .length) }
    }

    /// Of a newcomer's own requests the most urgent has the place beside those who run.
    @Test func theUrgentOneOfANewcomerGoesFirst() throws {
        let run = try Run(running: 16)
        var patient = Self.request(1000, .b), urgent = Self.request(1001, .b)
        (patient.priority, urgent.priority) = (1, -1)
        run.interrupt(patient)
        run.harness.submit(urgent)
        run.harness.step()
        #expect(run.harness.outcomes[urgent.id]!.tokens.count == 1 && run.harness.outcomes[patient.id]!.tokens.isEmpty)
        run.harness.run()
    }

    /// A more urgent request of the tenant whose step it is does not interrupt it.
    @Test func urgencyInterruptsNoStep() throws {
        let run = try Run()
        run.mail = Self.request(1000, .a)
        run.mail!.priority = -1000
        run.harness.step()
        #expect(run.harness.engine.stepUnderWay == nil)
    }

    /// What a step under way writes to stays until its end.
    @Test func whatEndsInTheMiddleIsFreedAtTheEnd() throws {
        let run = try Run()
        run.mail = Self.request(1000, .b)
        run.harness.step()
        let free = run.harness.pool.freePageCount
        for id in run.streams.prefix(5) { run.harness.cancel(id) }
        run.harness.engine.checkInvariants()
        #expect(run.harness.pool.freePageCount == free)
        run.mail = nil
        run.harness.step()
        #expect(run.harness.pool.freePageCount > free)
    }

    /// A limit that falls in the middle of a step waits for its end.
    @Test func theLimitMayMoveInTheMiddle() throws {
        let run = try Run()
        let before = run.streamTokens
        run.mail = Self.request(1000, .b)
        run.harness.step()
        try run.harness.engine.setLimit(PoolLimit(pages: 40, leastPages: 16))
        run.mail = nil
        #expect(run.harness.engine.stepUnderWay == nil)
        run.harness.step()
        #expect(run.streamTokens >= before + 16)
        run.harness.run()
        for id in run.streams { #expect(run.harness.outcomes[id]!.tokens == (try Harness.alone(Self.copy(run, id))).tokens) }
    }

    private static func copy(_ run: Run, _ id: RequestID) -> GenerationRequest {
        var request = GenerationRequest(id: id, prompt: [3, 4, Int32(5 + run.streams.firstIndex(of: id)!)], maxTokens: 220)
        request.sampling.temperature = 0
        request.ignoresEndTokens = true
        return request
    }

    /// A newcomer that came between two steps gets one for itself, too.
    @Test func aNewcomerBetweenStepsSharesNone() throws {
        let run = try Run()
        let before = run.streamTokens
        let request = Self.request(1000, .b)
        run.harness.submit(request)
        run.harness.step()
        #expect(run.harness.outcomes[request.id]!.tokens.count == 1 && run.streamTokens == before)
    }

    /// However many come, the others lose no more than a part of their time.
    @Test func newcomersCostLittle() throws {
        let run = try Run(warmSteps: 60)
        var steps = 0, own = 0
        for index in 0..<100 {
            let before = run.streamTokens
            run.harness.submit(Self.request(UInt64(1000 + index), TenantName("n\(index)")!, maxTokens: 1))
            run.harness.step()
            steps += 1
            if run.streamTokens == before { own += 1 }
        }
        print("\(own) of \(steps) steps were newcomers' own")
        #expect(own > 5 && own < 60)
    }

    @Test func thePaceIsAShare() {
        var pace = NewcomerPace()
        func spends(_ nanoseconds: Double) -> Bool { pace.spend(nanoseconds) }
        #expect(!spends(1))
        for _ in 0..<10 { pace.stepTook(1_000_000) }
        #expect(!spends(1_100_000))
        #expect(spends(900_000))
        #expect(!spends(900_000))
        for _ in 0..<10_000 { pace.stepTook(1_000_000) }
        #expect(spends(0.3e9))
        #expect(!spends(0.3e9))
    }
}
