// Conversations as clients send them, through templates as checkpoints have them: nothing vanishes without a word.

import BerthCore
import OrderedCollections
import Testing

@testable import BerthText

@Suite struct ChatFormatTests {
    private static let variables: [String: JSON] = ["bos_token": "<s>", "eos_token": "</s>"]

    /// The templates beside the fixture, by the names of their files, each compiled once.
    private static let formats: OrderedDictionary<String, ChatFormats> = {
        var formats: OrderedDictionary<String, ChatFormats> = [:]
        for name in TemplateFixtureTests.templateNames { formats[name] = ChatFormats(["default": source(name)], variables: variables) }
        return formats
    }()

    private static func source(_ name: String) -> String {
        String(decoding: TemplateFixtureTests.contents(TemplateFixtureTests.directory + "/chat-templates/\(name).jinja"), as: UTF8.self)
    }

    private static func formats(_ source: String) -> ChatFormats { ChatFormats(["default": source], variables: variables) }

    /// The prompt, or the error's code and text.
    private enum Outcome: Equatable, CustomStringConvertible {
        case prompt(String)
        case error(TemplateError.Code, String)

        init(_ formats: ChatFormats, _ messages: JSON, tools: JSON? = nil) {
            do throws(TemplateError) {
                let prompt = try formats.prompt(
                    messages: messages, addGenerationPrompt: true, extra: tools.map { ["tools": $0] } ?? [:], now: TemplateFixtureTests.now)
                self = .prompt(prompt)
            } catch {
                self = .error(error.code, error.description)
            }
        }

        var prompt: String? { if case .prompt(let prompt) = self { prompt } else { nil } }
        var isDropped: Bool { if case .error(.dropped, _) = self { true } else { false } }
        var description: String {
            switch self {
            case .prompt(let prompt): prompt
            case .error(let code, let text): "\(code): \(text)"
            }
        }
    }

    private static let tool: JSON = [
        "type": "function",
        "function": ["name": "look_up", "description": "Looks it up.", "parameters": ["type": "object", "properties": ["key": ["type": "string", "description": "What."]]]],
    ]
    private static let call: JSON = ["id": "abcdef123", "type": "function", "function": ["name": "look_up", "arguments": ["key": "v"]]]

    // MARK: empty content

    /// A turn that only calls a tool has no text. Every template that shows calls shows this one, and none writes "None".
    @Test(arguments: formats.keys) func callsWithoutTextAreShown(_ name: String) throws {
        let messages: JSON = [["role": "user", "content": "hello"], ["role": "assistant", "content": "", "tool_calls": [Self.call]]]
        let outcome = Outcome(Self.formats[name]!, messages)
        switch outcome {
        case .prompt(let prompt):
            // One prints its variables.
            let usual = Outcome(Self.formats[name]!, [["role": "user", "content": "hello"]]).description
            #expect(prompt.contains("look_up") && (!prompt.contains("None") || usual.contains("None")), "\(outcome)")
        case .error(let code, _): #expect(code == .dropped || code == .raised, "\(outcome)")
        }
    }

    /// Older DeepSeek templates look for calls only where the content is none, and add the arguments to a text.
    @Test func someTemplatesWantNoneAndText() {
        let source = """
            {%- for m in messages %}{%- if m.role == 'user' %}<U>{{ m['content'] }}{%- endif %}
            {%- if m.role == 'assistant' and m['content'] is none %}<A>{%- for c in m['tool_calls'] %}{{ c['function']['name'] + '\\n' + c['function']['arguments'] }}{%- endfor %}{%- endif %}
            {%- if m.role == 'assistant' and m['content'] is not none %}<A>{{ m['content'] }}{%- endif %}{%- endfor %}
            """
        let messages: JSON = [["role": "user", "content": "hi"], ["role": "assistant", "content": "", "tool_calls": [Self.call]], ["role": "assistant", "content": ""]]
        #expect(Outcome(Self.formats(source), messages) == .prompt("<U>hi<A>look_up\n{\"key\":\"v\"}<A>"))
    }

