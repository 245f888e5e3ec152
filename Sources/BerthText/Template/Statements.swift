// Running a template's statements.
//
// Each function keeps its frame small and hands the rare cases to others: nested blocks and macros are nested calls here,
// and `Limits.templateCallDepth` of them must fit the stack of any thread.

import BerthCore

extension Jinja.Rendering {
    typealias Value = Jinja.Value
    typealias Statement = Jinja.Statement
    typealias Scope = Jinja.Scope
    typealias Flow = Jinja.Flow

    func execute(_ statements: [Statement]) throws(TemplateError) -> Flow {
        try enter()
        defer { leave() }
        for statement in statements {
            try charge()
            let flow = try execute(statement)
            if flow != .normal { return flow }
        }
        return .normal
    }

    private func execute(_ statement: Statement) throws(TemplateError) -> Flow {
        switch statement.operation {
        case .text(let text):
            try write(text)
            return .normal
        case .print(let expression):
            position = statement.position
            try print(expression)
            return .normal
        case .leave: return .leave
        case .proceed: return .proceed
        default:
            position = statement.position
            return try executeBlock(statement.operation)
        }
    }

    private func print(_ expression: Jinja.Expression) throws(TemplateError) {
        try write(try text(of: try evaluate(expression)))
    }

    private func executeBlock(_ operation: Statement.Operation) throws(TemplateError) -> Flow {
        switch operation {
        case .branch(let branches, let otherwise):
            for (test, body) in branches where try evaluate(test).isTrue { return try execute(body) }
            return otherwise.isEmpty ? .normal : try execute(otherwise)
        case .loop(let loop):
            let sequence = try evaluate(loop.sequence)
            return try run(loop, over: sequence, depth0: 0)
        case .assign(let target, let expression):
            try assign(target, try evaluate(expression))
            return .normal
        case .capture(let target, let filters, let body): return try capture(target, filters, body)
        case .filter(let filters, let body): return try filter(filters, body)
        case .with(let bindings, let body): return try with(bindings, body)
        case .macro(let name, let definition):
            noteCapture(of: scope)
            scope[name] = .object(Jinja.Macro(definition, scope: scope))
            return .normal
        case .call(let callee, let arguments, let body):
            try callBlock(callee, arguments, body)
            return .normal
        case .generation(let definition):
            noteCapture(of: scope)
            try write(try invoke(Jinja.Macro(definition, scope: scope), Jinja.Arguments()))
            return .normal
        case .block(let body): return try execute(body, in: Scope(parent: root))
        case .scope(let body): return try execute(body, in: Scope(parent: scope))
        case .text, .print, .leave, .proceed: return .normal
        }
    }

    func execute(_ body: [Statement], in inner: Scope) throws(TemplateError) -> Flow {
        let outer = scope
        scope = inner
        let flow = try execute(body)
        scope = outer
        return flow
    }

    private func capture(_ target: Jinja.Target, _ filters: [Jinja.FilterCall], _ body: [Statement]) throws(TemplateError) -> Flow {
        let inner = Scope(parent: scope)
        let (text, flow) = try capture { () throws(TemplateError) in try execute(body, in: inner) }
        guard flow == .normal else { return flow }
        try assign(target, try apply(filters, to: text, in: inner))
        return .normal
    }

    private func filter(_ filters: [Jinja.FilterCall], _ body: [Statement]) throws(TemplateError) -> Flow {
        let inner = Scope(parent: scope)
        let (text, flow) = try capture { () throws(TemplateError) in try execute(body, in: inner) }
        guard flow == .normal else { return flow }
        try write(try self.text(of: try apply(filters, to: text, in: inner)))
        return .normal
    }

    private func apply(_ filters: [Jinja.FilterCall], to text: Jinja.Text, in inner: Scope) throws(TemplateError) -> Value {
        let outer = scope
        scope = inner
        var value = Value.string(text)
        for filter in filters { value = try apply(filter, to: value) }
        scope = outer
        return value
    }

