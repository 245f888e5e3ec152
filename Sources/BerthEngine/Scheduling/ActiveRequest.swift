// One request inside the engine.
//
//     queued ──▶ waitingForAdapter ──▶ prefilling ──▶ decoding ──▶ finished
//        ▲               │                 │              │
//        └───────────────┴── preempted ◀───┴──────────────┘      (cancel and failure lead to finished from anywhere)
//
// It waits in the same way for a request that is computing what it begins with (waitingForPrefix).
//
// Its tokens are the prompt and what was generated since; `computed` of them have keys and values in pages. Prefill and
// decode are the same thing, tokens whose turn has come, and so is the recomputation of a request that was preempted: it
// prefills its own output. By batch invariance it continues with the tokens it would have had.

import BerthCore
import BerthMemory

/// Engine thread only.
final class ActiveRequest {
    enum Phase: String, Sendable { case queued, waitingForAdapter, waitingForPrefix, prefilling, decoding, finished }

    let request: GenerationRequest
    let tenant: Tenant
    /// Of the tenant and the adapter.
    let account: UseAccount
    /// Rising with submission: of those who are equally urgent, who came first is served first and preempted last.
    let arrival: UInt64
    let submitTime: UInt64
    var phase = Phase.queued
    /// The prompt, then the output.
    private(set) var tokens: [Int32]
    /// How many of `tokens` have keys and values in pages.
    var computed = 0
    /// The KV blocks, for all of `tokens`; none outside the running set.
    var blocks: [KVBlock] = []
    /// Where the blocks are, in order.
    var pages: [UnsafeMutableRawPointer] = []
    /// Prompt tokens that were there when it was first let in; nil before.
    var cachedTokens: Int?
    /// What a wave's plan knows its prompt's blocks by; nil until it is asked, and where none may be taken over.
    var prefixHashes: [Int]?
    /// The version this request began with; nil before the first admission, and for base requests.
    var adapter: Adapter?
    /// It could have run, had its adapter been in memory.
    var hasWaitedForAdapter = false
    var sampler: Sampler
    var text: OutputText
    /// Entry i belongs to prompt token i; complete when there are as many as prompt tokens.
    var promptLogprobs: [TokenLogprob?] = []
    var preemptions = 0
    /// Others wait for what it is computing.
    var isAwaited = false
    /// Of a bulk request: how many waves there had been when it was let in.
    var firstWave = 0
    /// Tokens of its prompt that others before it begin with, too, as the last plan of waves saw it.
    var repeatedTokens = 0
    /// Of `tokens`, those whose computing was charged to the tenant: what is computed a second time is not.
    var charged = 0
    /// When its wait for the first token was foreseen, and as how many nanoseconds at best.
    var foreseenWait: (time: UInt64, nanoseconds: Double)?
    /// Younger requests, as urgent as it is, that were let in before it.
    var passedOver = 0
    /// It has waited behind more urgent ones for long enough (`TenantLine.swift`).
    var isRaised = false

    init(_ request: GenerationRequest, of tenant: Tenant, arrival: UInt64, time: UInt64, detokenizer: any Detokenizer) {
        self.request = request
        self.tenant = tenant
        account = tenant.account(of: request.adapter)
        self.arrival = arrival
        submitTime = time
        tokens = request.prompt
        sampler = Sampler(request.sampling, prompt: request.prompt)
        text = OutputText(
            detokenizer: detokenizer, stopStrings: request.stopStrings, includesStop: request.includesStop, unmatchedTokens: request.minTokens)
        if request.promptLogprobs != nil { promptLogprobs.append(nil) }
    }

