// One batch: plan, compute, sample.

import BerthKernels
import BerthModels

extension Engine {
    func runBatch() {
        guard growRunning() else {
            isStalled = true
            return
        }
        plan.fill(from: running.requests, tokenBudget: configuration.stepTokens, logitBudget: configuration.stepLogits)
        guard !plan.rows.isEmpty else {
            isStalled = true
            return
        }
        plan.fill(&batch)
        let logits = model.forward(batch)
        counters.steps += 1
        counters.computedTokens += plan.tokenCount
        var row = 0
        for scheduled in plan.rows {
            take(scheduled, logits, firstRow: row)
            row += scheduled.logitRows.count
        }
        // A batch keeps adapters and page lists alive; a finished request must hold nothing.
        plan.clear()
        batch.sequences.removeAll(keepingCapacity: true)
        running.removeFinished()
    }

    /// Gives a request what its rows have brought.
    private func take(_ scheduled: ScheduledRows, _ logits: Rows, firstRow: Int) {
        let request = scheduled.request
        let from = request.computed
        request.computed += scheduled.count
        var row = firstRow
        // Row r tells of the token after position from + r.
        for position in scheduled.logitRows.map({ from + $0 }) {
            let values = UnsafePointer(logits.base + row * logits.stride)
            row += 1
            if position + 1 < request.tokens.count {
                guard
                    let logprob = TokenLogprob(
                        of: request.tokens[position + 1], in: values, count: logits.columns, alternatives: request.request.logprobs ?? 0, compute: model.compute)
                else { return fail(request, Self.notANumber) }
                request.promptLogprobs.append(logprob)
            } else {
                // The order of events: the prompt's before the first token's.
                if request.generated == 0 { finishPrompt(request) }
                return sample(request, values, count: logits.columns)
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
        if request.request.promptLogprobs { emit(request.request.id, .prompt(request.promptLogprobs)) }
    }

    private func sample(_ request: ActiveRequest, _ logits: UnsafePointer<Float>, count: Int) {
        guard let token = request.sampler.next(logits, count: count, scratch: scratch, compute: model.compute) else { return fail(request, Self.notANumber) }
        var logprob: TokenLogprob?
        if let alternatives = request.request.logprobs {
            logprob = TokenLogprob(of: token, in: logits, count: count, alternatives: alternatives, compute: model.compute)
            if logprob == nil { return fail(request, Self.notANumber) }
        }
        request.phase = .decoding
        request.append(token)
        counters.generatedTokens += 1

        let id = request.request.id
        if request.request.stopTokens.contains(token) || (!request.request.ignoresEndTokens && endTokens.contains(token)) {
            // The token counts, its text does not show.
            emit(id, .token(GeneratedToken(token: token, text: "", logprob: logprob)))
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
