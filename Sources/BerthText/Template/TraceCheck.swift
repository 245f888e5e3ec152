// Does every part of a conversation leave a trace in its prompt?
//
// A template shows what its author thought of. A message of a role that it does not know, or tools that it never looks at, just
// vanish, and the model answers as if they had not been sent. So the conversation is rendered once more with a mark for
// each message: the marks that come out are messages that were shown, whatever happened to their words (reasoning cut off,
// trimming). Only a message whose mark does not come out costs a rendering of its own, in which it alone is changed: a
// prompt that stays the same to the byte did not depend on it. What all of this may cost is bounded; past that, a message's
// own words have to stand in the prompt, behind those of the ones before.

import BerthCore

/// One look at one prompt. Lives for a call of `ChatFormat.prompt`.
struct TraceCheck {
    let template: ChatTemplate
    let messages: [JSON]
    let addGenerationPrompt: Bool
    let variables: [String: JSON]
    let now: WallTime
    /// What came of all this.
    let prompt: String

    private(set) var stepsLeft = Limits.templateCheckSteps
    private var checksLeft = Limits.templateChecks

    init(template: ChatTemplate, messages: [JSON], addGenerationPrompt: Bool, variables: [String: JSON], now: WallTime, prompt: String) {
        self.template = template
        self.messages = messages
        self.addGenerationPrompt = addGenerationPrompt
        self.variables = variables
        self.now = now
        self.prompt = prompt
    }

    /// What came of a changed conversation.
    private enum Outcome: Equatable {
        case text(String)
        /// The template refused it or failed on it, so it looked at what was changed.
        case failed
        /// There was no more to spend.
        case unknown
    }

    /// The first of the tools that left no trace; `.some(nil)` where none of several did.
    mutating func droppedTool() -> Int?? {
        guard let tools = variables["tools"]?.array, !tools.isEmpty else { return nil }
        let marked = tools.enumerated().map { Mark.tool($1, $0) }
        switch outcome(messages, tools: marked) {
        case .text(prompt): return .some(nil)
        case .failed, .unknown: return nil
        case .text(let text):
            let seen = Mark.found(in: text)
            for index in tools.indices where !seen.contains(index) {
                var changed = tools
                changed[index] = marked[index]
                if single(messages, tools: changed) == .text(prompt) { return index }
            }
            return nil
        }
    }

    /// The first message that says something and left no trace.
    mutating func droppedMessage() -> Int? {
        let speaking = messages.indices.filter { Mark.saysAnything(messages[$0]) }
        let marked = messages.enumerated().map { Mark.message($1, $0) }
        var seen: Set<Int> = []
        if !speaking.isEmpty, case .text(let text) = outcome(marked) { seen = Mark.found(in: text) }
        var words = WordSearch(prompt)
        for index in speaking where !seen.contains(index) {
            var changed = messages
            changed[index] = marked[index]
            switch single(changed) {
            case .text(prompt): return index
            case .unknown: if !words.find(messages[index]) { return index }
            case .text, .failed: continue
            }
        }
        return nil
    }

    private mutating func single(_ messages: [JSON], tools: [JSON]? = nil) -> Outcome {
        guard checksLeft > 0 else { return .unknown }
        checksLeft -= 1
        return outcome(messages, tools: tools)
    }

    private mutating func outcome(_ messages: [JSON], tools: [JSON]? = nil) -> Outcome {
        guard stepsLeft > 0 else { return .unknown }
        var variables = variables
        if let tools { variables["tools"] = .array(tools) }
        do throws(TemplateError) {
            return .text(
                try template.render(
                    messages: .array(messages), addGenerationPrompt: addGenerationPrompt, extra: variables, now: now, stepsLeft: &stepsLeft))
        } catch {
            return error.code == .limit ? .unknown : .failed
        }
    }

    /// Looks for the words of one message after another, each behind the one before: linear in all.
    private struct WordSearch {
        private let prompt: Jinja.Text
        private var at = 0

        init(_ prompt: String) { self.prompt = Jinja.Text(prompt) }

        mutating func find(_ message: JSON) -> Bool {
            let words = message["content"]?.string.map { Jinja.Text($0).stripped() } ?? Jinja.Text()
            guard let hit = prompt.firstOffset(of: words, from: at) else { return false }
            at = hit + words.bytes.count
            return true
        }
    }
}
