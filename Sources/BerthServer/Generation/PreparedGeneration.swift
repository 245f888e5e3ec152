// From a request's body to what the engine takes: parsing, the chat template, tokenisation and every check that needs no engine.
//
// All of it can take long (a body of 4 MB, a template of a thousand turns), so it runs on a worker thread; everything
// here is a pure function of the body and the model's description.

import BerthCore
import BerthEngine
import BerthHTTP

/// A validated completion or chat request.
struct PreparedGeneration: Sendable {
    struct Prompt: Sendable {
        var tokens: [Int32]
        /// What `echo` puts before the output.
        var echo: String?
    }

    var tenant: Tenant
    var isChat: Bool
    /// The model as the answer names it.
    var model: String
    var adapter: AdapterName?
    var prompts: [Prompt]
    var sampling: SamplingParameters
    /// Nil: a random one per choice.
    var seed: UInt64?
    /// Per prompt.
    var maxTokens: [Int]
    var stopStrings: [String]
    var stopTokens: [Int32]
    var ignoresEndTokens: Bool
    var minTokens: Int
    /// As tokens, with and without a space before them.
    var badWords: [[Int32]]
    var includesStop: Bool
    var showsSpecialTokens: Bool
    var logprobs: Int?
    var delivery: DeliveryFields
    var serviceClass: ServiceClass
    /// When the answer is of no use any more, on the engine's clock.
    var deadline: UInt64?

    var choiceCount: Int { prompts.count * delivery.n }
    var promptTokens: Int { prompts.reduce(0) { $0 + $1.tokens.count } }

    /// The requests in the order of their choices: all of the first prompt, all of the second…
    func requests(id: (Int) -> RequestID, randomSeed: () -> UInt64) -> [GenerationRequest] {
        (0..<choiceCount).map { choice in
            let prompt = choice / delivery.n
            var request = GenerationRequest(id: id(choice), adapter: adapter, prompt: prompts[prompt].tokens, maxTokens: maxTokens[prompt])
            request.tenant = tenant.name
            request.sampling = sampling
            request.sampling.seed = seed.map { Self.seed($0, sequence: choice % delivery.n) } ?? randomSeed()
            request.stopStrings = stopStrings
            request.stopTokens = stopTokens
            request.ignoresEndTokens = ignoresEndTokens
            request.minTokens = minTokens
            request.badWords = badWords
            request.includesStop = includesStop
            request.showsSpecialTokens = showsSpecialTokens
            request.logprobs = logprobs
            request.serviceClass = serviceClass
            request.priority = delivery.priority
            request.deadline = deadline
            // What an echo reports and what was asked for are views of the same.
            let echoed = prompts[prompt].echo != nil ? logprobs : nil
            request.promptLogprobs = [echoed, delivery.promptLogprobs].compactMap { $0 }.max()
            return request
        }
    }

    /// The same, for a client that waits so long.
    func ending(at deadline: UInt64?) -> PreparedGeneration {
        var call = self
        call.deadline = deadline
        return call
    }

    /// The first sequence has the request's own seed, so that `n` changes nothing about it; the others have derived ones.
    static func seed(_ seed: UInt64, sequence: Int) -> UInt64 {
        if sequence == 0 { return seed }
        var random = RandomSource(seed: seed ^ UInt64(sequence) &* 0x9E37_79B9_7F4A_7C15)
        return random.next()
    }
}

/// Makes prepared requests of one tenant for one model. There are no adapters here but those that the tenant may use.
struct Preparation: Sendable {
    let tenant: Tenant
    let description: ModelDescription
    let text: any TextService
    private let adapters: any AdapterService

    init(_ service: ModelService, _ tenant: Tenant) {
        self.tenant = tenant
        var description = service.description
        if let most = tenant.settings.contextLength { description.contextLength = min(most, description.contextLength) }
        self.description = description
        text = service.text
        adapters = service.adapters
    }

    func completion(_ body: [UInt8]) throws(APIError) -> PreparedGeneration {
        let call = try CompletionCall(body: body)
        let (model, adapter) = try resolve(call.delivery.model)
        var prompts: [PreparedGeneration.Prompt] = []
        var maxTokens: [Int] = []
        for input in call.prompts {
            var tokens: [Int32]
            var echo: String?
            switch input {
            case .text(let string):
                tokens = try encode(string, addSpecialTokens: call.addsSpecialTokens, "prompt")
                echo = call.echo ? string : nil
            case .tokens(let given):
                try check(given, "prompt")
                tokens = given
            }
            guard !tokens.isEmpty else { throw .invalid("prompt", "has no tokens.") }
            let whole = tokens.count
            tokens = try truncated(tokens, call.delivery, call.maxTokens)
            if call.echo, echo == nil || tokens.count < whole { echo = text.decode(tokens, skipSpecialTokens: !call.sampling.showsSpecialTokens) }
            prompts.append(.init(tokens: tokens, echo: echo))
            maxTokens.append(try limit(call.maxTokens ?? .atMost(CompletionCall.defaultMaxTokens), isGiven: call.maxTokens != nil, prompt: tokens.count))
        }
        return try prepared(
            isChat: false, model: model, adapter: adapter, prompts: prompts, sampling: call.sampling, maxTokens: maxTokens, logprobs: call.logprobs,
            delivery: call.delivery)
    }

