// What every run promises, checked as it goes.

import BerthCore
import BerthEngine
import BerthMemory

extension Simulation {
    // MARK: events

    func takeEvents(_ happened: [(RequestID, GenerationEvent)]) throws(Violation) {
        for (id, event) in happened {
            log.note(clock.now, id, event)
            guard records[id] != nil else {
                throw Violation(.everyRequestEnds, id.rawValue <= lastID ? "request \(id) has ended, and something came after it" : "nobody asked for request \(id)")
            }
            switch event {
            case .prompt: break
            case .token(let token): noteToken(token.token, of: id)
            case .finished(let reason, _, let usage): try finished(end(id), reason, usage)
            case .failed(let failure): try failed(end(id), failure)
            }
        }
    }

    private func noteToken(_ token: Int32, of id: RequestID) {
        let now = clock.now, tenant = records[id]!.plan.tenant
        if records[id]!.firstToken == nil {
            records[id]!.firstToken = now
            watch.end(id)
            if isStream(id) { shares.charge(tenant, Double(records[id]!.request.prompt.count)) }
            report.tenants[tenant].firstToken.add(now - records[id]!.arrival)
            report.tenants[tenant].promptTokens += records[id]!.request.prompt.count
        } else {
            report.tenants[tenant].gap.add(now - records[id]!.lastToken)
        }
        if isStream(id) { shares.charge(tenant, engine.outputPrice, isOutput: true) }
        records[id]!.lastToken = now
        records[id]!.tokens.append(token)
        report.tenants[tenant].outputTokens += 1
    }

    private func isStream(_ id: RequestID) -> Bool { records[id]!.request.serviceClass == .interactive }

    /// The request is over for everybody.
    private func end(_ id: RequestID) -> RequestRecord {
        let record = records.removeValue(forKey: id)!
        lastID = max(lastID, id.rawValue)
        watch.end(id)
        if record.request.serviceClass == .interactive { activeStreams[record.plan.tenant] -= 1 }
        answerRecorded(record)
        if let time = workload.nextQuestion(of: record.plan.tenant, after: clock.now) { questions.add(.question(tenant: record.plan.tenant), at: time) }
        return record
    }

    private func finished(_ record: RequestRecord, _ reason: FinishReason, _ usage: Usage) throws(Violation) {
        let request = record.request
        neededRows += request.prompt.count - usage.cachedTokens + max(0, record.tokens.count - (reason == .cancelled ? 0 : 1))
        if reason == .cancelled { report.tenants[record.plan.tenant].cancelled += 1 } else { report.tenants[record.plan.tenant].finished += 1 }
        guard usage.completionTokens == record.tokens.count, usage.promptTokens == request.prompt.count, usage.cachedTokens <= request.prompt.count else {
            throw Violation(.tokensAreTheReference, "request \(request.id) reports \(usage.completionTokens) tokens and has sent \(record.tokens.count)")
        }
        if reason == .cancelled {
            guard record.isCalledOff else { throw Violation(.failuresHaveCauses, "request \(request.id) was cancelled, and nobody has called it off") }
        } else {
            let isStopped = request.ignoresEndTokens ? false : record.tokens.last == TokenFunction.end
            guard (reason == .stop) == isStopped else { throw Violation(.tokensAreTheReference, "request \(request.id) ended for the wrong reason: \(reason.rawValue)") }
        }
        try compare(record, isWhole: reason != .cancelled)
    }

    private func failed(_ record: RequestRecord, _ failure: GenerationFailure) throws(Violation) {
        report.tenants[record.plan.tenant].failed[failure.code.rawValue, default: 0] += 1
        neededRows += record.request.prompt.count + record.tokens.count
        guard hasCause(failure.code, record) else {
            throw Violation(.failuresHaveCauses, "request \(record.request.id) failed without a cause: \(failure.code.rawValue): \(failure.message)")
        }
        try compare(record, isWhole: false)
    }

    private func hasCause(_ code: GenerationFailure.Code, _ record: RequestRecord) -> Bool {
        let span = record.submitted...clock.now
        switch code {
        case .unknownAdapter: return record.plan.adapter.map { versions.wasAbsent($0, during: span) } ?? false
        case .adapterRejected: return record.plan.adapter.map { versions.current($0, during: span).contains { adapters.failures.contains(String($0)) } } ?? false
        case .unreadable: return scenario.routing != nil && scenario.machine.disk.errorChance > 0
        case .overloaded: return record.cameTooMany || record.wasTooLarge || record.kvPages > scenario.tenants[record.plan.tenant].policy.kv.ceilingPages
        case .deadline: return record.request.deadline != nil || scenario.tenants[record.plan.tenant].policy.firstTokenObjective != nil
        case .invalidRequest, .draining, .internalError: return false
        }
    }