    // MARK: the developer

    @Test(arguments: formats.keys) func developersAreHeard(_ name: String) {
        let formats = Self.formats[name]!
        let user: JSON = ["role": "user", "content": "hello"]
        let developer = Outcome(formats, [["role": "developer", "content": "Speak like a pirate."], user])
        // gpt-oss has a place for developers; the others get a system.
        if name == "gpt-oss" {
            #expect(developer.prompt?.contains("<|start|>developer<|message|># Instructions") == true || developer.prompt?.contains("developer") == true)
        } else {
            let system = Outcome(formats, [["role": "system", "content": "Speak like a pirate."], user])
            #expect(developer == system || developer.isDropped && system.isDropped)
        }
        if let prompt = developer.prompt { #expect(prompt.contains("Speak like a pirate.")) }
    }

    @Test func aTemplateThatPrintsAnyRoleDoesNotKnowIt() {
        let messages: JSON = [["role": "developer", "content": "a"], ["role": "user", "content": "b"]]
        #expect(Outcome(Self.formats("{% for m in messages %}<{{ m.role|title }}>{{ m.content }}{% endfor %}"), messages) == .prompt("<System>a<User>b"))
        let knowing = "{% for m in messages %}{% if m.role == 'developer' %}<dev>{% else %}<{{ m.role }}>{% endif %}{{ m.content }}{% endfor %}"
        #expect(Outcome(Self.formats(knowing), messages) == .prompt("<dev>a<user>b"))
    }

    @Test func aTemplateWithoutSystemSaysSo() {
        let outcome = Outcome(Self.formats["gemma"]!, [["role": "developer", "content": "a"], ["role": "user", "content": "b"]])
        #expect(outcome == .error(.raised, "There is no place for a system text"))
    }

    // MARK: traces

    /// Ordinary conversations are never taken for dropped ones, whatever a template does to reasoning. Some templates have no
    /// place for a system, or for more than some turns.
    @Test(arguments: formats.keys) func ordinaryConversationsPass(_ name: String) throws {
        let ordinary: Set<String> = ["user", "system", "turns", "markup", "thinking", "reasoning", "long"]
        for conversation in TemplateFixtureTests.fixture["conversations"]?.array ?? [] where ordinary.contains(conversation["name"]!.string!) {
            let outcome = Outcome(Self.formats[name]!, conversation["messages"]!)
            guard case .error(let code, let text) = outcome else { continue }
            #expect(code == .raised || code == .dropped && (["olmo", "whitespace-heavy"].contains(name) && text.contains("'system'") || name == "set-blocks"), "\(conversation["name"]!): \(outcome)")
        }
    }

    /// Whatever the role, a message is in the prompt or the request is refused.
    @Test(arguments: formats.keys) func nothingVanishes(_ name: String) throws {
        for role in ["system", "user", "assistant", "tool", "function", "ipython", "narrator"] {
            for before in [[], [["role": "user", "content": "hello"]], [["role": "user", "content": "hello"], ["role": "assistant", "content": "hey"]]] as [[JSON]] {
                let outcome = Outcome(Self.formats[name]!, .array(before + [["role": .string(role), "content": "ok"], ["role": "user", "content": "go on"]]))
                guard case .prompt(let prompt) = outcome else { continue }
                #expect(prompt.lowercased().contains("ok"), "\(role): \(outcome)")
            }
        }
    }

    @Test func theRefusalNamesTheMessage() {
        let formats = Self.formats("{% for m in messages if m.role in ['user', 'assistant'] %}<{{ m.role }}>{{ m.content }}{% endfor %}")
        let outcome = Outcome(formats, [["role": "user", "content": "ok then"], ["role": "tool", "content": "ok"], ["role": "narrator", "content": "so"]])
        #expect(outcome == .error(.dropped, "'messages[1]' of role 'tool' would not be shown to the model: its chat template leaves it out."))
        // Nothing that is said is nothing that can be lost.
        #expect(Outcome(formats, [["role": "user", "content": "a"], ["role": "tool", "content": " \n"], ["role": "tool", "content": ""]]) == .prompt("<user>a"))
    }

    @Test(arguments: [
        // Reasoning is cut off, and may be all that there was.
        "{% for m in messages %}{{ m.role }}:{{ m.content.split('</think>')[-1] }};{% endfor %}",
        // Only reasoning is shown.
        "{% for m in messages %}{{ m.role }}:{{ m.reasoning_content if m.reasoning_content is defined else m.content }};{% endfor %}",
        // Words are changed.
        "{% for m in messages %}{{ m.role }}:{{ m.content | trim | upper | tojson }};{% endfor %}",
        // Words decide, and only their number is shown.
        "{% for m in messages %}{{ m.role }}:{% if 'think' in m.content %}yes{% else %}{{ m.content | length }}{% endif %};{% endfor %}",
        // Marks make it fail.
        "{% for m in messages %}{% if 'qz' in m.content %}{{ raise_exception('no') }}{% endif %}{{ m.role }}:{{ m.content }};{% endfor %}",
    ])
    func tracesOfManyKindsCount(_ source: String) {
        let turns: [JSON] = [["role": "user", "content": "hi"], ["role": "assistant", "content": "<think>hm</think>", "reasoning_content": "hm"]]
        let outcome = Outcome(Self.formats(source), .array(turns + [["role": "user", "content": "bye"]]))
        #expect(outcome.prompt != nil, "\(outcome)")
    }

    /// Renderings do not grow with the conversation: past the bound, a message's own words are looked for.
    @Test func hundredsOfTurnsAreLookedAtAtOnce() throws {
        let turns = (0..<600).map { JSON.object(["role": $0 % 2 == 0 ? "user" : "assistant", "content": .string("turn \($0)")]) }
        let failing = "{% for m in messages %}{% if 'qz' in m.content %}{{ raise_exception('no') }}{% endif %}{{ m.role }}:{{ m.content }};{% endfor %}"
        #expect(Outcome(Self.formats(failing), .array(turns)).prompt != nil)
        let forgetful = "{% for m in messages %}{% if 'qz' in m.content %}{{ raise_exception('no') }}{% endif %}{% if loop.index0 != 500 %}{{ m.content }};{% endif %}{% endfor %}"
        #expect(Outcome(Self.formats(forgetful), .array(turns)).isDropped)
        let last = "{% for m in messages[-20:] %}{{ m.content }};{% endfor %}"
        guard case .error(.dropped, let text) = Outcome(Self.formats(last), .array(turns)) else { Issue.record("accepted"); return }
        #expect(text.hasPrefix("'messages[0]' of role 'user'"))

        // What is counted, not what a clock says.
        let template = try ChatTemplate(source: "{% for m in messages %}{{ m.content }};{% endfor %}")
        var steps = Limits.templateSteps
        let prompt = try template.render(messages: .array(turns), addGenerationPrompt: false, extra: [:], now: TemplateFixtureTests.now, stepsLeft: &steps)
        let cost = Limits.templateSteps - steps
        var check = TraceCheck(template: template, messages: turns, addGenerationPrompt: false, variables: [:], now: TemplateFixtureTests.now, prompt: prompt)
        #expect(check.droppedMessage() == nil)
        #expect(check.stepsLeft >= Limits.templateCheckSteps - 2 * cost)
    }

    // MARK: tools

    /// Tools are in the prompt, or the request is refused.
    @Test(arguments: formats.keys) func toolsAreShownOrRefused(_ name: String) {
        let outcome = Outcome(Self.formats[name]!, [["role": "user", "content": "hello"]], tools: [Self.tool])
        switch outcome {
        case .prompt(let prompt): #expect(prompt.contains("look_up"))
        case .error(let code, let text):
            #expect(code == .dropped && text == "'tools' would not be shown to the model: its chat template leaves them out.")
            #expect(Outcome(Self.formats[name]!, [["role": "user", "content": "hello"]]).prompt != nil)
        }
    }

    @Test func lookingIsNotShowing() {
        let asking = "{% if tools is defined and tools is not none %}{% set t = tools|length %}{% endif %}{{ messages[0].content }}"
        #expect(Outcome(Self.formats(asking), [["role": "user", "content": "a"]], tools: [Self.tool]).isDropped)
        let first = "{{ tools[0]|tojson }}{{ messages[0].content }}"
        let other: JSON = ["type": "function", "function": ["name": "other"]]
        #expect(Outcome(Self.formats(first), [["role": "user", "content": "a"]], tools: [Self.tool]).prompt != nil)
        #expect(Outcome(Self.formats(first), [["role": "user", "content": "a"]], tools: [Self.tool, other])
            == .error(.dropped, "'tools[1]' would not be shown to the model: its chat template leaves them out."))
        // What the messages say may decide.
        let muted = "{% if '/plain' not in messages[0].content %}{{ tools|tojson }}{% endif %}{{ messages[0].content }}"
        #expect(Outcome(Self.formats(muted), [["role": "user", "content": "/plain a"]], tools: [Self.tool]).isDropped)
    }

