// Chat templates: from a conversation to the text a model was trained on.
//
// A checkpoint brings its template as Jinja source. It is compiled once, when the checkpoint is loaded, and rendered for
// each conversation. The language is Jinja2 as transformers configures it (an immutable sandbox, trim_blocks,
// lstrip_blocks, loop controls, generation blocks, its own `tojson`), because that is what templates were written
// against. It refuses what it does not do: integers beyond 64 bits, other templates (include, extends), automatic escaping,
// characters by name, the filters `random`, `urlize`, `pprint` and `xmlattr`. One thing it does otherwise: names are looked
// up when they are read, so an assignment does not hide a variable of the caller's from inner blocks that come before it.
//
//   source ─ Lexer ─ Parser ─ Program ─ Rendering ─ text
//
// A template comes from whoever made the checkpoint and its input from whoever calls the API. Neither may hang, crash or
// bloat the daemon: see Rendering.swift for what is counted.

import BerthCore

/// A compiled chat template. Immutable: any number of threads may render it at once.
public struct ChatTemplate: Sendable {
    private let program: Jinja.Program

    /// Compiles a template. Throws: syntax, with the line; limit, for nesting.
    public init(source: String) throws(TemplateError) {
        program = try Jinja.Parser.parse(source)
    }

    /// Renders a conversation.
    ///
    /// `messages` is an array of objects with `role` and `content` (and `tool_calls`, …). `extra` holds whatever else the
    /// template may read: `bos_token`, `eos_token`, `tools`, `documents`, `enable_thinking`. What is absent is undefined,
    /// but `tools` and `documents` are none. `now` is the time that `strftime_now` shows.
    ///
    /// Throws: raised, where the template refuses the conversation in its own words; evaluation, where it fails on it;
    /// limit, where it takes too long or writes too much.
    public func render(
        messages: JSON, addGenerationPrompt: Bool, extra: [String: JSON] = [:], now: WallTime = .now()
    ) throws(TemplateError) -> String {
        try render(messages: messages, addGenerationPrompt: addGenerationPrompt, extra: extra, now: now, stepLimit: Limits.templateSteps)
    }

    /// The same with another bound on the work.
    func render(
        messages: JSON, addGenerationPrompt: Bool, extra: [String: JSON], now: WallTime, stepLimit: Int
    ) throws(TemplateError) -> String {
        var stepsLeft = stepLimit
        return try render(messages: messages, addGenerationPrompt: addGenerationPrompt, extra: extra, now: now, stepsLeft: &stepsLeft)
    }

    /// The same, one of several renderings that share a bound on the work.
    func render(
        messages: JSON, addGenerationPrompt: Bool, extra: [String: JSON], now: WallTime, stepsLeft: inout Int
    ) throws(TemplateError) -> String {
        var variables: [String: Jinja.Value] = ["tools": .none, "documents": .none]
        for (name, value) in extra { variables[name] = try Jinja.Value(value) }
        variables["messages"] = try Jinja.Value(Self.withReasoning(messages))
        variables["add_generation_prompt"] = .bool(addGenerationPrompt)
        let rendering = Jinja.Rendering(program, variables: variables, now: now, stepLimit: stepsLeft)
        defer { stepsLeft -= rendering.steps }
        return try rendering.run()
    }

    /// The names under which messages carry reasoning, the one that templates read first.
    static let reasoningNames = ["reasoning_content", "thinking", "reasoning"]

    /// Gives each message that has reasoning under one of its names all that templates look for, as transformers does.
    private static func withReasoning(_ messages: JSON) -> JSON {
        guard let list = messages.array else { return messages }
        return .array(
            list.map { message in
                guard case .object(var members) = message,
                    let reasoning = reasoningNames.lazy.compactMap({ members[$0] }).first(where: { !$0.isNull })
                else { return message }
                let thinking = members.removeValue(forKey: "thinking") ?? reasoning
                members.updateValue(thinking, forKey: "thinking", insertingAt: 0)
                members["reasoning_content"] = reasoning
                return .object(members)
            })
    }
}