    /// The tokens are those that the request has alone, with one of the versions of its adapter that it can have begun with.
    private func compare(_ record: RequestRecord, isWhole: Bool) throws(Violation) {
        let request = record.request
        guard request.id.rawValue % comparedRequests == 0, isWhole || !record.tokens.isEmpty else { return }
        let stamps = record.plan.adapter.map { versions.current($0, during: record.submitted...clock.now).map(SimulatedAdapters.stamp(ofVersion:)) } ?? [0]
        let isRight = stamps.contains { stamp in
            let wanted = function.output(
                of: request.prompt, adapter: stamp, maxTokens: isWhole ? request.maxTokens : record.tokens.count, endsAtEndToken: !request.ignoresEndTokens,
                contextLength: scenario.machine.contextLength)
            return wanted == record.tokens
        }
        guard isRight else { throw Violation(.tokensAreTheReference, "request \(request.id) has other tokens than alone: \(record.tokens.prefix(20))") }
    }

    // MARK: steps

    /// The stream that was the oldest has kept its pages, unless an older one has come back meanwhile, which may have ended in the same step, or unless
    /// `mayLose` says so; and of a tenant's streams the younger and less urgent ones went first.
    func check(
        _ ages: AgeWatch, after happened: [(RequestID, GenerationEvent)] = [], mayLose: (RunningStream) -> Bool = { _ in false }
    ) throws(Violation) {
        guard let change = ages.change(in: engine) else { return }
        if let (lost, kept) = change.wrong {
            throw Violation(.theYoungestGivesWay, "request \(lost.id) of \(lost.tenant) gave up its pages, and request \(kept.id), which is younger or less urgent, kept them")
        }
        guard let oldest = change.oldest, let order = records[oldest.id]?.order else { return }
        let others = happened.map(\.0) + (engine.streams.first.map { [$0.id] } ?? [])
        guard others.contains(where: { records[$0].map { $0.order < order } ?? false }) || mayLose(oldest) else {
            throw Violation(.theOldestGoesOn, "request \(oldest.id) was the oldest that ran, and gave up its pages")
        }
    }

    func checkAfterStep() throws(Violation) {
        let counters = engine.counterSnapshot
        log.note(clock.now, step: counters.computedTokens)
        try checkMemory()
        watch.note(served: counters.promptTokens + counters.generatedTokens, readsAdapters: adapters.nextEnd != nil)
        try checkPriorities(counters)
        // After every step: a tenant that had nothing to wait with for a moment has no claim from before it.
        if comparesShares, let unfair = shares.unfairness(active: activeStreams, places: mostRunning) {
            throw Violation(.tenantsAreServedFairly, unfair)
        }
        let streams = counters.runningRequests > mostRunning ? engine.streams.count : 0
        guard streams <= mostRunning else { throw Violation(.newcomersTakeLittle, "\(streams) streams run, and \(mostRunning) may") }
        try checkBounds()
        guard steps % proofSteps == 0 else { return }
        guard model.newcomersTime <= Self.newcomersShare * Double(clock.now) else {
            throw Violation(.newcomersTakeLittle, "their own steps have taken \(model.newcomersTime / 1e9) of \(Double(clock.now) / 1e9) s from the others")
        }
        engine.checkInvariants()
        let suspects = watch.suspects
        if !suspects.isEmpty {
            let phases = Dictionary(uniqueKeysWithValues: engine.requests.map { ($0.id, $0.phase) })
            if let starving = suspects.first(where: { phases[$0.id] == "queued" }) {
                throw Violation(.nobodyStarves, "request \(starving.id) waits while others have had \(starving.served) tokens, and \(starving.bound) may come before it")
            }
        }
        guard steps < Self.mostSteps(counters) else { throw Violation(.everyRequestEnds, "\(records.count) requests do not come to an end in \(steps) steps") }
    }

    private func checkPriorities(_ counters: EngineCounters) throws(Violation) {
        guard priorities != nil else { return }
        let standings = Dictionary(uniqueKeysWithValues: engine.requests.map { ($0.id, PriorityWatch.Standing($0)) })
        if let fault = priorities!.fault(now: standings, counters) { throw Violation(.prioritiesAreKept, fault) }
    }

