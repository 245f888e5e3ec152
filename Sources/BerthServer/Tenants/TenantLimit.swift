// The limits that the door enforces, and how it says that one is reached.

import BerthCore
import BerthHTTP

enum TenantLimit: String, CaseIterable, Sendable {
    case maxQueued = "max-queued"
    case tokensPerMinute = "tokens-per-minute"
    case maxAdapters = "max-adapters"
    case adapterBytes = "adapter-bytes"
    case batchBytes = "batch-bytes"
    case batchLines = "batch-lines"
    /// Nobody's queue may be longer than what it leaves free for others. Not configured: it holds for all.
    case queueShare = "queue-share"
}

extension APIError {
    /// 429 with the limit's name.
    static func limited(_ limit: TenantLimit, _ message: String, retryAfterSeconds: Int?) -> APIError {
        .limited(limit.rawValue, message, retryAfterSeconds: retryAfterSeconds)
    }
}
