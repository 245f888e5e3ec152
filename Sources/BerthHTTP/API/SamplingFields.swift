// The fields that completions and chat completions share: how tokens are chosen, when to stop, what to report.

import BerthCore

/// What a request says about sampling. Nil is "not said": the checkpoint's generation defaults apply, then OpenAI's.
public struct SamplingFields: Sendable, Equatable {
    public var temperature: Float?
    public var topP: Float?
    /// 0 or -1 on the wire keep all tokens; here 0.
    public var topK: Int?
    public var minP: Float?
    public var repetitionPenalty: Float?
    public var presencePenalty: Float?
    public var frequencyPenalty: Float?
    public var logitBias: [Int32: Float] = [:]
    public var seed: UInt64?
    public var stopStrings: [String] = []
    public var stopTokens: [Int32] = []
    public var ignoresEndTokens = false
    /// No end token, stop token or stop string ends the answer before it has so many tokens.
    public var minTokens = 0
    /// Texts that the answer must not contain, as far as they are made of the tokens that encode them.
    public var badWords: [String] = []
    /// The stop string, or the text of the token that ended the answer, is part of the text.
    public var includesStop = false
    public var showsSpecialTokens = false

    public init() {}
}

/// What a request says about the answer's form.
public struct DeliveryFields: Sendable, Equatable {
    /// An adapter's or the base model's name; nil is the base model.
    public var model: String?
    /// Sequences per prompt.
    public var n = 1
    public var streams = false
    /// A last chunk with the usage.
    public var includesUsage = false
    public var returnsTokenIDs = false
    /// Tokens in log-probabilities are shown as "token_id:123".
    public var showsTokensAsIDs = false
    /// Alternatives to report with every token of the prompt; nil reports nothing of it.
    public var promptLogprobs: Int?
    /// Only so many last tokens of the prompt are taken; -1 as many as the context has room for.
    public var promptTokens: Int?
    /// "default", or "flex" for bulk work, as the answer says it; nil where the request says nothing.
    public var serviceTier: String?
    /// How urgent it is beside others of its tenant, as in vLLM: lower goes first.
    public var priority = 0

    public init() {}
}

extension FieldReader {
    func sampling() throws(APIError) -> SamplingFields {
        var fields = SamplingFields()
        fields.temperature = try number("temperature", in: SamplingBounds.temperature)
        fields.topP = try number("top_p", in: SamplingBounds.topP)
        fields.topK = try int("top_k", in: SamplingBounds.topK).map { max(0, $0) }
        fields.minP = try number("min_p", in: SamplingBounds.minP)
        fields.repetitionPenalty = try number("repetition_penalty", in: SamplingBounds.repetitionPenalty)
        fields.presencePenalty = try number("presence_penalty", in: SamplingBounds.penalty)
        fields.frequencyPenalty = try number("frequency_penalty", in: SamplingBounds.penalty)
        fields.minTokens = try int("min_tokens", in: 0...Int(Int32.max)) ?? 0
        fields.badWords = try badWords()
        fields.logitBias = try logitBias()
        fields.seed = try int("seed", in: Int.min...Int.max).map { UInt64(bitPattern: Int64($0)) }
        fields.stopStrings = try stopStrings()
        fields.stopTokens = try stopTokens()
        fields.ignoresEndTokens = try bool("ignore_eos") ?? false
        fields.includesStop = try bool("include_stop_str_in_output") ?? false
        fields.showsSpecialTokens = !(try bool("skip_special_tokens") ?? true)
        return fields
    }

