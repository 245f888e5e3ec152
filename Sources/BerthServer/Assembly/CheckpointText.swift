// The checkpoint's own tokenizer and chat template, as the API needs them.

import BerthCore
import BerthHTTP
import BerthModels
import BerthText
import Logging

/// Called on worker threads; everything in it is immutable.
struct CheckpointText: TextService {
    private let tokenizer: Tokenizer
    private let formats: ChatFormats

    /// A template that cannot be compiled is reported and leaves the rest of the API working.
    init(_ tokenizer: Tokenizer, logger: Logger) {
        self.tokenizer = tokenizer
        formats = ChatFormats(tokenizer.chatTemplates, variables: tokenizer.specialTokens.mapValues(JSON.string))
        for warning in tokenizer.warnings { logger.warning("tokenizer: \(warning)") }
        for warning in formats.warnings { logger.warning("\(warning)") }
    }

    func encode(_ text: String, addSpecialTokens: Bool) -> [Int32] { tokenizer.encode(text, addSpecialTokens: addSpecialTokens) }

    func decode(_ tokens: [Int32], skipSpecialTokens: Bool) -> String { tokenizer.decode(tokens, skipSpecialTokens: skipSpecialTokens) }

    func bytes(of token: Int32) -> [UInt8] { tokenizer.bytes(of: token) }

    func render(_ chat: ChatInput) throws(APIError) -> String {
        do {
            return try formats.prompt(messages: chat.messages, addGenerationPrompt: chat.addsGenerationPrompt, extra: chat.variables)
        } catch {
            throw APIError(error, hasTemplate: !formats.isEmpty)
        }
    }
}

extension APIError {
    /// A template's reasons, as the API says them. Clients tell a model without any template by its code: it takes completions.
    init(_ error: TemplateError, hasTemplate: Bool) {
        switch error.code {
        case .missing: self = APIError(.badRequest, error.message, parameter: "messages", code: hasTemplate ? "template_failed" : "no_chat_template")
        case .raised: self = APIError(.badRequest, error.message, parameter: "messages", code: "template_refused")
        case .dropped: self = APIError(.badRequest, error.description, parameter: error.field, code: "left_out_by_template")
        case .syntax: self = APIError(.badRequest, "This model's chat template cannot be run: \(error)", parameter: "messages", code: "template_failed")
        case .evaluation, .limit:
            self = APIError(
                .badRequest, "The chat template could not be run with these messages: \(error)", parameter: "messages", code: "template_failed")
        }
    }
}

extension SamplingFields {
    /// What the makers of a checkpoint recommend.
    init(_ defaults: GenerationDefaults) {
        self.init()
        temperature = defaults.temperature
        topP = defaults.topP
        topK = defaults.topK
        minP = defaults.minP
        repetitionPenalty = defaults.repetitionPenalty
    }
}
