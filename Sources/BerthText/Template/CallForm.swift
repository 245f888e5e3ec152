// How a template wants a turn that calls tools.

import BerthCore
import OrderedCollections

struct CallForm: Sendable, Equatable {
    /// The content of a turn without text is none, not empty: some templates look for calls only there.
    var emptyIsNone = false
    /// Arguments are JSON text, as OpenAI sends them, not the value.
    var argumentsAreText = false

    /// The usual one first.
    static let all = [
        CallForm(), CallForm(emptyIsNone: true), CallForm(argumentsAreText: true), CallForm(emptyIsNone: true, argumentsAreText: true),
    ]

    func fitted(_ message: OrderedDictionary<String, JSON>) -> OrderedDictionary<String, JSON> {
        var members = message
        if emptyIsNone, members["content"] == "" { members["content"] = .null }
        if argumentsAreText, let calls = members["tool_calls"]?.array { members["tool_calls"] = .array(calls.map(withTextArguments)) }
        return members
    }

    private func withTextArguments(_ call: JSON) -> JSON {
        guard case .object(var members) = call, case .object(var function)? = members["function"], let arguments = function["arguments"],
            arguments.object != nil
        else { return call }
        function["arguments"] = .string(arguments.text)
        members["function"] = .object(function)
        return .object(members)
    }
}