    func chat(_ body: [UInt8]) throws(APIError) -> PreparedGeneration {
        let call = try ChatCall(body: body)
        let (model, adapter) = try resolve(call.delivery.model)
        var tokens = try encode(try text.render(call.input), addSpecialTokens: false, "messages")
        guard !tokens.isEmpty else { throw .invalid("messages", "make an empty prompt.") }
        tokens = try truncated(tokens, call.delivery, call.maxTokens)
        let maxTokens = try limit(call.maxTokens ?? .unlimited, isGiven: call.maxTokens != nil, prompt: tokens.count)
        return try prepared(
            isChat: true, model: model, adapter: adapter, prompts: [.init(tokens: tokens, echo: nil)], sampling: call.sampling, maxTokens: [maxTokens],
            logprobs: call.logprobs, delivery: call.delivery)
    }

    func tokenize(_ body: [UInt8]) throws(APIError) -> JSON {
        let call = try TokenizeCall(body: body)
        _ = try resolve(call.model)
        let string: String
        switch call.input {
        case .text(let text): string = text
        case .chat(let chat): string = try text.render(chat)
        }
        return TokenizeCall.answer(tokens: text.encode(string, addSpecialTokens: call.addsSpecialTokens), contextLength: description.contextLength)
    }

    func detokenize(_ body: [UInt8]) throws(APIError) -> JSON {
        let call = try DetokenizeCall(body: body)
        _ = try resolve(call.model)
        try check(call.tokens, "tokens")
        return DetokenizeCall.answer(text: text.decode(call.tokens, skipSpecialTokens: false))
    }

    /// The base model and the adapters.
    func cards() -> [ModelCard] {
        [baseCard] + adapters.registered().filter { tenant.mayUse($0.name, $0.audience) }.map { card($0.name, created: $0.created) }
    }

    func card(_ id: String) throws(APIError) -> ModelCard {
        if id == description.name || id == Self.baseAlias { return baseCard }
        guard let name = AdapterName(id), mayUse(name), let adapter = adapters.registered().first(where: { $0.name == name }) else { throw .unknownModel(id) }
        return card(name, created: adapter.created)
    }

    private func mayUse(_ name: AdapterName) -> Bool { tenant.mayUse(name, adapters.audience(of: name)) }

    private var baseCard: ModelCard {
        ModelCard(id: description.name, created: description.created, parent: nil, contextLength: description.contextLength)
    }

    private func card(_ name: AdapterName, created: Int) -> ModelCard {
        ModelCard(id: name.text, created: created, parent: description.name, contextLength: description.contextLength)
    }

    // MARK: the parts

    /// The alias of the base model, whatever its name is.
    static let baseAlias = "base"

    /// The model as the answer names it, and the adapter, if it is one.
    func resolve(_ model: String?) throws(APIError) -> (model: String, adapter: AdapterName?) {
        guard let model else { return (description.name, nil) }
        if model == description.name || model == Self.baseAlias { return (model, nil) }
        guard let name = AdapterName(model), mayUse(name) else { throw .unknownModel(model) }
        adapters.refresh(name)
        return (model, name)
    }

    private func check(_ tokens: [Int32], _ field: String) throws(APIError) {
        if let bad = tokens.first(where: { $0 < 0 || Int($0) >= description.vocabularySize }) {
            throw .invalid(field, "contains the token \(bad), but the vocabulary ends at \(description.vocabularySize - 1).")
        }
    }

    /// Text as tokens, each of which the model has an embedding for: a tokenizer may have more.
    private func encode(_ string: String, addSpecialTokens: Bool, _ field: String) throws(APIError) -> [Int32] {
        let tokens = text.encode(string, addSpecialTokens: addSpecialTokens)
        if let bad = tokens.first(where: { Int($0) >= description.vocabularySize }) {
            let name = String(decoding: text.bytes(of: bad), as: UTF8.self)
            throw .invalid(field, "contains the token '\(name)' (\(bad)), which the tokenizer knows and the model does not: it has \(description.vocabularySize) embeddings.")
        }
        return tokens
    }

