// Words put in place of what a client said, to see what a template does with it.
//
// A mark is one short word of letters and digits, so that it survives what templates do to text: trimming, splitting at tags,
// escaping, JSON, other cases of letters. It is numbered, so that one rendering tells about all messages at once.

import BerthCore
import OrderedCollections

enum Mark {
    private static let head = "qzmark"
    private static let tail = "zq"

    static func text(_ number: Int) -> String { "\(head)\(number)\(tail)" }

    /// The numbers of the marks in a rendering. Linear in its length.
    static func found(in rendering: String) -> Set<Int> {
        let text = Jinja.Text(bytes: rendering.utf8.map { $0 >= 65 && $0 <= 90 ? $0 | 0x20 : $0 })
        let head = Jinja.Text(head)
        let tail = Array(tail.utf8)
        var numbers: Set<Int> = []
        var at = 0
        while let hit = text.firstOffset(of: head, from: at) {
            let start = hit + head.bytes.count
            // Eight digits are more than there can be messages.
            let digits = text.bytes[start...].prefix(8).prefix { $0 >= 48 && $0 <= 57 }
            at = digits.endIndex
            guard text.bytes[at...].starts(with: tail), let number = Int(String(decoding: digits, as: UTF8.self)) else { continue }
            numbers.insert(number)
        }
        return numbers
    }

    /// Whether a message says anything: text that is not blank, or calls. Reasoning alone is nothing, for templates rightly
    /// forget that of earlier turns.
    static func saysAnything(_ message: JSON) -> Bool {
        if let content = message["content"]?.string, !isBlank(content) { return true }
        return message["tool_calls"]?.array?.isEmpty == false || message["function_call"]?.object != nil
    }

    /// The message with the mark for each of its texts and for the names in its calls. Whatever of them a template shows is a
    /// trace of the message: some show reasoning alone, some no text beside a call.
    static func message(_ message: JSON, _ number: Int) -> JSON {
        guard case .object(var members) = message else { return message }
        let mark = JSON.string(text(number))
        for name in ["content"] + ChatTemplate.reasoningNames {
            if let text = members[name]?.string, !isBlank(text) { members[name] = mark }
        }
        if let calls = members["tool_calls"]?.array { members["tool_calls"] = .array(calls.map { named($0, mark) }) }
        if let call = members["function_call"] { members["function_call"] = named(call, mark) }
        return .object(members)
    }

    /// The tool with the mark for its name and its description.
    static func tool(_ tool: JSON, _ number: Int) -> JSON { named(tool, .string(text(number)), "name", "description") }

    /// A function, or an object that holds one, under another name.
    private static func named(_ value: JSON, _ mark: JSON, _ keys: String...) -> JSON {
        guard case .object(var members) = value else { return value }
        if case .object(var function)? = members["function"] {
            for key in keys where function[key] != nil { function[key] = mark }
            function["name"] = mark
            members["function"] = .object(function)
        } else {
            for key in keys where members[key] != nil { members[key] = mark }
            members["name"] = mark
        }
        return .object(members)
    }

    static func isBlank(_ text: String) -> Bool { text.unicodeScalars.allSatisfy(\.properties.isWhitespace) }
}
