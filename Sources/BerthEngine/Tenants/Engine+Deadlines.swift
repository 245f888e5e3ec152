// What comes too late is not computed: requests with a deadline, and tenants with an objective for the first token.
//
// Two rules. A request ends when its deadline has passed, wherever it is. And a request with most of its prompt yet to compute ends as soon as
// its first token cannot come in time any more: then capacity goes to those who can still be served, and the client hears at once that it should come back later (after the early
// abort of S-LoRA, Sheng et al., 2023, section 7). Where that work keeps the newest, here who came first has the better claim: the queue is gone through in the
// order in which it will be served; each prompt is computed after those before it; whoever is late by that is told so and is ahead of nobody.
// So a flood is refused at its end, soon after it arrives, and who was kept is served.
//
// The foreseen time is what can be had at best: prompts without pauses, beside the streams that run; places as they get free. A newcomer is judged by what waits
// have come to of late beside that; who was kept, only by the best, so that nobody is sent away in the end but for what is certain. A request with its
// first token runs on; only its deadline ends it.

import BerthCore

extension Engine {
    /// The least time between two looks: longer where the queue is, which is gone through.
    private var lookNanoseconds: UInt64 { 10_000_000 * UInt64(1 + waiting.count / 256) }
    /// What a client is told to wait, at most.
    private static let retrySeconds = 1...600

    /// When a step is due even if nothing else happens: somebody's time is over then. Nil where nobody has any.
    public var wakeTime: UInt64? { nextLook == .max ? nil : nextLook }

    /// A request that waits has come, or what tenants may have has changed.
    func lookSoon(deadline: UInt64? = nil) {
        nextLook = min(nextLook, lastLook.map { max(now, $0 + lookNanoseconds) } ?? now, deadline ?? .max)
    }

    /// When the first token of a request is wanted, if it has none yet.
    private func firstTokenTime(_ request: ActiveRequest) -> UInt64? {
        guard request.generated == 0 else { return nil }
        let objective = request.isBulk ? nil : request.tenant.policy.firstTokenObjective
        let wanted = objective.map { request.submitTime.addingReportingOverflow($0) }.flatMap { $0.overflow ? nil : $0.partialValue }
        guard let wanted else { return request.request.deadline }
        return min(wanted, request.request.deadline ?? .max)
    }

    /// Ends what is too late, or will be.
    func endWhatIsLate() {
        guard now >= nextLook else { return }
        lastLook = now
        for request in active.values.filter({ $0.request.deadline.map { $0 <= now } ?? false }).sorted(by: { $0.arrival < $1.arrival }) {
            fail(request, Self.late("its answer was not complete when its time was over", nil))
        }
        refuseHopeless()
        running.removeFinished()
        bulk.removeFinished()
        giveUpWaveMemory()
        nextLook = nextTime()
    }

    /// When to look again: as long as somebody's first token is waited for, soon.
    private func nextTime() -> UInt64 {
        let waits = active.values.contains { !$0.isMostlyComputed && firstTokenTime($0) != nil }
        return active.values.reduce(waits ? now + lookNanoseconds : .max) { min($0, $1.request.deadline ?? .max) }
    }

    /// Goes through prompts in the order in which they will be computed.
    private func refuseHopeless() {
        guard active.values.contains(where: { !$0.isMostlyComputed && firstTokenTime($0) != nil }) else { return }
        let machine = PromptSpeed(pacer, streams: running.requests, stepTokens: configuration.stepTokens)
        // Places that get free, in time; those who wait take them one after the other.
        let ends = isFull ? endsOfStreams(machine.stepNanoseconds) : []
        for serviceClass in ServiceClass.allCases {
            var prompts = Dictionary(uniqueKeysWithValues: tenants.waiting(serviceClass).map { ($0.name, (tenant: $0, running: [ActiveRequest]())) })
            for request in (serviceClass == .bulk ? bulk : running).requests where request.unpaid > 0 && request.isRunning {
                prompts[request.tenant.name, default: (request.tenant, [])].running.append(request)
            }
            var order = FairOrder(prompts.values.map { tenant, running in (tenant, tenant[serviceClass].counter, foreseenOrder(of: tenant, serviceClass, running: running)) })
            var ahead = 0.0
            var place = 0
            while let request = order.next() {
                let own = machine.nanoseconds(ofPrompt: request.pending)
                if request.isMostlyComputed {
                    ahead += own
                    order.charge(Double(request.unpaid))
                    continue
                }
                let free = ends.isEmpty || request.isRunning ? 0 : ends[place % ends.count] * Double(1 + place / ends.count)
                var wait = max(ahead, free) + own
                if request.foreseenWait == nil {
                    request.foreseenWait = (now, wait)
                    wait *= waitFactor
                }
                if let wanted = firstTokenTime(request), Double(now) + wait > Double(wanted) {
                    fail(request, Self.late("its first token could not have come in time", (Double(now) + wait - Double(wanted)) * 1e-9))
                    continue
                }
                ahead += own
                if !request.isRunning { place += 1 }
                order.charge(priceOfAdmission(request))
            }
        }
    }

    /// Nanoseconds from now until the streams end, as far as their lengths are known, rising: each makes a token per step.
    private func endsOfStreams(_ step: Double) -> [Double] {
        running.requests.compactMap { request in holder(request).map { Double($0.remaining.sum()) / Double($0.remaining.scalarCount) * step } }.sorted()
    }

    /// A first token has come: what waits come to beside what was foreseen is known a little better.
    func firstTokenCame(_ request: ActiveRequest) {
        guard let (time, foreseen) = request.foreseenWait, foreseen > 0, now > time else { return }
        waitFactor += Self.waitPace * (min(max(Double(now - time) / foreseen, 1), Self.mostWaitFactor) - waitFactor)
    }

    private static let waitPace = 0.1
    private static let mostWaitFactor = 4.0

    /// - Parameter late: seconds by which the answer would have been late, where that is foreseen.
    private static func late(_ what: String, _ late: Double?) -> GenerationFailure {
        let seconds = Int(min(max((late ?? 0).rounded(.up), Double(retrySeconds.lowerBound)), Double(retrySeconds.upperBound)))
        return GenerationFailure(.deadline, "the request was ended early: \(what); try again later", retrySeconds: seconds)
    }
}

/// How fast prompts pass beside the streams that run, at best. All 0 as long as nothing was measured.
private struct PromptSpeed {
    private let perToken: Double
    /// Of a step of the streams alone.
    let stepNanoseconds: Double

    init(_ pacer: StepPacer, streams requests: [ActiveRequest], stepTokens: Int) {
        var streams = StepLoad()
        for request in requests where request.pending == 1 { streams.add(rows: 1, after: request.computed) }
        stepNanoseconds = streams.rows > 0 ? pacer.times.nanoseconds(of: streams) : 0
        let most = max(1, min(stepTokens, pacer.times.largestRows) - streams.rows)
        let rows = streams.rows == 0 ? most : max(1, pacer.rows(most, after: 0, beside: streams, pacer.allowance(beside: streams)))
        perToken = pacer.times.nanoseconds(of: streams.adding(rows: rows, after: 0)) / Double(rows)
    }

    func nanoseconds(ofPrompt tokens: Int) -> Double { perToken * Double(tokens) }
}
