// How many pages the requests of a wave take.
//
// Requests that begin alike stand on the same blocks (`PrefixCache`), so those blocks are there once, however many requests there are: a batch with
// a long system prompt fits into a wide wave. Which blocks are alike is asked of hashes, since this is a plan and not a lookup: should two ever
// collide, a wave is a request too wide, and admission, which compares tokens, lets in one less.

import BerthCore

/// A pure value.
struct WaveDemand: Equatable {
    /// Blocks that more than one request stands on, each counted once.
    var sharedPages = 0
    /// Pages that are a request's own at its longest, about.
    var pagesPerRequest = 0.0
    /// Tokens of a request at its longest, about.
    var context = 0
    /// Of each request, blocks that one before it stands on, too.
    var repeatedBlocks: [Int] = []

    struct Request {
        /// One for each full block that others may take over, of all tokens up to its end.
        var prefixes: [Int]
        var mostTokens: Int
    }

    /// The last block of a request is half empty, about.
    private static let partialPage = 0.5

    init(_ requests: [Request], blockTokens: Int) {
        guard !requests.isEmpty else { return }
        var users: [Int: Int] = [:]
        for request in requests {
            repeatedBlocks.append(request.prefixes.count { users[$0] != nil })
            for prefix in request.prefixes { users[prefix, default: 0] += 1 }
        }
        var shared = 0, tokens = 0
        for request in requests {
            shared += request.prefixes.count { users[$0]! > 1 }
            tokens += request.mostTokens
        }
        sharedPages = users.values.count { $0 > 1 }
        context = tokens / requests.count
        pagesPerRequest = (Double(tokens) / Double(blockTokens) - Double(shared)) / Double(requests.count) + Self.partialPage
    }
}

extension WaveDemand {
    /// The hashes of a prompt's beginnings, each `blockTokens` longer than the one before. Nobody shares with another adapter, nor with another tenant, unless
    /// that is nil. Hashes differ from one process to the next; what is asked of them is whether they are equal.
    static func prefixes(of prompt: [Int32], blockTokens: Int, tenant: TenantName?, adapter: AdapterName?) -> [Int] {
        var hasher = Hasher()
        hasher.combine(tenant)
        hasher.combine(adapter)
        // The last token is always computed: its logits choose the next one.
        return stride(from: blockTokens, through: prompt.count - 1, by: blockTokens).map { end in
            for token in prompt[end - blockTokens..<end] { hasher.combine(token) }
            return hasher.finalize()
        }
    }
}
