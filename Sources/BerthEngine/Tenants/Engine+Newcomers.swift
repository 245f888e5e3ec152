// Newcomers: who asks for little does not wait for the steps of who asks for much.
//
// A step over a hundred streams takes as long as many prompts. Where one tenant has most of the running set, a tenant with hardly anything in it gets the rows of
// its prompts in a step of their own: before the next step of the others, or in the middle of it. For that a step is computed piece by piece,
// and between two pieces the engine looks whether somebody has come (`peek`); the pass that was left goes on afterwards, and nothing is computed twice. Weights are read once more for
// so few rows: what that costs the others comes out of a small part of their time (`NewcomerPace`), so that many newcomers share steps as everybody does.
//
// Who is a newcomer is a matter of tenants: a more urgent request of the tenant whose step it is waits for its end, and has the first rows of the next.
//
// While a step is under way its requests' pages and adapters are its own: a request that ends meanwhile gives them up with the step, nobody is preempted,
// and whoever cannot have pages without that waits for the end. A newcomer that finds all places taken may run beside them as long as the step lasts.

import BerthKernels
import BerthMemory
import BerthModels

/// How much of the others' time newcomers' own steps may cost. Nanoseconds; a pure value.
struct NewcomerPace {
    private static let share = 0.1
    private static let most = 0.4e9
    private var credit = 0.0

    mutating func stepTook(_ time: UInt64) { credit = min(Self.most, credit + Self.share * Double(time)) }

    /// False, and nothing is spent, where there is not so much.
    mutating func spend(_ nanoseconds: Double) -> Bool {
        guard nanoseconds <= credit else { return false }
        credit -= max(0, nanoseconds)
        return true
    }
}

extension Engine {
    /// Asks whether a request has come since the step began that is one of those wanted.
    public typealias Peek = (_ isWanted: (GenerationRequest) -> Bool) -> Bool

    /// A tenant is a newcomer beside one that has so many times its part of the running set.
    private static let newcomerPart = 8.0
    /// A step of their own is so much shorter than one with everybody, or it does not pay.
    private static let worthwhile = 1.25

    // MARK: who is one

    /// What the largest tenant has of the running set, over its weight. Counts must be fresh.
    private var largestShare: Double { running.requests.reduce(0) { max($0, share(of: $1.tenant)) } }

    /// Whether somebody with so many requests in the running set, over its weight, is one.
    private func isNewcomer(_ share: Double, beside largest: Double) -> Bool { share * Self.newcomerPart <= largest }

    private func share(of tenant: Tenant, with more: Int = 0) -> Double { Double(tenant.running + more) / tenant.weight }

    /// The prompts that get the next step for themselves, if any do.
    func newcomers() -> [ActiveRequest] {
        func isNew(_ request: ActiveRequest) -> Bool { request.pending > 1 && request.generated == 0 && !isUnderWay(request) }
        guard running.count > 1, pacer.times.largestRows > 0, experts == nil, running.requests.contains(where: isNew) else { return [] }
        recount()
        let largest = largestShare
        let prompts = running.requests.filter { isNew($0) && isNewcomer(share(of: $0.tenant), beside: largest) }
        guard !prompts.isEmpty, prompts.reduce(0, { $0 + $1.pending }) <= newcomerRows, prompts.reduce(0, { $0 + $1.logitRows(ofNext: $1.pending).count }) <= configuration.stepLogits else { return [] }
        var own = StepLoad(), others = stepUnderWay?.plan.load ?? StepLoad()
        for request in prompts { own.add(rows: request.pending, after: request.computed) }
        if stepUnderWay == nil {
            for request in running.requests where request.pending == 1 { others.add(rows: 1, after: request.computed) }
        }
        guard others.rows > 0 else { return [] }
        var together = others
        for request in prompts { together.add(rows: request.pending, after: request.computed) }
        let times = (own: pacer.times.nanoseconds(of: own), others: pacer.times.nanoseconds(of: others), together: pacer.times.nanoseconds(of: together))
        guard times.together >= Self.worthwhile * times.own, newcomerPace.spend(times.own + times.others - times.together) else { return [] }
        return prompts
    }

    /// Rows that newcomers' steps may have.
    private var newcomerRows: Int { configuration.stepTokens / Self.lightPart }

    // MARK: the step under way

    func isUnderWay(_ request: ActiveRequest) -> Bool { stepUnderWay?.contains(request) == true }

