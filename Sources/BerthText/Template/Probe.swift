// Small conversations that show what a template understands.

import BerthCore

struct Probe {
    let template: ChatTemplate
    let variables: [String: JSON]
    /// Any moment will do, as long as all renderings have the same.
    private let now = WallTime(year: 2000, month: 1, day: 1)

    init(template: ChatTemplate, variables: [String: JSON]) {
        self.template = template
        self.variables = variables
    }

    /// Nil where the template refuses these messages or fails on them.
    private func render(_ messages: JSON, tools: JSON? = nil) -> String? {
        var extra = variables
        extra["tools"] = tools
        return try? template.render(messages: messages, addGenerationPrompt: false, extra: extra, now: now, stepLimit: Limits.templateProbeSteps)
    }

    /// A template knows the role if it shows the message, and otherwise than that of a role which nobody has.
    var knowsDeveloper: Bool {
        func text(_ role: String) -> String? {
            render([["role": .string(role), "content": .string(Mark.text(0))], ["role": "user", "content": "hello"]])?.lowercased()
        }
        guard let known = text("developer"), Mark.found(in: known) == [0] else { return false }
        // It starts like the other: some templates show no more than a letter.
        let stranger = "dqzstranger"
        guard let unknown = text(stranger) else { return true }
        return unknown.split(separator: stranger, omittingEmptySubsequences: false).joined(separator: "developer") != known
    }

    /// The first form in which a call without text is shown and no `None` is. The usual one where none is.
    var callForm: CallForm {
        let user: JSON = ["role": "user", "content": "hello"]
        let tools: JSON = [
            ["type": "function", "function": ["name": "qztool", "description": "A tool.", "parameters": ["type": "object", "properties": ["a": ["type": "integer"]]]]]
        ]
        // Nine letters and digits are the only identifier that every template takes.
        let call: JSON = ["id": "qzcall000", "type": "function", "function": ["name": .string(Mark.text(0)), "arguments": ["a": 1]]]
        let turn: JSON = ["role": "assistant", "content": "", "tool_calls": [call]]
        func nones(_ text: String?) -> Int { Jinja.Text(text ?? "").offsets(of: "None").count }
        let usual = nones(render([user], tools: tools))
        return CallForm.all.first { form in
            guard let text = render([user, .object(form.fitted(turn.object!))], tools: tools) else { return false }
            return Mark.found(in: text) == [0] && nones(text) <= usual
        } ?? CallForm()
    }
}
