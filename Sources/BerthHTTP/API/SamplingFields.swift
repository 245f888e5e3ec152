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

    public init() {}
}

extension FieldReader {
    func sampling() throws(APIError) -> SamplingFields {
        var fields = SamplingFields()
        fields.temperature = try number("temperature", in: 0...2)
        fields.topP = try number("top_p", in: 0...1, excludingLower: true)
        fields.topK = try int("top_k", in: -1...Int(Int32.max)).map { max(0, $0) }
        fields.minP = try number("min_p", in: 0...1)
        fields.repetitionPenalty = try number("repetition_penalty", in: 0...100, excludingLower: true)
        fields.presencePenalty = try number("presence_penalty", in: -2...2)
        fields.frequencyPenalty = try number("frequency_penalty", in: -2...2)
        fields.logitBias = try logitBias()
        fields.seed = try int("seed", in: Int.min...Int.max).map { UInt64(bitPattern: Int64($0)) }
        fields.stopStrings = try stopStrings()
        fields.stopTokens = try stopTokens()
        fields.ignoresEndTokens = try bool("ignore_eos") ?? false
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
        if let format = try object("response_format"), let type = format["type"], type != "text" {
            throw .invalid("response_format", "of type \(type.text.shortened) is not supported: the output is not constrained.", code: "unsupported_parameter")
        }
        return fields
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
        // Some clients say "none" so.
        guard let value = value("stop"), value != "" else { return [] }
        let elements = value.array ?? [value]
        guard elements.count <= Limits.stopStrings else { throw .invalid("stop", "has more than \(Limits.stopStrings) strings.") }
        var strings: [String] = []
        for element in elements {
            guard let text = element.string else { throw .wrongType("stop", "a string or an array of strings", element) }
            guard !text.isEmpty else { throw .invalid("stop", "must not contain an empty string.") }
            guard text.utf8.count <= Limits.stopStringBytes else { throw .invalid("stop", "contains a string of more than \(Limits.stopStringBytes) bytes.") }
            strings.append(text)
        }
        return strings
    }

    private func stopTokens() throws(APIError) -> [Int32] {
        guard let elements = try array("stop_token_ids") else { return [] }
        guard elements.count <= Limits.logitBiasEntries else { throw .invalid("stop_token_ids", "has more than \(Limits.logitBiasEntries) entries.") }
        return try Self.tokens(elements, "stop_token_ids")
    }
}
