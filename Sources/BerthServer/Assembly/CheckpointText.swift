// The checkpoint's own tokenizer and chat template, as the API needs them.

import BerthCore
import BerthHTTP
import BerthModels
import BerthText
import Logging

/// Called on worker threads; everything in it is immutable.
struct CheckpointText: TextService {
    private let tokenizer: Tokenizer
    private let template: ChatTemplate?
    /// Why there is no template.
    private let templateProblem: String
    private let variables: [String: JSON]

    /// A template that cannot be compiled is reported and leaves the rest of the API working.
    init(_ tokenizer: Tokenizer, logger: Logger) throws {
        self.tokenizer = tokenizer
        variables = tokenizer.specialTokens.mapValues(JSON.string)
        for warning in tokenizer.warnings { logger.warning("tokenizer: \(warning)") }
        guard let source = tokenizer.chatTemplateSource else {
            template = nil
            templateProblem = "This model has no chat template; use /v1/completions."
            return
        }
        do {
            template = try ChatTemplate(source: source)
            templateProblem = ""
        } catch {
            logger.warning("the chat template cannot be run: \(error)")
            template = nil
            templateProblem = "This model's chat template cannot be run: \(error)"
        }
    }

    func encode(_ text: String, addSpecialTokens: Bool) -> [Int32] { tokenizer.encode(text, addSpecialTokens: addSpecialTokens) }

    func decode(_ tokens: [Int32], skipSpecialTokens: Bool) -> String { tokenizer.decode(tokens, skipSpecialTokens: skipSpecialTokens) }

    func bytes(of token: Int32) -> [UInt8] { tokenizer.bytes(of: token) }

    func render(_ chat: ChatInput) throws(APIError) -> String {
        guard let template else { throw APIError(.badRequest, templateProblem, code: "no_chat_template") }
        do {
            return try template.render(
                messages: chat.messages, addGenerationPrompt: chat.addsGenerationPrompt, extra: variables.merging(chat.variables) { $1 })
        } catch {
            switch error.code {
            case .raised: throw APIError(.badRequest, error.message, parameter: "messages", code: "template_refused")
            case .syntax, .evaluation, .limit:
                throw APIError(.badRequest, "The chat template could not be run with these messages: \(error)", parameter: "messages", code: "template_failed")
            }
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
