// What the door knows of a tenant's requests at the moment: how many wait and run, and how many tokens are left of its minute.
//
// A value that decides and counts; the clock is passed in. What a tenant has used over time is the engine's to know (`TenantUse`).

import BerthCore
import BerthHTTP

struct TenantAccount {
    /// Bodies on worker threads.
    var preparing = 0
    /// Bodies that are being received or read.
    var bodyBytes = 0
    /// Files on their way in.
    var uploading = 0
    /// Sequences that are in the engine and have no token yet, those that have one, and those of batches, which nobody waits for.
    private(set) var waiting = 0
    private(set) var running = 0
    private(set) var bulk = 0
    /// Nil where the tenant has no such limit.
    private var bucket: TokenBucket?
    /// Requests that were refused, by the limit's name.
    private(set) var refusals: [TenantLimit: UInt64] = [:]

    var sequences: Int { waiting + running + bulk }
    var isIdle: Bool { preparing == 0 && uploading == 0 && bodyBytes == 0 && sequences == 0 }

    mutating func setRate(_ tokensPerMinute: Int?, now: UInt64) {
        guard let tokensPerMinute else { return bucket = nil }
        if bucket == nil { bucket = TokenBucket(tokensPerMinute: tokensPerMinute, now: now) } else { bucket!.setRate(tokensPerMinute, now: now) }
    }

    /// Whether a request may come in that waits with `sequences` sequences and has `promptTokens` in its prompts. Before these are known, 1 and 0
    /// find out what can be known.
    /// - Parameter others: sequences of other tenants in the engine.
    /// - Throws: 429, or 400 where the limit is too low for the request whenever it comes.
    mutating func admit(sequences: Int, promptTokens: Int, _ settings: TenantSettings, others: Int, now: UInt64) throws(APIError) {
        do throws(APIError) {
            if let most = settings.maxQueued {
                guard sequences <= most else {
                    throw APIError(.badRequest, "The request has \(sequences) sequences, and this tenant may have \(most) waiting (limit: max-queued).", code: "max_queued_exceeded")
                }
                guard waiting + preparing + sequences <= most else {
                    throw .limited(.maxQueued, "\(waiting + preparing) sequences of this tenant wait already, of \(most).", retryAfterSeconds: 1)
                }
            }
            let mine = self.sequences + preparing
            guard mine == 0 || mine + sequences <= Limits.queuedRequests - others - mine else {
                throw .limited(.queueShare, "This tenant's \(mine) sequences take as much of the queue as they leave to others.", retryAfterSeconds: 1)
            }
            if let delay = bucket?.delay(of: promptTokens, now: now), delay > 0 {
                throw .limited(
                    .tokensPerMinute, "This tenant has had its \(bucket!.tokensPerMinute) tokens of a minute.", retryAfterSeconds: Int((delay - 1) / 1_000_000_000) + 1)
            }
        } catch {
            if let limit = error.limit.flatMap({ TenantLimit(rawValue: $0) }) { count(refusal: limit) }
            throw error
        }
    }

    /// Whether a line of a batch with such prompts may run now: lines wait instead of being refused.
    mutating func mayRun(promptTokens: Int, now: UInt64) -> Bool { bucket?.delay(of: promptTokens, now: now) ?? 0 == 0 }

    mutating func count(refusal limit: TenantLimit) { refusals[limit, default: 0] += 1 }

    mutating func take(tokens: Int, now: UInt64) { bucket?.take(tokens, now: now) }

    // MARK: a sequence

    mutating func enter(bulk isBulk: Bool) { if isBulk { bulk += 1 } else { waiting += 1 } }

    /// Its first token has come.
    mutating func begin() {
        waiting -= 1
        running += 1
    }

    mutating func leave(bulk isBulk: Bool, hasBegun: Bool) {
        if isBulk { bulk -= 1 } else if hasBegun { running -= 1 } else { waiting -= 1 }
        precondition(waiting >= 0 && running >= 0 && bulk >= 0, "a sequence has left twice")
    }
}
