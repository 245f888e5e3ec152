// The body of `POST /v1/completions`.

import BerthCore

public struct CompletionCall: Sendable, Equatable {
    public enum Prompt: Sendable, Equatable {
        case text(String)
        case tokens([Int32])
    }

    /// At least one; with `n`, at most `Limits.choicesPerRequest` choices.
    public var prompts: [Prompt]
    public var sampling: SamplingFields
    public var delivery: DeliveryFields
    /// 0 only with `echo` or `prompt_logprobs`; nil is `defaultMaxTokens`, or fewer where the context ends before.
    public var maxTokens: TokenLimit?
    /// The answer starts with the prompt.
    public var echo: Bool
    /// Alternatives to report with every token; nil reports no log-probabilities.
    public var logprobs: Int?
    /// The tokenizer may add its beginning-of-text token and the like to a text prompt.
    public var addsSpecialTokens: Bool

    /// OpenAI's default for this route.
    public static let defaultMaxTokens = 16

    /// - Throws: 400, naming the field at fault.
    public init(body: [UInt8]) throws(APIError) {
        let reader = try FieldReader(body: body)
        delivery = try reader.delivery()
        sampling = try reader.sampling()
        prompts = try Self.prompts(try reader.required("prompt"))
        guard prompts.count * delivery.n <= Limits.choicesPerRequest else {
            throw .invalid("prompt", "and 'n' ask for \(prompts.count * delivery.n) choices; \(Limits.choicesPerRequest) are allowed.")
        }
        echo = try reader.bool("echo") ?? false
        maxTokens = try reader.tokenLimit("max_tokens", least: 0)
        guard maxTokens != .atMost(0) || echo || delivery.promptLogprobs != nil else {
            throw .invalid("max_tokens", "must be at least 1 (0 is allowed with 'echo' or 'prompt_logprobs').")
        }
        logprobs = try reader.int("logprobs", in: 0...Limits.topLogprobs)
        addsSpecialTokens = try reader.bool("add_special_tokens") ?? true
        if let best = try reader.int("best_of", in: 1...Limits.choicesPerRequest), best != delivery.n {
            throw .invalid("best_of", "is not supported unless it equals 'n'.", code: "unsupported_parameter")
        }
        if let suffix = try reader.string("suffix"), !suffix.isEmpty {
            throw .invalid("suffix", "is not supported.", code: "unsupported_parameter")
        }
    }

    /// A string, an array of token ids, or an array of either.
    private static func prompts(_ value: JSON) throws(APIError) -> [Prompt] {
        if let text = value.string { return [.text(text)] }
        guard let elements = value.array else { throw .wrongType("prompt", "a string, an array of token ids, or an array of either", value) }
        guard let first = elements.first else { throw .invalid("prompt", "must not be an empty array.") }
        if first.double != nil { return [.tokens(try FieldReader.tokens(elements, "prompt"))] }
        guard elements.count <= Limits.choicesPerRequest else { throw .invalid("prompt", "has more than \(Limits.choicesPerRequest) elements.") }
        var prompts: [Prompt] = []
        for element in elements {
            if let text = element.string {
                prompts.append(.text(text))
            } else if let tokens = element.array {
                prompts.append(.tokens(try FieldReader.tokens(tokens, "prompt")))
            } else {
                throw .wrongType("prompt", "a string, an array of token ids, or an array of either", element)
            }
        }
        return prompts
    }
}