    private func checkBounds() throws(Violation) {
        let bounded = scenario.tenants.filter { $0.policy.maxRunning != nil }
        guard !bounded.isEmpty else { return }
        for status in engine.tenantStatuses {
            guard let most = bounded.first(where: { $0.name == status.tenant })?.policy.maxRunning, status.running > max(1, most) else { continue }
            throw Violation(.boundsAreKept, "tenant \(status.tenant) has \(status.running) requests running, and may have \(max(1, most))")
        }
    }

    /// Where service is tokens alone, and nobody's own rules keep it from taking its share.
    private var comparesShares: Bool {
        scenario.adapters.count == 0 && scenario.routing == nil
            && scenario.tenants.allSatisfy { $0.prefixTokens == 0 && $0.policy.maxRunning == nil && $0.policy.kv == PoolShare() && $0.policy.firstTokenObjective == nil }
    }

    /// Somebody may run beside as many as may run while a step is left.
    private var mostRunning: Int { scenario.machine.configuration.runningRequests + (scenario.machine.stepPieces > 1 ? 1 : 0) }

    /// The engine spends a tenth of others' time on newcomers, as it foresees times, which it has to learn first.
    private static let newcomersShare = 0.2

    /// More steps than computing could ever need.
    private static func mostSteps(_ counters: EngineCounters) -> Int { 20_000 + 64 * (counters.promptTokens + counters.generatedTokens) }

    /// The service that may go before a new request: see `StarvationWatch`.
    func serviceBefore(_ plan: PlannedRequest) -> Int {
        func work(_ request: GenerationRequest) -> Int { request.prompt.count + request.maxTokens }
        let largest = scenario.machine.contextLength
        let weights = scenario.tenants.map(\.policy.weight)
        var (all, own) = (0, work(plan.request))
        for record in records.values {
            all += work(record.request)
            if record.plan.tenant == plan.tenant { own += work(record.request) }
        }
        // For each of its tenant's that it may have to wait for so many more urgent ones go first, until it is raised.
        if scenario.tenants[plan.tenant].priorities.contains(where: { $0 < plan.request.priority }) {
            let older = records.values.count { $0.plan.tenant == plan.tenant && $0.request.serviceClass == .interactive }
            let overtaking = (older + 1) * scenario.machine.configuration.overtakings * largest
            all += overtaking
            own += overtaking
        }
        let others = weights.enumerated().reduce(0.0) { $1.offset == plan.tenant ? $0 : $0 + $1.element } / weights[plan.tenant]
        return all + Int(others * Double(own)) + (2 * weights.count + Limits.passedOver + 1) * largest
    }

    // MARK: the end

    func checkTheEnd() throws(Violation) {
        guard records.isEmpty else {
            let left = engine.requests.map { "\($0.id) is \($0.phase) with \($0.pages) pages, \($0.computedTokens) of \($0.promptTokens + $0.generatedTokens) tokens computed" }
            throw Violation(.everyRequestEnds, "\(records.count) requests never end, and nothing will wake them: \(left.prefix(3).joined(separator: "; "))")
        }
        guard engine.isEmpty else { throw Violation(.everyRequestEnds, "the engine has requests that nobody asked for") }
        let counters = engine.counterSnapshot
        guard counters.abandonedWaves > 0 || model.begunRows == counters.computedTokens else {
            throw Violation(.noRowIsComputedInVain, "passes were begun over \(model.begunRows) rows, and \(counters.computedTokens) were of use")
        }
        guard counters.abandonedWaves > 0 || counters.preemptions > 0 || counters.computedTokens <= neededRows else {
            throw Violation(.noRowIsComputedInVain, "\(counters.computedTokens) rows were computed, though nobody was preempted and \(neededRows) were enough")
        }
        try checkMemoryAtTheEnd()
        for adapter in 0..<scenario.adapters.count where versions.isPresent(adapter) {
            guard (try? engine.unregisterAdapter(Workload.adapterName(adapter))) != nil else {
                throw Violation(.nothingIsLeaked, "adapter \(adapter) is registered and unknown")
            }
        }
        engine.checkInvariants()
        let snapshot = engine.poolSnapshot
        for (name, pages) in [("KV", snapshot.kv), ("adapters", snapshot.adapter), ("waves", snapshot.activation)] {
            let held = pages.published + pages.reserved - pages.cached
            guard held == 0 else { throw Violation(.nothingIsLeaked, "nobody is left, and \(held) pages of \(name) are leased") }
        }
        guard engine.adapters.isEmpty else { throw Violation(.nothingIsLeaked, "\(engine.adapters.count) adapters are kept though nobody uses them") }
    }
}
