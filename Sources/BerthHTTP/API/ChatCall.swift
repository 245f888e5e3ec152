// The body of `POST /v1/chat/completions`.

import BerthCore
import OrderedCollections

/// A conversation as a chat template wants it. Also the messages form of `POST /tokenize`.
public struct ChatInput: Sendable, Equatable {
    /// Objects with at least a role and a content, which is a string. No member is null.
    public var messages: JSON
    public var addsGenerationPrompt: Bool
    /// Further variables of the template: `tools` and the members of `chat_template_kwargs`.
    public var variables: [String: JSON]
}

public struct ChatCall: Sendable, Equatable {
    public var input: ChatInput
    public var sampling: SamplingFields
    public var delivery: DeliveryFields
    /// Nil: as many as the context has room for.
    public var maxTokens: TokenLimit?
    /// Alternatives to report with every token; nil reports no log-probabilities.
    public var logprobs: Int?

    /// - Throws: 400, naming the field at fault.
    public init(body: [UInt8]) throws(APIError) {
        let reader = try FieldReader(body: body)
        delivery = try reader.delivery()
        sampling = try reader.sampling()
        input = try reader.chatInput()
        // The newer name wins where both are given.
        let older = try reader.tokenLimit("max_tokens")
        maxTokens = try reader.tokenLimit("max_completion_tokens") ?? older
        let top = try reader.int("top_logprobs", in: 0...Limits.topLogprobs)
        if try reader.bool("logprobs") ?? false {
            logprobs = top ?? 0
        } else if let top, top > 0 {
            throw .invalid("top_logprobs", "is only allowed with 'logprobs': true.")
        }
        if let best = try reader.int("best_of", in: 1...Limits.choicesPerRequest), best != delivery.n {
            throw .invalid("best_of", "is not supported unless it equals 'n'.", code: "unsupported_parameter")
        }
        if let choice = reader.value("tool_choice"), choice != "none", choice != "auto" {
            throw .invalid("tool_choice", "can only be \"none\" or \"auto\": the output is not constrained.", code: "unsupported_parameter")
        }
    }
}

extension FieldReader {
    func chatInput() throws(APIError) -> ChatInput {
        let given = try required("messages")
        guard let elements = given.array else { throw .wrongType("messages", "an array", given) }
        guard !elements.isEmpty else { throw .invalid("messages", "must not be empty.") }
        var messages: [JSON] = []
        messages.reserveCapacity(elements.count)
        for (index, element) in elements.enumerated() { messages.append(try Self.message(element, "messages[\(index)]")) }

        if value("chat_template") != nil { throw .invalid("chat_template", "of a client is not run; the checkpoint's own is.", code: "unsupported_parameter") }
        if try bool("continue_final_message") ?? false { throw .invalid("continue_final_message", "is not supported.", code: "unsupported_parameter") }
        var variables: [String: JSON] = [:]
        for (name, value) in try object("chat_template_kwargs") ?? [:] where name != "messages" && name != "add_generation_prompt" { variables[name] = value }
        if let tools = try array("tools"), !tools.isEmpty, value("tool_choice") != "none" {
            for tool in tools where tool.object == nil { throw .wrongType("tools", "an array of objects", tool) }
            variables["tools"] = .array(tools)
        }
        return ChatInput(messages: .array(messages), addsGenerationPrompt: try bool("add_generation_prompt") ?? true, variables: variables)
    }

    /// A message with its content as one string. Other members (name, tool calls, …) stay as they are, for the template, but
    /// null is the same as absent here, too: templates ask whether a member is there, and would write "None".
    private static func message(_ value: JSON, _ name: String) throws(APIError) -> JSON {
        guard var members = value.object else { throw .wrongType(name, "an object", value) }
        members.removeAll { $0.value.isNull }
        guard let role = members["role"] else { throw .invalid("\(name).role", "is required.") }
        guard let roleName = role.string, !roleName.isEmpty else { throw .wrongType("\(name).role", "a non-empty string", role) }
        switch members["content"] {
        case .string: break
        case nil: members["content"] = ""
        case .array(let parts): members["content"] = .string(try text(of: parts, "\(name).content"))
        case .some(let other): throw .wrongType("\(name).content", "a string or an array of text parts", other)
        }
        if let value = members["tool_calls"] {
            guard let calls = value.array else { throw .wrongType("\(name).tool_calls", "an array", value) }
            // No calls are the same as none: templates that know of them count.
            members["tool_calls"] = calls.isEmpty ? nil : .array(try calls.map { (call) throws(APIError) in try Self.call(call, "\(name).tool_calls") })
        }
        return .object(members)
    }

    /// Text parts joined by line feeds, as other servers do for templates that take strings.
    private static func text(of parts: [JSON], _ name: String) throws(APIError) -> String {
        var texts: [String] = []
        for part in parts {
            if let text = part.string {
                texts.append(text)
                continue
            }
            guard part.object != nil else { throw .wrongType(name, "a string or an array of text parts", part) }
            guard part["type"] == "text" || part["type"] == nil && part["text"] != nil else {
                throw .invalid(name, "has a part of type \((part["type"] ?? nil).text.shortened); only text is supported.", code: "unsupported_parameter")
            }
            guard let text = part["text"]?.string else { throw .wrongType("\(name).text", "a string", part["text"] ?? nil) }
            texts.append(text)
        }
        return texts.joined(separator: "\n")
    }

    /// OpenAI sends a tool call's arguments as JSON text; templates expect the value. Without any text there are none.
    private static func call(_ call: JSON, _ name: String) throws(APIError) -> JSON {
        guard var members = call.object else { throw .wrongType(name, "an array of objects", call) }
        members.removeAll { $0.value.isNull }
        guard case .object(var function)? = members["function"] else { return .object(members) }
        let arguments = function["arguments"] ?? .null
        if arguments.isNull || arguments == "" {
            function["arguments"] = [:]
        } else if let text = arguments.string, let parsed = try? JSON(parsing: text), parsed.object != nil {
            function["arguments"] = parsed
        }
        members["function"] = .object(function)
        return .object(members)
    }
}