    var promptCount: Int { request.prompt.count }
    var generated: Int { tokens.count - promptCount }
    /// Tokens whose keys and values are not computed yet: at least one while the request runs.
    var pending: Int { tokens.count - computed }
    /// Tokens of the prompt that are to be computed, and charged.
    var unpaid: Int { max(0, promptCount - max(charged, computed)) }
    /// The last token's logits choose a next token (they do not where only the prompt is evaluated).
    var wantsNextToken: Bool { request.maxTokens > 0 }
    var usage: Usage { Usage(promptTokens: promptCount, completionTokens: generated, cachedTokens: cachedTokens ?? 0) }
    var isBulk: Bool { request.serviceClass == .bulk }
    var urgency: Urgency { Urgency(rank: isRaised ? .min : request.priority, arrival: arrival) }
    var isRunning: Bool { phase == .prefilling || phase == .decoding }

    /// Most of the prompt was computed: that would be lost with it.
    var isMostlyComputed: Bool { charged * 2 > promptCount }

    func append(_ token: Int32) { tokens.append(token) }

    /// So many tokens may be taken over from others: not the last, whose logits choose the next one, nor those whose logits tell of the prompt.
    var takeableTokens: Int {
        promptLogprobs.isEmpty || promptLogprobs.count >= promptCount ? tokens.count - 1 : min(tokens.count, promptLogprobs.count) - 1
    }

    /// Tokens that must not come next.
    func forbiddenTokens(endTokens: Set<Int32>) -> [Int32] {
        var forbidden: [Int32] = []
        if generated < request.minTokens {
            forbidden += request.stopTokens
            if !request.ignoresEndTokens { forbidden += endTokens }
        }
        for word in request.badWords {
            guard let last = word.last, word.count - 1 <= generated, tokens.suffix(word.count - 1).elementsEqual(word.dropLast()) else { continue }
            forbidden.append(last)
        }
        return forbidden
    }

    /// Of the next `count` pending tokens, those whose logits are wanted, relative to the first. Never has a gap: prompt
    /// log-probabilities end where the prompt does, and the last token follows.
    func logitRows(ofNext count: Int) -> Range<Int> {
        let end = computed + count
        let wantsLast = end == tokens.count && wantsNextToken
        var first = wantsLast ? end - 1 : end
        if !promptLogprobs.isEmpty, promptLogprobs.count < promptCount {
            // The logits of token i tell the probability of token i + 1.
            let missing = max(computed, promptLogprobs.count - 1)
            if missing < min(end, promptCount - 1) { first = missing }
        }
        let last = wantsLast ? end : max(first, min(end, promptCount - 1))
        return first < last ? first - computed..<last - computed : 0..<0
    }
}

/// A request as operators see it. Holds nothing of its content.
public struct RequestStatus: Sendable, Equatable {
    public var id: RequestID
    public var tenant: TenantName
    public var adapter: AdapterName?
    /// Lower goes first among the tenant's own; and whether it goes before all that are not raised, since it has waited behind more urgent ones for long enough.
    public var priority: Int
    public var isRaised: Bool
    /// queued, waitingForAdapter, waitingForPrefix, prefilling or decoding.
    public var phase: String
    public var promptTokens: Int
    public var computedTokens: Int
    public var generatedTokens: Int
    public var maxTokens: Int
    public var pages: Int
    public var preemptions: Int
    /// Engine clock, nanoseconds.
    public var submitTime: UInt64

    init(_ request: ActiveRequest) {
        id = request.request.id
        tenant = request.request.tenant
        adapter = request.request.adapter
        (priority, isRaised) = (request.request.priority, request.isRaised)
        phase = request.phase.rawValue
        promptTokens = request.promptCount
        computedTokens = request.computed
        generatedTokens = request.generated
        maxTokens = request.request.maxTokens
        pages = request.pages.count
        preemptions = request.preemptions
        submitTime = request.submitTime
    }
}

/// What of a running stream says whose turn it is to give up its pages, and whether it has.
public struct RunningStream: Sendable, Equatable {
    public let id: RequestID
    public let tenant: TenantName
    /// Lower is more urgent among the tenant's own, of equals the older; it falls where a request is raised.
    public let rank: Int
    public let preemptions: Int

    init(_ request: ActiveRequest) { (id, tenant, rank, preemptions) = (request.request.id, request.request.tenant, request.urgency.rank, request.preemptions) }
}
