// What a program asks for. Every field left nil is the daemon's default (and the checkpoint's generation defaults).

import BerthCore

/// How tokens are chosen and when generation ends; shared by completions and chat.
public struct SamplingOptions: Sendable {
    public var maxTokens: Int?
    public var temperature: Double?
    public var topP: Double?
    public var topK: Int?
    public var minP: Double?
    public var repetitionPenalty: Double?
    public var presencePenalty: Double?
    public var frequencyPenalty: Double?
    public var seed: Int?
    public var stop: [String] = []
    public var ignoresEndTokens: Bool?
    /// Alternatives per token to report log-probabilities for; nil reports none.
    public var logprobs: Int?
    /// Sequences to generate.
    public var n: Int?
    /// How urgent it is beside the tenant's other requests, from -1000 to 1000: lower goes first.
    public var priority: Int?
    /// Further fields of the request body, as they are.
    public var extra: [String: JSON] = [:]

    public init(maxTokens: Int? = nil, temperature: Double? = nil, seed: Int? = nil) {
        self.maxTokens = maxTokens
        self.temperature = temperature
        self.seed = seed
    }

    /// The fields with the names they have in both kinds of request.
    fileprivate func fields() -> [(String, JSON?)] {
        [
            ("max_tokens", maxTokens.map { JSON($0) }), ("temperature", temperature.map(JSON.number)), ("top_p", topP.map(JSON.number)),
            ("top_k", topK.map { JSON($0) }), ("min_p", minP.map(JSON.number)), ("repetition_penalty", repetitionPenalty.map(JSON.number)),
            ("presence_penalty", presencePenalty.map(JSON.number)), ("frequency_penalty", frequencyPenalty.map(JSON.number)),
            ("seed", seed.map { JSON($0) }), ("stop", stop.isEmpty ? nil : .array(stop.map(JSON.string))),
            ("ignore_eos", ignoresEndTokens.map(JSON.bool)), ("n", n.map { JSON($0) }), ("priority", priority.map { JSON($0) }),
        ] + extra.map { ($0.key, $0.value) }
    }
}

/// Text to continue.
public struct CompletionRequest: Sendable {
    public enum Prompt: Sendable {
        case text(String)
        case tokens([Int32])
    }

    /// An adapter's name or the base model's; nil is the base model.
    public var model: String?
    public var prompt: Prompt
    public var options: SamplingOptions
    /// The answer starts with the prompt.
    public var echo = false

    public init(model: String? = nil, prompt: String, options: SamplingOptions = SamplingOptions()) {
        self.model = model
        self.prompt = .text(prompt)
        self.options = options
    }

    func body(stream: Bool) -> JSON {
        let prompt: JSON = switch prompt {
        case .text(let text): .string(text)
        case .tokens(let tokens): .array(tokens.map { JSON(Int($0)) })
        }
        return .body(
            [("model", model.map(JSON.string)), ("prompt", prompt), ("echo", echo ? true : nil), ("logprobs", options.logprobs.map { JSON($0) })]
                + options.fields(), stream: stream)
    }
}

/// One turn of a conversation.
public struct ChatMessage: Sendable, Equatable {
    public var role: String
    public var content: String

    public init(role: String, content: String) {
        self.role = role
        self.content = content
    }

    public static func system(_ content: String) -> ChatMessage { ChatMessage(role: "system", content: content) }
    public static func user(_ content: String) -> ChatMessage { ChatMessage(role: "user", content: content) }
    public static func assistant(_ content: String) -> ChatMessage { ChatMessage(role: "assistant", content: content) }
}

/// A conversation to continue with the checkpoint's own chat template.
public struct ChatRequest: Sendable {
    /// An adapter's name or the base model's; nil is the base model.
    public var model: String?
    public var messages: [ChatMessage]
    public var options: SamplingOptions

    public init(model: String? = nil, messages: [ChatMessage], options: SamplingOptions = SamplingOptions()) {
        self.model = model
        self.messages = messages
        self.options = options
    }

    func body(stream: Bool) -> JSON {
        let messages = JSON.array(self.messages.map { ["role": .string($0.role), "content": .string($0.content)] })
        return .body(
            [
                ("model", model.map(JSON.string)), ("messages", messages), ("logprobs", options.logprobs.map { _ in true }),
                ("top_logprobs", options.logprobs.map { JSON($0) }),
            ] + options.fields(), stream: stream)
    }
}

extension JSON {
    fileprivate static func body(_ fields: [(String, JSON?)], stream: Bool) -> JSON {
        var streaming: [(String, JSON?)] = []
        if stream { streaming = [("stream", true), ("stream_options", ["include_usage": true])] }
        return JSON(fields: fields + streaming)
    }
}