    /// The end of a prompt, where the request asks for that.
    private func truncated(_ tokens: [Int32], _ delivery: DeliveryFields, _ wanted: TokenLimit?) throws(APIError) -> [Int32] {
        guard let limit = delivery.promptTokens else { return tokens }
        guard limit > 0 else {
            let output = if case .atMost(let count)? = wanted { min(count, description.contextLength - 1) } else { 1 }
            return tokens.suffix(description.contextLength - output)
        }
        guard limit <= description.contextLength else {
            throw .invalid("truncate_prompt_tokens", "is \(limit), more than the context of \(description.contextLength) tokens.")
        }
        return tokens.suffix(limit)
    }

    private func limit(_ wanted: TokenLimit, isGiven: Bool, prompt: Int) throws(APIError) -> Int {
        let room = description.contextLength - prompt
        switch wanted {
        case .atMost(let count) where isGiven:
            guard count <= room else { throw .contextExceeded(contextLength: description.contextLength, promptTokens: prompt, maxTokens: count) }
            return count
        case .atMost, .unlimited:
            guard room > 0 else { throw .contextExceeded(contextLength: description.contextLength, promptTokens: prompt, maxTokens: 1) }
            let standard = if case .atMost(let count) = wanted { count } else { Int.max }
            return max(1, min(standard, min(description.openEndedTokens, description.contextLength) - prompt))
        }
    }

    /// Bad words as tokens. A word within a text has other tokens than at its beginning.
    private func badWords(_ words: [String]) -> [[Int32]] {
        var sequences: Set<[Int32]> = []
        for word in words {
            let bare = String(word.drop { $0 == " " })
            sequences.insert(text.encode(bare, addSpecialTokens: false))
            sequences.insert(text.encode(" " + bare, addSpecialTokens: false))
        }
        return sequences.filter { !$0.isEmpty }.sorted { $0.lexicographicallyPrecedes($1) }
    }

    private func prepared(
        isChat: Bool, model: String, adapter: AdapterName?, prompts: [PreparedGeneration.Prompt], sampling: SamplingFields, maxTokens: [Int],
        logprobs: Int?, delivery: DeliveryFields
    ) throws(APIError) -> PreparedGeneration {
        try check(Array(sampling.logitBias.keys), "logit_bias")
        try check(sampling.stopTokens, "stop_token_ids")
        if let most = maxTokens.min(), sampling.minTokens > most {
            throw .invalid("min_tokens", "is \(sampling.minTokens), more than the \(most) tokens that the answer may have.")
        }
        let defaults = description.defaults
        var parameters = SamplingParameters()
        parameters.temperature = sampling.temperature ?? defaults.temperature ?? parameters.temperature
        parameters.topP = sampling.topP ?? defaults.topP ?? parameters.topP
        parameters.topK = sampling.topK ?? defaults.topK ?? parameters.topK
        parameters.minP = sampling.minP ?? defaults.minP ?? parameters.minP
        parameters.repetitionPenalty = sampling.repetitionPenalty ?? defaults.repetitionPenalty ?? parameters.repetitionPenalty
        parameters.presencePenalty = sampling.presencePenalty ?? parameters.presencePenalty
        parameters.frequencyPenalty = sampling.frequencyPenalty ?? parameters.frequencyPenalty
        parameters.logitBias = sampling.logitBias
        return PreparedGeneration(
            tenant: tenant, isChat: isChat, model: model, adapter: adapter, prompts: prompts, sampling: parameters, seed: sampling.seed, maxTokens: maxTokens,
            stopStrings: sampling.stopStrings, stopTokens: sampling.stopTokens, ignoresEndTokens: sampling.ignoresEndTokens,
            minTokens: sampling.minTokens, badWords: badWords(sampling.badWords), includesStop: sampling.includesStop, showsSpecialTokens: sampling.showsSpecialTokens, logprobs: logprobs, delivery: delivery,
            serviceClass: delivery.serviceTier == "flex" ? .bulk : .interactive)
    }
}

extension APIError {
    /// The engine's reasons, as the API says them.
    init(_ failure: GenerationFailure) {
        switch failure.code {
        case .invalidRequest: self = APIError(.badRequest, failure.message)
        case .unknownAdapter: self = APIError(.notFound, failure.message, parameter: "model", code: "model_not_found")
        case .adapterRejected: self = APIError(.unprocessableContent, failure.message, parameter: "model", code: "adapter_rejected")
        case .unreadable: self = .unavailable(failure.message, code: "expert_unreadable")
        case .overloaded: self = .unavailable(failure.message, code: "overloaded")
        case .deadline: self = .unavailable(failure.message, code: "deadline", retryAfterSeconds: failure.retrySeconds ?? 1)
        case .draining: self = .unavailable(failure.message, code: "draining")
        case .internalError: self = .internalError(failure.message)
        }
    }
}
