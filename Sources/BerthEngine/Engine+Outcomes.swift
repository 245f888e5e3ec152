// What a step's rows of logits come to, each by itself and on all threads: vocabularies are large, and a draw passes over a row several times.
//
// A row belongs to one request, whose sampler no other row touches: only the last row of a request is sampled, the others are of its prompt.

import BerthKernels
import BerthModels

/// What a row of logits says.
enum RowOutcome {
    /// Of a token that the prompt has.
    case prompt(TokenLogprob)
    /// The token that follows, and its log-probability where the request wants it.
    case next(Int32, TokenLogprob?)
    /// The row is no distribution.
    case notANumber
}

extension Engine {
    /// The outcomes of the planned rows, in the order of `logits`.
    func outcomes(of logits: Rows, _ plan: StepPlan) -> [RowOutcome] {
        var outcomes = [RowOutcome](repeating: .notANumber, count: logits.count)
        var rows: [(request: ActiveRequest, position: Int)] = []
        rows.reserveCapacity(logits.count)
        for scheduled in plan.rows { rows += scheduled.logitRows.map { (scheduled.request, scheduled.request.computed + $0) } }
        precondition(rows.count == logits.count)
        outcomes.withUnsafeMutableBufferPointer { outcomes in
            func settle(_ row: Int, _ worker: Int) {
                outcomes[row] = outcome(
                    of: rows[row].request, position: rows[row].position, UnsafePointer(logits[row]), count: logits.columns,
                    scratch: scratch + worker * model.vocabularySize)
            }
            if rows.count * logits.columns < configuration.sharedLogits {
                for row in rows.indices { settle(row, 0) }
            } else {
                model.compute.parallel(rows.count, byWorker: settle)
            }
        }
        return outcomes
    }

    /// The row after `position` tells of the token at `position + 1`.
    private func outcome(
        of request: ActiveRequest, position: Int, _ logits: UnsafePointer<Float>, count: Int, scratch: UnsafeMutablePointer<Float>
    ) -> RowOutcome {
        func logprob(_ token: Int32, _ alternatives: Int?, isRanked: Bool = false) -> TokenLogprob? {
            TokenLogprob(of: token, in: logits, count: count, alternatives: alternatives ?? 0, isRanked: isRanked, compute: model.compute)
        }
        if position + 1 < request.tokens.count {
            return logprob(request.tokens[position + 1], request.request.promptLogprobs, isRanked: true).map { .prompt($0) } ?? .notANumber
        }
        let forbidden = request.forbiddenTokens(endTokens: endTokens)
        guard let token = request.sampler.next(logits, count: count, forbidden: forbidden, scratch: scratch, compute: model.compute) else { return .notANumber }
        guard let alternatives = request.request.logprobs else { return .next(token, nil) }
        return logprob(token, alternatives).map { .next(token, $0) } ?? .notANumber
    }
}
