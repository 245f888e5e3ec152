// Requests as they come in, through a checkpoint's own template: what is refused, and as what.

import BerthCore
import BerthHTTP
import BerthText
import Logging
import Testing

@testable import BerthServer

@Suite struct CheckpointTextTests {
    private static let demo = try! CheckpointText(Tokenizer(directory: RealDaemon.demo), logger: Logger(label: "text") { _ in SwiftLogNoOpLogHandler() })

    private func render(_ body: String) throws(APIError) -> String { try Self.demo.render(try ChatCall(body: Array(body.utf8)).input) }

    private func refusal(_ body: String) -> APIError? {
        do {
            _ = try render(body)
            return nil
        } catch { return error }
    }

    private func reason(_ formats: ChatFormats, _ messages: JSON) -> APIError? {
        do throws(TemplateError) {
            _ = try formats.prompt(messages: messages, addGenerationPrompt: true)
            return nil
        } catch { return APIError(error, hasTemplate: !formats.isEmpty) }
    }

    @Test func whatIsNotThereIsEmpty() throws {
        let wanted = try render(#"{"messages": [{"role": "user", "content": "1"}, {"role": "assistant", "content": ""}, {"role": "user", "content": "2"}]}"#)
        for assistant in [#"{"role": "assistant", "content": null}"#, #"{"role": "assistant"}"#, #"{"role": "assistant", "content": [], "tool_calls": null, "name": null}"#] {
            #expect(try render(#"{"messages": [{"role": "user", "content": "1"}, \#(assistant), {"role": "user", "content": "2"}]}"#) == wanted)
        }
    }

    @Test func whatTheTemplateLeavesOutIsRefused() {
        let tools = #""tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}]"#
        let asked = refusal(#"{"messages": [{"role": "user", "content": "1"}], \#(tools)}"#)
        #expect(asked?.status == .badRequest && asked?.parameter == "tools" && asked?.code == "left_out_by_template")
        #expect(refusal(#"{"messages": [{"role": "user", "content": "1"}], "tool_choice": "none", \#(tools)}"#) == nil)
        let forgetful = ChatFormats(["default": "{% for m in messages if m.role == 'user' %}{{ m.content }}{% endfor %}"], variables: [:])
        let left = reason(forgetful, [["role": "user", "content": "a"], ["role": "tool", "content": "b"]])
        #expect(left?.status == .badRequest && left?.parameter == "messages[1]" && left?.message.hasPrefix("'messages[1]' of role 'tool'") == true)
    }

    /// Only a model without any template takes completions instead, for those who would rather have those than nothing.
    @Test func whyThereIsNoPrompt() {
        func code(_ formats: ChatFormats) -> String? { reason(formats, [["role": "user", "content": "a"]])?.code }
        #expect(code(ChatFormats([:], variables: [:])) == "no_chat_template")
        #expect(code(ChatFormats(["a": "x", "b": "y"], variables: [:])) == "template_failed")
        #expect(code(ChatFormats(["default": "{% if %}"], variables: [:])) == "template_failed")
        #expect(code(ChatFormats(["default": "{{ raise_exception('no') }}"], variables: [:])) == "template_refused")
    }
}
