// Macros: functions written in the template, which return what they print.

extension Jinja {
    final class Macro: Object {
        let definition: MacroDefinition
        /// Where the macro was defined: its free variables are looked up there when it runs.
        let scope: Scope

        init(_ definition: MacroDefinition, scope: Scope) {
            self.definition = definition
            self.scope = scope
        }

        override var typeName: String { "Macro" }
        override var isCallable: Bool { true }
        override var representation: String { "<Macro \(definition.name.map { "'\($0)'" } ?? "anonymous")>" }

        override func attribute(_ name: Attribute) throws(TemplateError) -> Value? {
            switch name.name {
            case "name": definition.name.map { Value.string($0) } ?? Value.none
            case "arguments": .tuple(try Elements(definition.parameters.map { Value.string($0.name) }))
            case "caller": .bool(definition.uses.caller != nil)
            case "catch_kwargs": .bool(definition.uses.kwargs != nil)
            case "catch_varargs": .bool(definition.uses.varargs != nil)
            default: nil
            }
        }

        override func call(_ arguments: Arguments, _ rendering: Rendering) throws(TemplateError) -> Value {
            .string(try rendering.invoke(self, arguments))
        }
    }
}

extension Jinja.Rendering {
    /// Runs a macro. Throws: evaluation, where the arguments do not fit it.
    func invoke(_ macro: Jinja.Macro, _ arguments: Jinja.Arguments) throws(TemplateError) -> Jinja.Text {
        try charge()
        let inner = Jinja.Scope(parent: macro.scope)
        let outer = scope
        let caller = position
        try bind(macro.definition, arguments, in: inner)
        scope = inner
        try bindInitials(macro.definition, arguments, in: inner)
        let text = try capture { () throws(TemplateError) in try execute(macro.definition.body) }.text
        scope = outer
        position = caller
        return text
    }

    private func bind(_ definition: Jinja.MacroDefinition, _ arguments: Jinja.Arguments, in inner: Jinja.Scope) throws(TemplateError) {
        let name = definition.name.map { "'\($0)'" } ?? "None"
        let parameters = definition.parameters
        var arguments = arguments
        for (parameter, value) in zip(parameters, arguments.positional) { inner[parameter.symbol] = value }
        for parameter in parameters.dropFirst(arguments.positional.count) {
            inner[parameter.symbol] =
                arguments.removeKeyword(parameter.name) ?? .undefined("parameter '\(parameter.name)' was not provided")
        }
        if let symbol = definition.uses.caller {
            inner[symbol] = arguments.removeKeyword("caller") ?? .undefined("No caller defined")
        }
        if let symbol = definition.uses.kwargs {
            var members = Jinja.Dictionary()
            for (name, value) in arguments.keywords { members[.string(name)] = value }
            inner[symbol] = .dictionary(try Jinja.Members(members))
        } else if let surplus = arguments.keywords.first {
            throw .evaluation(
                surplus.name == "caller"
                    ? "macro \(name) is called with a block but makes no use of 'caller'"
                    : "macro \(name) takes no keyword argument '\(surplus.name)'")
        }
        let rest = Array(arguments.positional.dropFirst(parameters.count))
        if let symbol = definition.uses.varargs {
            inner[symbol] = try tuple(rest)
        } else if !rest.isEmpty {
            throw .evaluation("macro \(name) takes not more than \(parameters.count) argument(s)")
        }
    }

    /// Evaluates the defaults of parameters that were not given, in order: later ones may use earlier ones.
    private func bindInitials(_ definition: Jinja.MacroDefinition, _ arguments: Jinja.Arguments, in inner: Jinja.Scope) throws(TemplateError) {
        for parameter in definition.parameters.dropFirst(arguments.positional.count) {
            guard let initial = parameter.initial, arguments.keyword(parameter.name) == nil else { continue }
            inner[parameter.symbol] = try evaluate(initial)
        }
    }
}