    // MARK: several templates

    @Test func toolsGetTheirTemplate() {
        let formats = ChatFormats(["default": "plain {{ messages[0].content }}", "tool_use": "{{ tools|tojson }} {{ messages[0].content }}"], variables: [:])
        let messages: JSON = [["role": "user", "content": "a"]]
        #expect(Outcome(formats, messages) == .prompt("plain a"))
        #expect(Outcome(formats, messages, tools: [Self.tool]).prompt?.contains("look_up") == true)
        #expect(formats.warnings.isEmpty)
    }

    @Test func theOnlyTemplateNeedsNoName() {
        let formats = ChatFormats(["chat": "{{ messages[0].content }}"], variables: [:])
        #expect(Outcome(formats, [["role": "user", "content": "a"]]) == .prompt("a") && formats.warnings.isEmpty)
    }

    @Test func severalWithoutADefaultAreNamed() {
        let formats = ChatFormats(["tool_use": "{{ tools|tojson }}{{ messages[0].content }}", "rag": "{{ messages[0].content }}"], variables: [:])
        let messages: JSON = [["role": "user", "content": "a"]]
        let text = "This model has chat templates called 'tool_use', 'rag', but none called 'default' for conversations like this one."
        #expect(Outcome(formats, messages) == .error(.missing, text))
        #expect(formats.warnings == [text])
        #expect(Outcome(formats, messages, tools: [Self.tool]).prompt != nil)
        #expect(Outcome(ChatFormats([:], variables: [:]), messages) == .error(.missing, "This model has no chat template; use /v1/completions."))
    }

    @Test func aBrokenTemplateBreaksOnlyItsConversations() {
        let formats = ChatFormats(["default": "{{ messages[0].content }}", "tool_use": "{% if %}"], variables: [:])
        let messages: JSON = [["role": "user", "content": "a"]]
        #expect(Outcome(formats, messages) == .prompt("a"))
        guard case .error(.syntax, _) = Outcome(formats, messages, tools: [Self.tool]) else { Issue.record("accepted"); return }
        #expect(formats.warnings.count == 1 && formats.warnings[0].contains("'tool_use'"))
    }

    @Test func hostileTemplatesAreBoundedWhenLoaded() {
        let endless = "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}"
        #expect(Outcome(Self.formats(endless + "{{ messages[0].content }}"), [["role": "user", "content": "a"]]).prompt == nil)
    }
}