    private func with(_ bindings: [(target: Jinja.Target, value: Jinja.Expression)], _ body: [Statement]) throws(TemplateError) -> Flow {
        let inner = Scope(parent: scope)
        for (target, expression) in bindings {
            let value = try evaluate(expression)
            let outer = scope
            scope = inner
            try assign(target, value)
            scope = outer
        }
        return try execute(body, in: inner)
    }

    private func callBlock(_ callee: Jinja.Expression, _ list: Jinja.ArgumentList, _ body: Jinja.MacroDefinition) throws(TemplateError) {
        noteCapture(of: scope)
        let caller = Jinja.Macro(body, scope: scope)
        let function = try evaluate(callee)
        var arguments = try evaluate(list)
        guard arguments.keyword("caller") == nil else { throw .evaluation("a call block cannot pass 'caller' itself") }
        arguments.keywords.append(("caller", .object(caller)))
        try write(try text(of: try call(function, arguments)))
    }

    // MARK: loops

    /// The output of a recursive loop over other items.
    func rerun(_ loop: Jinja.ForLoop, over sequence: Value, in outer: Scope, depth0: Int) throws(TemplateError) -> Jinja.Text {
        try enter()
        defer { leave() }
        let caller = scope
        scope = outer
        let result = try capture { () throws(TemplateError) in try run(loop, over: sequence, depth0: depth0) }
        scope = caller
        return result.text
    }

    private func run(_ loop: Jinja.ForLoop, over sequence: Value, depth0: Int) throws(TemplateError) -> Flow {
        var iterator = try iterator(over: sequence)
        try charge((sequence.text?.bytes.count ?? 0) >> 8)
        var length = sequence.length
        if let test = loop.test {
            let outer = scope
            length = nil
            iterator = try Jinja.TransformingIterator(over: .iterator(iterator)) { (rendering, item) throws(TemplateError) -> Value? in
                let caller = rendering.scope
                rendering.scope = Scope(parent: outer)
                try rendering.assign(loop.target, item)
                let passes = try rendering.evaluate(test).isTrue
                rendering.scope = caller
                return passes ? item : nil
            }
        }
        let recursion = loop.isRecursive ? (loop, scope) : nil
        let context = try Jinja.LoopContext(iterator, length: length, depth0: depth0, recursion: recursion, self)
        let outer = scope
        var ranThrough = false
        var inner = Scope(parent: outer)
        while let item = try context.advance() {
            try charge()
            // A round has variables of its own, in the scope of the last one unless a macro keeps that.
            if isKnownUniquelyReferenced(&inner) { inner.removeAll() } else { inner = Scope(parent: outer) }
            scope = inner
            scope[loop.loopName] = .object(context)
            try assign(loop.target, item)
            let flow = try execute(loop.body)
            scope = outer
            if flow == .leave { break }
            // A round cut short by `continue` does not count: that is how Jinja decides about `else`.
            if flow == .normal { ranThrough = true }
        }
        if !ranThrough, !loop.otherwise.isEmpty { return try execute(loop.otherwise, in: Scope(parent: outer)) }
        return .normal
    }

    // MARK: assignment

    func assign(_ target: Jinja.Target, _ value: Value) throws(TemplateError) {
        switch target {
        case .name(let name): scope[name] = value
        case .attribute(let name, let attribute):
            guard case .object(let object) = self.value(of: name), let namespace = object as? Jinja.Namespace else {
                throw .evaluation("cannot assign attribute '\(attribute.name)' on an object that is no namespace")
            }
            try namespace.assign(attribute.text, value)
        case .tuple(let targets): try unpack(value, into: targets)
        }
    }

    private func unpack(_ value: Value, into targets: [Jinja.Target]) throws(TemplateError) {
        switch value {
        case .none, .bool, .int, .float, .object: throw .evaluation("cannot unpack non-iterable \(value.typeName) object")
        default: break
        }
        let iterator = try iterator(over: value)
        var values: [Value] = []
        while values.count <= targets.count, let next = try iterator.next(self) { values.append(next) }
        guard values.count <= targets.count else { throw .evaluation("too many values to unpack (expected \(targets.count))") }
        guard values.count == targets.count else {
            throw .evaluation("not enough values to unpack (expected \(targets.count), got \(values.count))")
        }
        for (target, value) in zip(targets, values) { try assign(target, value) }
    }
}
