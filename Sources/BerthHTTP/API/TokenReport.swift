// Log-probabilities in the two shapes of OpenAI's API.

import BerthCore

/// A token with its log-probability and the likeliest alternatives, with texts instead of ids.
public struct TokenReport: Sendable, Equatable {
    public struct Entry: Sendable, Equatable {
        /// The token's text alone (a lone byte of a character shows as U+FFFD), or "token_id:123" where the request asked for that.
        public var text: String
        public var bytes: [UInt8]
        public var logprob: Float

        public init(text: String, bytes: [UInt8], logprob: Float) {
            self.text = text
            self.bytes = bytes
            self.logprob = logprob
        }
    }

    public var text: String
    public var bytes: [UInt8]
    /// Nil for the first token of a prompt, which nothing predicts.
    public var logprob: Float?
    /// By falling log-probability.
    public var top: [Entry]

    public init(text: String, bytes: [UInt8], logprob: Float?, top: [Entry]) {
        self.text = text
        self.bytes = bytes
        self.logprob = logprob
        self.top = top
    }

    /// `{"tokens", "token_logprobs", "top_logprobs", "text_offset"}`: parallel arrays.
    /// - Parameter offset: where the first token starts in the sequence's text, in Unicode scalars.
    static func completionLogprobs(_ tokens: [TokenReport], offset: Int) -> JSON {
        var offset = offset
        var offsets: [JSON] = []
        for token in tokens {
            offsets.append(JSON(offset))
            offset += token.text.unicodeScalars.count
        }
        return [
            "tokens": .array(tokens.map { .string($0.text) }),
            "token_logprobs": .array(tokens.map { $0.logprob.map(number) ?? .null }),
            "top_logprobs": .array(tokens.map(\.topByText)),
            "text_offset": .array(offsets),
        ]
    }

    /// `{"content": [{"token", "logprob", "bytes", "top_logprobs": […]}]}`
    static func chatLogprobs(_ tokens: [TokenReport]) -> JSON {
        let content = tokens.map { token -> JSON in
            let top = JSON.array(token.top.map { json($0.text, $0.bytes, $0.logprob) })
            guard case .object(var members) = json(token.text, token.bytes, token.logprob ?? 0) else { return .null }
            members["top_logprobs"] = top
            return .object(members)
        }
        return ["content": .array(content), "refusal": nil]
    }

    /// Alternatives by text, the token itself included.
    private var topByText: JSON {
        guard let logprob else { return .null }
        var members: [(String, JSON)] = []
        var seen: Set<String> = []
        for entry in top where seen.insert(entry.text).inserted { members.append((entry.text, Self.number(entry.logprob))) }
        if seen.insert(text).inserted { members.append((text, Self.number(logprob))) }
        return JSON(members: members)
    }

    private static func json(_ text: String, _ bytes: [UInt8], _ logprob: Float) -> JSON {
        ["token": .string(text), "logprob": number(logprob), "bytes": .array(bytes.map { JSON(Int($0)) })]
    }

    /// JSON has no infinity; OpenAI's own floor for a token that cannot occur is -9999.
    static func number(_ logprob: Float) -> JSON { .number(Double(logprob.isFinite ? max(logprob, -9999) : -9999)) }
}