    /// Computes on, until the end, or until a newcomer comes. True at the end.
    func advance(_ pass: any InterruptiblePass) -> Bool {
        guard let peek, experts == nil else {
            while pass.advance() {}
            return true
        }
        // Nobody joins the running set during a step; and mostly nobody comes.
        var counted: Double?
        while pass.advance() {
            let hasCome = peek { request in
                guard request.serviceClass == .interactive, request.prompt.count <= newcomerRows else { return false }
                if counted == nil {
                    recount()
                    counted = largestShare
                }
                return isNewcomer(tenants.known[request.tenant].map { share(of: $0, with: 1) } ?? 1, beside: counted!)
            }
            if hasCome { return false }
        }
        return true
    }

    /// The next thing to do for a step that was left: newcomers first, then the rest of it.
    func continueStep() {
        if admissionPending { admitNewcomers() }
        let prompts = newcomers()
        if !prompts.isEmpty, compute(prompts) { return }
        guard advance(stepUnderWay!.pass) else { return }
        endStep()
    }

    /// The step goes to its end at once: what follows may take its requests' pages.
    func finishStepUnderWay() {
        guard let step = stepUnderWay else { return }
        while step.pass.advance() {}
        endStep()
    }

    private func endStep() {
        guard let step = stepUnderWay.take() else { return }
        settle(step.plan, step.pass.logits!)
        for request in step.departed { free(request) }
        running.removeFinished()
        while let other = whoGivesUpPlace() { preempt(other) }
        stir()
    }

    /// The rows of a step that was left are given up, with all requests that have ended in it.
    func abandonStep() {
        guard let step = stepUnderWay.take() else { return }
        for request in step.departed { free(request) }
        bookForeseen()
    }

    /// A step of a few prompts in memory of its own, beside the one that was left. False where there is no memory for it.
    private func compute(_ prompts: [ActiveRequest]) -> Bool {
        var plan = StepPlan()
        plan.fill(from: [], prompts: prompts, tokenBudget: configuration.stepTokens, logitBudget: configuration.stepLogits, pacer: nil)
        let logitRows = plan.rows.reduce(0) { $0 + $1.logitRows.count }
        let size = WaveSize(rows: plan.tokenCount, logitRows: max(1, logitRows), partRows: plan.tokenCount)
        guard let bytes = model.waveBytes(size) else { return false }
        let pages = max(1, (bytes + pool.pageBytes - 1) / pool.pageBytes)
        guard economy.makeRoom(pages, for: .activation), let lease = pool.reserve(pages, for: .activation) else { return false }
        guard let memory = try? pool.window(of: lease) else {
            pool.release(lease)
            return false
        }
        pool.publish(lease)
        run(plan, size, in: memory)
        pool.release(lease)
        return true
    }

    private func run(_ plan: StepPlan, _ size: WaveSize, in memory: UnsafeMutableRawPointer) {
        if stepUnderWay!.isMeasured {
            stepUnderWay!.isMeasured = false
            bookForeseen()
        }
        var batch = Batch(tokens: [], sequences: [])
        plan.fill(&batch)
        let pass = model.beginWave(batch, size, in: memory)
        pacer.startStep(plan.load, now: now)
        stepShares.plan(plan)
        while pass.advance() {}
        settle(plan, pass.logits!)
        running.removeFinished()
    }

    // MARK: admission

    /// Lets in newcomers of those who wait, where nobody has to make room. The others are asked when the step has ended.
    private func admitNewcomers() {
        guard !isShortOfPages else { return }
        recountAll()
        let largest = largestShare
        // Of tenants, the rank of one that must wait: those who are less urgent do, too. Who was raised goes next.
        var held: [ObjectIdentifier: Int] = [:]
        let candidates = waiting.requests.filter { !$0.isBulk && isNewcomer(share(of: $0.tenant, with: 1), beside: largest) }
        for request in candidates.inPlacesByUrgency {
            let (tenant, rank) = (ObjectIdentifier(request.tenant), request.urgency.rank)
            guard isNewcomer(share(of: request.tenant, with: 1), beside: largest), rank <= held[tenant] ?? rank else { continue }
            if request.preemptions > 0 || isAtBound(request) {
                held[tenant] = rank
                continue
            }
            let hasPlace = running.count < configuration.runningRequests || (running.count == configuration.runningRequests && whoMakesWay(for: request) != nil)
            guard hasPlace else { return }
            switch tryToAdmit(request, promised: promisedBlocks, places: configuration.runningRequests + 1) {
            case .admitted: if let raised = letIn(request) { held[tenant] = raised.urgency.rank }
            case .waitsForDisk: request.phase = .waitingForAdapter
            case .waitsForPrefix: request.phase = .waitingForPrefix
            case .waitsForPages: return
            case .failed(let failure): fail(request, failure)
            }
        }
    }
}
