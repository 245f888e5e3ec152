// One chat template, and how a conversation has to be put for it.
//
// OpenAI's messages are older than most templates and newer than some, so the same thing is written in more than one way. How
// a template wants it is found out by rendering small conversations when it is loaded.

import BerthCore

struct ChatFormat: Sendable {
    private let template: ChatTemplate
    /// `bos_token` and the like.
    private let variables: [String: JSON]
    /// Whether `developer` means something to the template. To most it is a word like any other, if they do not ignore it.
    private let knowsDeveloper: Bool
    private let callForm: CallForm

    /// Throws: syntax, limit.
    init(source: String, variables: [String: JSON]) throws(TemplateError) {
        template = try ChatTemplate(source: source)
        self.variables = variables
        let probe = Probe(template: template, variables: variables)
        knowsDeveloper = probe.knowsDeveloper
        callForm = probe.callForm
    }

    /// The prompt for a conversation. `extra` are further variables of the template, `tools` among them.
    ///
    /// Throws: whatever `ChatTemplate.render` throws, and dropped, where a message or a tool leaves no trace in the prompt.
    func prompt(messages given: [JSON], addGenerationPrompt: Bool, extra: [String: JSON], now: WallTime) throws(TemplateError) -> String {
        let messages = given.map(fitted)
        let variables = variables.merging(extra) { $1 }
        let prompt = try template.render(messages: .array(messages), addGenerationPrompt: addGenerationPrompt, extra: variables, now: now)
        var check = TraceCheck(
            template: template, messages: messages, addGenerationPrompt: addGenerationPrompt, variables: variables, now: now, prompt: prompt)
        if let tool = check.droppedTool() {
            throw .dropped(tool.map { "tools[\($0)]" } ?? "tools", "would not be shown to the model: its chat template leaves them out.")
        }
        if let index = check.droppedMessage() {
            let role = (given[index]["role"]?.string ?? "").prefix(40)
            throw .dropped("messages[\(index)]", "of role '\(role)' would not be shown to the model: its chat template leaves it out.")
        }
        return prompt
    }

    private func fitted(_ message: JSON) -> JSON {
        guard case .object(var members) = message else { return message }
        if !knowsDeveloper, members["role"] == "developer" { members["role"] = "system" }
        if members["tool_calls"]?.array != nil { members = callForm.fitted(members) }
        return .object(members)
    }
}
