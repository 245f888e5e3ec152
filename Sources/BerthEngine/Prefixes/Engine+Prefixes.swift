// Requests and the prefix cache: whose keys and values a request may find, and whom it waits for.
//
// Requests that come together with the same beginning compute it once (after BatchLLM, Zheng et al. 2024): the first is let in, the others step aside until the
// tokens that they share with it are there. That is never slower: the rows of the second would have been computed beside the same rows of the first,
// at the cost of both. Nobody waits for a request of a less urgent class.

import BerthCore

extension Engine {
    /// What stands in one scope may be found by any request of it.
    func scope(of request: ActiveRequest) -> KVBlock.Scope { scope(of: request, request.adapter) }

    private func scope(of request: ActiveRequest, _ adapter: Adapter?) -> KVBlock.Scope {
        KVBlock.Scope(
            tenant: configuration.sharesPrefixes ? nil : request.request.tenant, adapterSerial: adapter?.serial ?? 0,
            adapterDigest: adapter?.source.digest ?? "")
    }

    /// A request that runs is about to compute more of what this one begins with than there is.
    func isBeingComputed(by request: ActiveRequest, _ adapter: Adapter?) -> Bool {
        guard prefixes.isEnabled else { return false }
        let limit = request.takeableTokens
        guard limit >= prefixes.blockTokens else { return false }
        let scope = scope(of: request, adapter)
        var found: Int?
        for other in request.isBulk ? running.requests + bulk.requests : running.requests where other.pending > 1 && self.scope(of: other) == scope {
            let shared = zip(request.tokens.prefix(limit), other.tokens).prefix { $0 == $1 }.count
            guard shared >= prefixes.blockTokens, shared > other.computed else { continue }
            if found == nil { found = prefixes.match(request.tokens, limit: limit, in: scope).tokens }
            if shared > found! {
                other.isAwaited = true
                return true
            }
        }
        return false
    }

    /// Prompts have come further: those that wait for their tokens may look again.
    func wakePrefixWaiters() {
        if waiting.requests.contains(where: { $0.phase == .waitingForPrefix }) { stir() }
    }

    /// What the tokens of a block cost, as measured: in the middle of a large step, after so many others.
    func measurePrefixes() {
        guard pacer.times.largestRows > 0 else { return }
        let rows = min(configuration.stepTokens, Self.pricedRows)
        func seconds(after position: Int) -> Double { pacer.times.nanosecondsPerToken(ofChunk: rows, after: position) / 1e9 }
        let first = seconds(after: 0), slope = (seconds(after: Self.pricedContext) - first) / Double(Self.pricedContext)
        prefixes.secondsPerToken = { first + slope * Double($0) }
    }

    private static let (pricedRows, pricedContext) = (256, 1024)
}
