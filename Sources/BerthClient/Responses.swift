// What the daemon answers, typed. Reading is strict about what a program relies on and indifferent to further fields.

import BerthCore

/// A model that requests may name: the base or one of its adapters.
public struct ModelInfo: Sendable, Equatable {
    public var name: String
    /// The base model's name, where this is an adapter.
    public var parent: String?
    /// Tokens of prompt and output together.
    public var contextLength: Int?

    init(json: JSON) throws(BerthClientError) {
        name = try json.require("id", \.string)
        parent = json["parent"]?.string
        contextLength = json["max_model_len"]?.int
    }
}

/// Tokens that a request took.
public struct TokenUsage: Sendable, Equatable {
    public var promptTokens: Int
    public var completionTokens: Int
    /// Of the prompt's tokens, those that the daemon had computed before.
    public var cachedTokens: Int

    init?(json: JSON?) {
        guard let prompt = json?["prompt_tokens"]?.int, let completion = json?["completion_tokens"]?.int else { return nil }
        promptTokens = prompt
        completionTokens = completion
        cachedTokens = json?["prompt_tokens_details"]?["cached_tokens"]?.int ?? 0
    }
}

/// A token of the output with its natural log-probability.
public struct TokenChance: Sendable, Equatable {
    public var text: String
    public var logprob: Double
    /// The likeliest tokens at this place, with theirs.
    public var alternatives: [String: Double]
}

/// One of the generated sequences, whole.
public struct Choice: Sendable, Equatable {
    public var index: Int
    public var text: String
    /// `stop` or `length`.
    public var finishReason: String?
    /// Empty unless asked for.
    public var logprobs: [TokenChance]

    init(json: JSON) throws(BerthClientError) {
        index = json["index"]?.int ?? 0
        finishReason = json["finish_reason"]?.string
        if let message = json["message"] {
            text = message["content"]?.string ?? ""
        } else {
            text = try json.require("text", \.string)
        }
        logprobs = TokenChance.list(json["logprobs"])
    }
}

/// The whole answer to a completion or chat request.
public struct Generation: Sendable, Equatable {
    public var id: String
    public var model: String
    public var choices: [Choice]
    public var usage: TokenUsage?

    /// The first choice's text.
    public var text: String { choices.first?.text ?? "" }

    init(json: JSON) throws(BerthClientError) {
        id = try json.require("id", \.string)
        model = json["model"]?.string ?? ""
        choices = []
        for choice in try json.require("choices", \.array) { choices.append(try Choice(json: choice)) }
        usage = TokenUsage(json: json["usage"])
    }
}

/// A piece of a streamed answer.
public struct GenerationChunk: Sendable, Equatable {
    /// Which of the `n` sequences goes on.
    public var index: Int
    /// The text that is new; may be empty.
    public var text: String
    /// Set on the last chunk of a sequence.
    public var finishReason: String?
    public var logprobs: [TokenChance]
    /// Only on the stream's last element, which belongs to no sequence.
    public var usage: TokenUsage?

    init(json: JSON) throws(BerthClientError) {
        usage = TokenUsage(json: json["usage"])
        let choice = try json.require("choices", \.array).first
        index = choice?["index"]?.int ?? 0
        text = choice?["text"]?.string ?? choice?["delta"]?["content"]?.string ?? ""
        finishReason = choice?["finish_reason"]?.string
        logprobs = TokenChance.list(choice?["logprobs"])
    }
}

extension TokenChance {
    /// Both of OpenAI's shapes: parallel arrays (completions) and a list of objects (chat).
    static func list(_ json: JSON?) -> [TokenChance] {
        if let content = json?["content"]?.array {
            return content.compactMap { entry in
                guard let token = entry["token"]?.string, let logprob = entry["logprob"]?.double else { return nil }
                let top = (entry["top_logprobs"]?.array ?? []).compactMap { other -> (String, Double)? in
                    guard let text = other["token"]?.string, let chance = other["logprob"]?.double else { return nil }
                    return (text, chance)
                }
                return TokenChance(text: token, logprob: logprob, alternatives: Dictionary(top, uniquingKeysWith: { first, _ in first }))
            }
        }
        guard let tokens = json?["tokens"]?.array, let logprobs = json?["token_logprobs"]?.array, tokens.count == logprobs.count else { return [] }
        let tops = json?["top_logprobs"]?.array ?? []
        return tokens.indices.compactMap { index in
            guard let text = tokens[index].string, let logprob = logprobs[index].double else { return nil }
            let top = index < tops.count ? tops[index].object ?? [:] : [:]
            return TokenChance(text: text, logprob: logprob, alternatives: Dictionary(top.compactMap { key, value in value.double.map { (key, $0) } }, uniquingKeysWith: { first, _ in first }))
        }
    }
}

extension JSON {
    /// The member `key` as `kind` reads it; an answer without it is not one that we understand.
    func require<Value>(_ key: String, _ kind: (JSON) -> Value?) throws(BerthClientError) -> Value {
        guard let value = self[key].flatMap(kind) else { throw .unexpectedAnswer("no usable \"\(key)\"") }
        return value
    }
}
