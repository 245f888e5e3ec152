// All the chat templates of a checkpoint, and which of them a conversation gets.
//
// Most checkpoints have one. Some have several with names: `tool_use` is for conversations with tools, `default` for all others.

import BerthCore
import OrderedCollections

/// What turns conversations into prompts. Immutable: any number of threads may use it at once.
public struct ChatFormats: Sendable {
    private let formats: OrderedDictionary<String, Result<ChatFormat, TemplateError>>

    private static let standard = "default"
    private static let withTools = "tool_use"

    /// `sources` are templates by name. One that cannot be compiled refuses the conversations that would get it, with the reason.
    /// `variables` are the same for all conversations: `bos_token` and the like.
    public init(_ sources: OrderedDictionary<String, String>, variables: [String: JSON]) {
        formats = sources.mapValues { source in
            do throws(TemplateError) { return .success(try ChatFormat(source: source, variables: variables)) } catch { return .failure(error) }
        }
    }

    /// What whoever runs the checkpoint should know: templates that cannot be run, conversations for which there is none.
    public var warnings: [String] {
        var warnings = formats.compactMap { (name, format) -> String? in
            if case .failure(let error) = format { "the chat template '\(name)' cannot be run: \(error)" } else { nil }
        }
        if !formats.isEmpty, name(hasTools: false) == nil { warnings.append(problem) }
        return warnings
    }

    /// The prompt for a conversation: `messages` as OpenAI has them, with texts as contents, and whatever else the template may
    /// read (`tools`, `documents`, `enable_thinking`).
    ///
    /// Throws: missing, where there is no template for it; whatever `ChatTemplate.render` throws; dropped, where the template
    /// would leave out a message or a tool.
    public func prompt(
        messages: JSON, addGenerationPrompt: Bool, extra: [String: JSON] = [:], now: WallTime = .now()
    ) throws(TemplateError) -> String {
        guard let name = name(hasTools: extra["tools"]?.array?.isEmpty == false) else { throw TemplateError(.missing, problem) }
        return try formats[name]!.get().prompt(messages: messages.array ?? [], addGenerationPrompt: addGenerationPrompt, extra: extra, now: now)
    }

    /// Whether there is any template.
    public var isEmpty: Bool { formats.isEmpty }

    private func name(hasTools: Bool) -> String? {
        if hasTools, formats[Self.withTools] != nil { return Self.withTools }
        if formats[Self.standard] != nil { return Self.standard }
        return formats.count == 1 ? formats.keys[0] : nil
    }

    private var problem: String {
        if formats.isEmpty { return "This model has no chat template; use /v1/completions." }
        let names = formats.keys.map { "'\($0)'" }.joined(separator: ", ")
        return "This model has chat templates called \(names), but none called '\(Self.standard)' for conversations like this one."
    }
}
