// Which tokens of which requests make up the next batch.
//
// Decode first: a request that generates gets its one row in every step. What the token budget leaves goes to prompts, in the order that is given, in
// chunks; while somebody waits for the next token of a stream, what the time between tokens leaves (`StepPacer.swift`). Rows of one adapter stand together, so that
// its matrices are read once for all of them. The plan cannot change any result (batch invariance), only when it comes.

import BerthKernels
import BerthModels

/// The rows of one request in a step.
struct ScheduledRows {
    let request: ActiveRequest
    let count: Int
    /// Relative to the first of the rows.
    let logitRows: Range<Int>
}

struct StepPlan {
    private(set) var rows: [ScheduledRows] = []
    private(set) var load = StepLoad()
    /// The rows of those who wait for a token.
    private(set) var streams = StepLoad()
    var tokenCount: Int { load.rows }

    /// Plans a step over the running requests, in order of arrival. Every one of them has its pages. `logitBudget` and
    /// `tokenBudget` are at least the number of requests. Without a pacer nobody waits for a token. `prompts` are those with more than one
    /// token to compute, who comes first where there is not enough for all; others may be among them.
    mutating func fill(from running: [ActiveRequest], prompts: [ActiveRequest], tokenBudget: Int, logitBudget: Int, pacer: StepPacer?) {
        clear()
        var logitsLeft = logitBudget
        for request in running where request.pending == 1 {
            schedule(request, 1, &logitsLeft)
            if request.generated > 0 { streams.add(rows: 1, after: request.computed) }
        }
        var allowance: StepPacer.Allowance?
        var isFirst = true
        for request in prompts where request.pending > 1 {
            let left = tokenBudget - tokenCount
            guard left > 0 else { break }
            var count = min(request.pending, left)
            if streams.rows > 0, let pacer {
                if allowance == nil { allowance = pacer.allowance(beside: streams) }
                count = pacer.rows(count, after: request.computed, beside: load, allowance!)
                // However slow the machine, the first prompt comes to its end.
                if isFirst { count = max(count, 1) }
                guard count > 0 else { break }
            }
            isFirst = false
            let wanted = request.logitRows(ofNext: count)
            // Prompt log-probabilities want a row of logits for every token: cut the chunk where the logits end.
            if wanted.count > logitsLeft { count = wanted.lowerBound + logitsLeft }
            guard count > 0 else { continue }
            schedule(request, count, &logitsLeft)
        }
        let serials = rows.lazy.map { $0.request.adapter?.serial ?? 0 }
        if !zip(serials, serials.dropFirst()).allSatisfy({ $0 <= $1 }) {
            rows.sort { ($0.request.adapter?.serial ?? 0, $0.request.arrival) < ($1.request.adapter?.serial ?? 0, $1.request.arrival) }
        }
    }

    private mutating func schedule(_ request: ActiveRequest, _ count: Int, _ logitsLeft: inout Int) {
        let logitRows = request.logitRows(ofNext: count)
        logitsLeft -= logitRows.count
        load.add(rows: count, after: request.computed)
        rows.append(ScheduledRows(request: request, count: count, logitRows: logitRows))
    }

    /// Drops the references to requests, keeping the room.
    mutating func clear() {
        rows.removeAll(keepingCapacity: true)
        (load, streams) = (StepLoad(), StepLoad())
    }

    func fill(_ batch: inout Batch) {
        batch.tokens.removeAll(keepingCapacity: true)
        batch.sequences.removeAll(keepingCapacity: true)
        for scheduled in rows {
            let request = scheduled.request
            batch.tokens.append(contentsOf: request.tokens[request.computed..<request.computed + scheduled.count])
            batch.sequences.append(
                Batch.Sequence(
                    rowCount: scheduled.count, startPosition: request.computed, pages: request.pages, adapter: request.adapter?.weights,
                    logitRows: scheduled.logitRows))
        }
    }
}
