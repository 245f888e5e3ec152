// Answers to completion and chat requests, whole and in chunks, exactly as OpenAI's clients parse them.

import BerthCore

/// What every chunk of one answer repeats.
public struct AnswerIdentity: Sendable, Equatable {
    /// "cmpl-…" or "chatcmpl-…".
    public var id: String
    /// Seconds since 1970.
    public var created: Int
    public var model: String
    public var isChat: Bool
    /// Only where the request names one.
    public var serviceTier: String?

    public init(id: String, created: Int, model: String, isChat: Bool, serviceTier: String? = nil) {
        self.id = id
        self.created = created
        self.model = model
        self.isChat = isChat
        self.serviceTier = serviceTier
    }
}

/// Part of a generated sequence, or all of it, as the wire shows it.
public struct AnswerPiece: Sendable, Equatable {
    public var index: Int
    public var text: String
    /// One entry per token that `text` is made of; nil where log-probabilities were not asked for.
    public var logprobs: [TokenReport]?
    /// Where in the sequence's text the first of `logprobs` starts, in Unicode scalars. Completions only.
    public var textOffset = 0
    /// "stop" or "length", on the last piece.
    public var finishReason: String?
    /// Only with `return_token_ids`.
    public var tokenIDs: [Int32]?
    /// Only with `return_token_ids`, on the first piece.
    public var promptTokenIDs: [Int32]?
    /// Only with `prompt_logprobs`, whole answers only.
    public var promptLogprobs: [PromptTokenReport?]?
    /// A chat stream's first piece of this sequence: carries the role.
    public var opensMessage = false

    public init(index: Int, text: String) {
        self.index = index
        self.text = text
    }
}

public struct AnswerUsage: Sendable, Equatable {
    public var promptTokens: Int
    public var completionTokens: Int
    /// Of the prompts' tokens, those whose keys and values were there already.
    public var cachedTokens: Int

    public init(promptTokens: Int = 0, completionTokens: Int = 0, cachedTokens: Int = 0) {
        self.promptTokens = promptTokens
        self.completionTokens = completionTokens
        self.cachedTokens = cachedTokens
    }

    public var json: JSON {
        [
            "prompt_tokens": JSON(promptTokens), "completion_tokens": JSON(completionTokens), "total_tokens": JSON(promptTokens + completionTokens),
            "prompt_tokens_details": ["cached_tokens": JSON(cachedTokens)],
        ]
    }
}

extension AnswerIdentity {
    /// The whole answer.
    public func answer(_ pieces: [AnswerPiece], usage: AnswerUsage) -> JSON {
        envelope(
            isChunk: false, choices: pieces.map { isChat ? chatChoice($0) : completionChoice($0) }, usage: usage.json,
            promptLogprobs: isChat ? pieces.first?.promptLogprobs.map(PromptTokenReport.list) : nil)
    }

    /// One chunk of a stream.
    /// - Parameter announcesUsage: the stream will end with a usage chunk, so this one says `"usage": null`, as OpenAI's do.
    public func chunk(_ piece: AnswerPiece, announcesUsage: Bool) -> JSON {
        envelope(isChunk: true, choices: [isChat ? chatDelta(piece) : completionChoice(piece)], usage: announcesUsage ? .null : nil)
    }

    /// The last chunk of a stream with `include_usage`: no choices.
    public func usageChunk(_ usage: AnswerUsage) -> JSON { envelope(isChunk: true, choices: [], usage: usage.json) }

    private func envelope(isChunk: Bool, choices: [JSON], usage: JSON?, promptLogprobs: JSON? = nil) -> JSON {
        let object = isChat ? (isChunk ? "chat.completion.chunk" : "chat.completion") : "text_completion"
        return JSON(fields: [
            ("id", .string(id)), ("object", .string(object)), ("created", JSON(created)), ("model", .string(model)), ("choices", .array(choices)),
            ("usage", usage), ("prompt_logprobs", promptLogprobs), ("service_tier", serviceTier.map(JSON.string)),
        ])
    }

    private func completionChoice(_ piece: AnswerPiece) -> JSON {
        JSON(fields: [
            ("index", JSON(piece.index)), ("text", .string(piece.text)),
            ("logprobs", piece.logprobs.map { TokenReport.completionLogprobs($0, offset: piece.textOffset) } ?? .null),
            ("finish_reason", piece.finishReason.map(JSON.string) ?? .null), ("prompt_token_ids", piece.promptTokenIDs.map(JSON.tokens)),
            ("token_ids", piece.tokenIDs.map(JSON.tokens)), ("prompt_logprobs", piece.promptLogprobs.map(PromptTokenReport.list)),
        ])
    }

    private func chatChoice(_ piece: AnswerPiece) -> JSON {
        chatPart(piece, "message", ["role": "assistant", "content": .string(piece.text), "refusal": nil])
    }

    private func chatDelta(_ piece: AnswerPiece) -> JSON {
        var delta: [(String, JSON)] = []
        if piece.opensMessage { delta.append(("role", "assistant")) }
        if piece.opensMessage || !piece.text.isEmpty { delta.append(("content", .string(piece.text))) }
        return chatPart(piece, "delta", JSON(members: delta))
    }

    private func chatPart(_ piece: AnswerPiece, _ name: String, _ value: JSON) -> JSON {
        JSON(fields: [
            ("index", JSON(piece.index)), (name, value), ("logprobs", piece.logprobs.map(TokenReport.chatLogprobs) ?? .null),
            ("finish_reason", piece.finishReason.map(JSON.string) ?? .null), ("prompt_token_ids", piece.promptTokenIDs.map(JSON.tokens)),
            ("token_ids", piece.tokenIDs.map(JSON.tokens)),
        ])
    }
}

extension JSON {
    static func tokens(_ tokens: [Int32]) -> JSON { .array(tokens.map { JSON(Int($0)) }) }
}