    func delivery() throws(APIError) -> DeliveryFields {
        try refuseUnsupported()
        var fields = DeliveryFields()
        fields.model = try string("model")
        fields.n = try int("n", in: 1...Limits.choicesPerRequest) ?? 1
        fields.streams = try bool("stream") ?? false
        if let options = try object("stream_options") {
            guard fields.streams else { throw .invalid("stream_options", "is only allowed with 'stream': true.") }
            let reader = FieldReader(members: options)
            fields.includesUsage = try reader.bool("include_usage") ?? false
        }
        fields.returnsTokenIDs = try bool("return_token_ids") ?? false
        fields.showsTokensAsIDs = try bool("return_tokens_as_token_ids") ?? false
        if let format = try object("response_format"), format["type"] != "text" {
            let type = format["type"].map { "of type \($0.text.shortened)" } ?? "without a type"
            throw .invalid("response_format", "\(type) is not supported: the output is not constrained.", code: "unsupported_parameter")
        }
        fields.promptLogprobs = try int("prompt_logprobs", in: 0...Limits.topLogprobs)
        if fields.promptLogprobs != nil, fields.streams { throw .invalid("prompt_logprobs", "cannot be had with 'stream': true.") }
        fields.promptTokens = try int("truncate_prompt_tokens", in: -1...Int(Int32.max))
        if fields.promptTokens == 0 { throw .invalid("truncate_prompt_tokens", "must be -1 or at least 1, not 0.") }
        fields.serviceTier = try serviceTier()
        fields.priority = try int("priority", in: Limits.priorities) ?? 0
        return fields
    }

    /// As OpenAI does, the answer names the tier that was used: "auto" is the default one.
    private func serviceTier() throws(APIError) -> String? {
        guard let tier = try string("service_tier") else { return nil }
        guard ["auto", "default", "flex"].contains(tier) else {
            throw .invalid("service_tier", "must be \"auto\", \"default\" or \"flex\", not \"\(tier.shortened)\".", code: "unsupported_parameter")
        }
        return tier == "auto" ? "default" : tier
    }

    private func logitBias() throws(APIError) -> [Int32: Float] {
        guard let members = try object("logit_bias") else { return [:] }
        guard members.count <= Limits.logitBiasEntries else { throw .invalid("logit_bias", "has more than \(Limits.logitBiasEntries) entries.") }
        var biases: [Int32: Float] = [:]
        for (key, value) in members {
            guard let token = Int32(key), token >= 0 else { throw .invalid("logit_bias", "must have token ids as keys, not \"\(key.shortened)\".") }
            guard let bias = value.double else { throw .wrongType("logit_bias", "a map of token ids to numbers", value) }
            guard abs(bias) <= 100 else { throw .invalid("logit_bias", "values must be between -100 and 100, not \(value.text).") }
            biases[token] = Float(bias)
        }
        return biases
    }

    private func stopStrings() throws(APIError) -> [String] {
        guard let value = value("stop") else { return [] }
        let elements = value.array ?? [value]
        guard elements.count <= Limits.stopStrings else { throw .invalid("stop", "has more than \(Limits.stopStrings) strings.") }
        var strings: [String] = []
        for element in elements {
            guard let text = element.string else { throw .wrongType("stop", "a string or an array of strings", element) }
            // Some clients say "none" so.
            if text.isEmpty { continue }
            guard text.utf8.count <= Limits.stopStringBytes else { throw .invalid("stop", "contains a string of more than \(Limits.stopStringBytes) bytes.") }
            strings.append(text)
        }
        return strings
    }

    private func badWords() throws(APIError) -> [String] {
        let elements = try array("bad_words") ?? []
        guard elements.count <= Limits.badWords else { throw .invalid("bad_words", "has more than \(Limits.badWords) entries.") }
        var words: [String] = []
        for element in elements {
            guard let text = element.string else { throw .wrongType("bad_words", "an array of strings", element) }
            guard text.utf8.count <= Limits.stopStringBytes else { throw .invalid("bad_words", "contains a string of more than \(Limits.stopStringBytes) bytes.") }
            if !text.isEmpty { words.append(text) }
        }
        return words
    }

    private func stopTokens() throws(APIError) -> [Int32] {
        guard let elements = try array("stop_token_ids") else { return [] }
        guard elements.count <= Limits.logitBiasEntries else { throw .invalid("stop_token_ids", "has more than \(Limits.logitBiasEntries) entries.") }
        return try Self.tokens(elements, "stop_token_ids")
    }
}
