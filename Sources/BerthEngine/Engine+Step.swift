// One batch: plan, compute, sample.

import BerthKernels
import BerthModels

extension Engine {
    /// Prices follow what is measured once in so many steps.
    private static let stepsPerPrice = 8

    func runBatch() {
        guard grow(\.running) else {
            isStalled = true
            return
        }
        if let experts { pacer.passNanoseconds = experts.passNanoseconds }
        pacer.interval = Double(running.requests.reduce(UInt64.max) { least, request in
            request.generated > 0 && request.pending == 1 ? min(least, request.tenant.policy.tokenInterval ?? configuration.tokenInterval) : least
        })
        let newcomers = newcomers()
        if newcomers.isEmpty {
            plan.fill(from: running.requests, prompts: promptOrder(of: running.requests, .interactive), tokenBudget: configuration.stepTokens, logitBudget: configuration.stepLogits, pacer: pacer)
        } else {
            plan.fill(from: [], prompts: newcomers, tokenBudget: configuration.stepTokens, logitBudget: configuration.stepLogits, pacer: nil)
        }
        guard !plan.rows.isEmpty else {
            // Where the last of them has failed for want of pages nobody is stalled: others come in their places.
            isStalled = !running.isEmpty
            return
        }
        plan.fill(&batch)
        pacer.startStep(plan.load, now: now)
        stepShares.plan(plan)
        registry.step = counters.steps
        experts?.enter(.ordinary)
        experts?.beginStep(plan.rows.map { ($0.request.request, $0.count) })
        if counters.steps % Self.stepsPerPrice == 0 {
            tenants.prices.observe(pacer.times, streams: plan.streams, bytesPerSecond: registry.reader.bytesPerSecond)
        }
        let pass = model.beginStep(batch)
        guard advance(pass) else {
            stepUnderWay = PassUnderWay(plan, pass)
            (plan, batch) = (StepPlan(), Batch(tokens: [], sequences: []))
            return
        }
        settle(plan, pass.logits!)
        // A batch keeps adapters and page lists alive; a finished request must hold nothing.
        plan.clear()
        batch.sequences.removeAll(keepingCapacity: true)
        running.removeFinished()
    }

    /// Gives every request of a step what its logits say.
    func settle(_ plan: StepPlan, _ logits: Rows) {
        counters.steps += 1
        prefixes.step = counters.steps
        counters.computedTokens += plan.tokenCount
        let harmed = experts?.endStep() ?? [:]
        chargeExpertReads(plan)
        let outcomes = outcomes(of: logits, plan)
        var row = 0
        for (index, scheduled) in plan.rows.enumerated() {
            defer { row += scheduled.logitRows.count }
            if scheduled.request.phase == .finished { continue }
            if let failure = harmed[index] {
                fail(scheduled.request, failure)
            } else {
                take(scheduled, outcomes[row..<row + scheduled.logitRows.count])
            }
        }
        if plan.tokenCount > plan.rows.count { wakePrefixWaiters() }
        if counters.steps % Self.priceSteps == 1 { measurePrefixes() }
    }

    /// How often the prices of tokens are looked at.
    private static let priceSteps = 64

    /// The disk has nothing to do until the next step's first layer: it reads what that step will want. Who runs now runs then; if a place was given up,
    /// whoever is next in line does, too.
    func readAhead() {
        guard let experts, !running.isEmpty || admissionPending else { return }
        if admissionPending {
            for request in admissionOrder(max(0, configuration.runningRequests - running.count)) where request.preemptions > 0 {
                experts.requestReturns(request.request.id)
            }
        }
        experts.readAhead()
    }

    /// Gives a request what its rows have brought.
    private func take(_ scheduled: ScheduledRows, _ outcomes: ArraySlice<RowOutcome>) {
        let request = scheduled.request
        let first = request.computed
        chargeRows(request, scheduled.count)
        request.computed += scheduled.count
        if prefixes.computed(request.tokens, first..<request.computed, &request.blocks, in: scope(of: request)) {
            request.pages = request.blocks.map { $0.address! }
        }
        for outcome in outcomes {
            switch outcome {
            case .notANumber: return fail(request, Self.notANumber)
            case .prompt(let logprob): request.promptLogprobs.append(logprob)
            case .next(let token, let logprob):
                // The order of events: the prompt's before the first token's.
                if request.generated == 0 { finishPrompt(request) }
                return append(token, logprob, to: request)
            }
        }
        if request.pending == 0 {
            // Only the prompt was wanted.
            finishPrompt(request)
            finish(request, .length, text: "")
        }
    }

    private func finishPrompt(_ request: ActiveRequest) {
        counters.promptTokens += request.promptCount
        request.account.use.promptTokens += request.promptCount
        request.account.use.cachedTokens += request.usage.cachedTokens
        if request.request.promptLogprobs != nil { emit(request.request.id, .prompt(request.promptLogprobs)) }
    }

    private func append(_ token: Int32, _ logprob: TokenLogprob?, to request: ActiveRequest) {
        if request.generated == 0 { firstTokenCame(request) }
        request.phase = .decoding
        request.append(token)
        counters.generatedTokens += 1
        request.account.use.generatedTokens += 1
        tenants.charge(request, tenants.prices.output)

        let id = request.request.id
        if request.request.stopTokens.contains(token) || (!request.request.ignoresEndTokens && endTokens.contains(token)) {
            // The token counts; its text shows only where that was asked for.
            let text = request.request.includesStop ? request.text.append(token).text : ""
            emit(id, .token(GeneratedToken(token: token, text: text, logprob: logprob)))
            return finish(request, .stop, text: request.text.finish().text)
        }
        let (text, isStopped) = request.text.append(token)
        emit(id, .token(GeneratedToken(token: token, text: text, logprob: logprob)))
        if isStopped {
            finish(request, .stop, text: "")
        } else if request.generated >= request.request.maxTokens || request.tokens.count >= model.contextLength {
            let (rest, isStopped) = request.text.finish()
            finish(request, isStopped ? .stop : .length, text: rest)
        }
    }

    private static let notANumber = GenerationFailure(.internalError, "the model's output for this request is not a number")
}
