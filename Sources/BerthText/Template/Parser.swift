// From tokens to statements: the block half of Jinja's grammar, by recursive descent.
//
// Extensions are those of transformers: `generation` blocks, `break` and `continue`. What would need a loader (include,
// import, extends) is refused here, because a chat template stands alone. Nesting is bounded by `Limits.templateDepth`.
// ExpressionParser.swift has the other half.

import BerthCore

extension Jinja {
    /// A compiled template.
    struct Program: Sendable {
        let body: [Statement]
        /// The names of variables; a `Name` is an index into it.
        let names: [String]
    }

    struct Parser {
        /// A macro or call block whose body is being read.
        struct OpenMacro {
            let parameters: Set<String>
            var uses = MacroDefinition.Uses()
            var namesCaller = false
        }

        var tokens: [Token]
        var at = 0
        var depth = 0
        var names: [String] = []
        var nameIndex: [String: Name] = [:]
        var openMacros: [OpenMacro] = []
        /// Loops around the statement being read, within the innermost macro.
        var loopDepth = 0
        /// Unknown filters and tests in a branch that is still open: an error only if reached while rendering.
        var unknown: [TemplateError] = []
        /// The first unknown filter or test that no branch excuses.
        var failure: TemplateError?

        static func parse(_ source: String) throws(TemplateError) -> Program {
            var parser = Parser(tokens: try Lexer.tokens(of: source))
            let body = try parser.statements(until: [], of: nil)
            parser.harden(from: 0)
            if let failure = parser.failure { throw failure }
            return Program(body: body, names: parser.names)
        }

        // MARK: tokens

        var token: Token { tokens[at] }

        mutating func advance() { if at + 1 < tokens.count { at += 1 } }

        func isName(_ name: String, ahead: Int = 0) -> Bool {
            at + ahead < tokens.count && tokens[at + ahead].kind == .name(name)
        }

        func isSymbol(_ symbol: Symbol, ahead: Int = 0) -> Bool {
            at + ahead < tokens.count && tokens[at + ahead].kind == .symbol(symbol)
        }

        mutating func skip(name: String) -> Bool {
            guard isName(name) else { return false }
            advance()
            return true
        }

        mutating func skip(_ symbol: Symbol) -> Bool {
            guard isSymbol(symbol) else { return false }
            advance()
            return true
        }

        mutating func expect(_ symbol: Symbol) throws(TemplateError) {
            guard skip(symbol) else { throw unexpected("'\(symbol.rawValue)'") }
        }

        mutating func expect(name: String) throws(TemplateError) {
            guard skip(name: name) else { throw unexpected("'\(name)'") }
        }

        mutating func expect(_ kind: Token.Kind, _ description: String) throws(TemplateError) {
            guard token.kind == kind else { throw unexpected(description) }
            advance()
        }

        mutating func expectAnyName() throws(TemplateError) -> String {
            guard case .name(let name) = token.kind else { throw unexpected("a name") }
            advance()
            return name
        }

        func unexpected(_ wanted: String) -> TemplateError {
            .syntax("expected \(wanted), found \(description(of: token.kind))", at: token.position)
        }

        func description(of kind: Token.Kind) -> String {
            switch kind {
            case .data: "text"
            case .blockBegin: "'{%'"
            case .blockEnd: "'%}'"
            case .variableBegin: "'{{'"
            case .variableEnd: "'}}'"
            case .name(let name): "'\(name)'"
            case .string: "a string"
            case .integer(let value): "\(value)"
            case .float(let value): "\(value)"
            case .symbol(let symbol): "'\(symbol.rawValue)'"
            case .end: "the end of the template"
            }
        }

        // MARK: names and nesting

        mutating func symbol(for name: String) -> Name {
            if let known = nameIndex[name] { return known }
            names.append(name)
            nameIndex[name] = names.count - 1
            return names.count - 1
        }

        /// Notes that a variable is read: a macro is handed `caller`, `varargs` and `kwargs` only if its body names them.
        mutating func load(_ name: String) -> Name {
            let symbol = symbol(for: name)
            if name == "caller" { for index in openMacros.indices { openMacros[index].namesCaller = true } }
            for index in openMacros.indices where !openMacros[index].parameters.contains(name) {
                switch name {
                case "caller": openMacros[index].uses.caller = symbol
                case "varargs": openMacros[index].uses.varargs = symbol
                case "kwargs": openMacros[index].uses.kwargs = symbol
                default: break
                }
            }
            return symbol
        }

        mutating func enter() throws(TemplateError) {
            depth += 1
            guard depth <= Limits.templateDepth else {
                throw .syntax("nested deeper than \(Limits.templateDepth) levels", at: token.position)
            }
        }

        /// Unknown names noted since `mark` are errors: what surrounds them is always compiled.
        mutating func harden(from mark: Int) {
            if failure == nil, mark < unknown.count { failure = unknown[mark] }
            unknown.removeSubrange(mark...)
        }

        // MARK: statements

        /// Statements up to a tag that begins with one of `ends`, which is left as the current token. `tag` is what the
        /// ends close, with its place; nil at the top.
        mutating func statements(until ends: [String], of tag: (name: String, position: Position)?) throws(TemplateError) -> [Statement] {
            try enter()
            defer { depth -= 1 }
            var result: [Statement] = []
            while true {
                let position = token.position
                switch token.kind {
                case .data(let text):
                    advance()
                    result.append(Statement(operation: .text(text), position: position))
                case .variableBegin:
                    advance()
                    result.append(Statement(operation: .print(try tuple()), position: position))
                    try expect(.variableEnd, "'}}'")
                case .blockBegin:
                    advance()
                    if case .name(let name) = token.kind, ends.contains(name) { return result }
                    result += try statement(within: tag?.name)
                    try expect(.blockEnd, "'%}'")
                case .end:
                    guard let tag else { return result }
                    throw .syntax("'\(tag.name)' is never closed", at: tag.position)
                default:
                    throw unexpected("text or a tag")
                }
            }
        }

        /// The body of a tag whose opening part has been read up to its `%}`.
        mutating func body(until ends: [String], of name: String, from position: Position) throws(TemplateError) -> [Statement] {
            _ = skip(.colon)
            try expect(.blockEnd, "'%}'")
            return try statements(until: ends, of: (name, position))
        }

        /// A body with one possible end, which is read too; its frame is one in which unknown filters are errors at once.
        mutating func closedBody(_ end: String, of name: String, from position: Position) throws(TemplateError) -> [Statement] {
            let result = try body(until: [end], of: name, from: position)
            advance()
            return result
        }

        private mutating func statement(within outer: String?) throws(TemplateError) -> [Statement] {
            let position = token.position
            let name = try expectAnyName()
            func one(_ operation: Statement.Operation) -> [Statement] { [Statement(operation: operation, position: position)] }
            switch name {
            case "if": return one(try branch(from: position))
            case "for": return one(.loop(try loop(from: position)))
            case "set": return one(try assignment(from: position))
            case "macro": return one(try macro(from: position))
            case "call": return one(try callBlock(from: position))
            case "with": return one(try with(from: position))
            case "print":
                var result: [Statement] = []
                while token.kind != .blockEnd {
                    if !result.isEmpty { try expect(.comma) }
                    result += one(.print(try expression()))
                }
                return result
            case "filter":
                let mark = unknown.count
                let filters = try filters(startsInline: true)
                let body = try closedBody("endfilter", of: name, from: position)
                harden(from: mark)
                return one(.filter(filters, body: body))
            case "generation":
                return one(.generation(try macroBody(nil, parameters: [], end: "endgeneration", of: name, from: position)))
            case "autoescape":
                guard case .bool(false) = try expression() else {
                    throw .syntax("automatic escaping is not available in chat templates", at: position)
                }
                return one(.scope(try closedBody("endautoescape", of: name, from: position)))
            case "block": return one(try block(from: position))
            case "break", "continue":
                guard loopDepth > 0 else { throw .syntax("'\(name)' outside a loop", at: position) }
                return one(name == "break" ? .leave : .proceed)
            case "include", "import", "from", "extends":
                throw .syntax("'\(name)' needs other templates, and a chat template stands alone", at: position)
            default:
                let hint = outer.map { " inside '\($0)'" } ?? ""
                throw .syntax("unknown tag '\(name)'\(hint)", at: position)
            }
        }

        private mutating func branch(from position: Position) throws(TemplateError) -> Statement.Operation {
            let mark = unknown.count
            var branches: [(test: Expression, body: [Statement])] = []
            var otherwise: [Statement] = []
            while true {
                let test = try tuple(allowsConditional: false)
                branches.append((test, try body(until: ["elif", "else", "endif"], of: "if", from: position)))
                if skip(name: "elif") { continue }
                if skip(name: "else") { otherwise = try body(until: ["endif"], of: "if", from: position) }
                try expect(name: "endif")
                break
            }
            unknown.removeSubrange(mark...)
            return .branch(branches, otherwise: otherwise)
        }

        private mutating func loop(from position: Position) throws(TemplateError) -> ForLoop {
            loopDepth += 1
            let target = try target()
            loopDepth -= 1
            try expect(name: "in")
            let sequence = try tuple(allowsConditional: false)
            let mark = unknown.count
            let test = skip(name: "if") ? try expression() : nil
            let isRecursive = skip(name: "recursive")
            loopDepth += 1
            let loopBody = try body(until: ["endfor", "else"], of: "for", from: position)
            loopDepth -= 1
            var otherwise: [Statement] = []
            if skip(name: "else") {
                // The whole of a recursive loop is a function, so nothing in it can leave a loop around it.
                let loops = loopDepth
                if isRecursive { loopDepth = 0 }
                otherwise = try body(until: ["endfor"], of: "for", from: position)
                loopDepth = loops
            }
            try expect(name: "endfor")
            harden(from: mark)
            return ForLoop(
                target: target, sequence: sequence, test: test, isRecursive: isRecursive, body: loopBody, otherwise: otherwise,
                loopName: symbol(for: "loop"))
        }

        private mutating func assignment(from position: Position) throws(TemplateError) -> Statement.Operation {
            let target = try target(allowsAttributes: true)
            if skip(.assign) { return .assign(target, try tuple()) }
            let mark = unknown.count
            let filters = try filters(startsInline: false)
            let body = try closedBody("endset", of: "set", from: position)
            harden(from: mark)
            return .capture(target, filters: filters, body: body)
        }

        private mutating func with(from position: Position) throws(TemplateError) -> Statement.Operation {
            var bindings: [(target: Target, value: Expression)] = []
            while token.kind != .blockEnd {
                if !bindings.isEmpty { try expect(.comma) }
                let target = try target()
                try expect(.assign)
                bindings.append((target, try expression()))
            }
            let mark = unknown.count
            let body = try closedBody("endwith", of: "with", from: position)
            harden(from: mark)
            return .with(bindings, body: body)
        }

        private mutating func block(from position: Position) throws(TemplateError) -> Statement.Operation {
            let name = try expectAnyName()
            _ = skip(name: "scoped")
            _ = skip(name: "required")
            let mark = unknown.count
            let loops = loopDepth
            loopDepth = 0
            let body = try closedBody("endblock", of: "block", from: position)
            loopDepth = loops
            harden(from: mark)
            _ = skip(name: name)
            return .block(body)
        }

        private mutating func macro(from position: Position) throws(TemplateError) -> Statement.Operation {
            let name = try expectAnyName()
            let mark = unknown.count
            let parameters = try signature()
            let definition = try macroBody(name, parameters: parameters, end: "endmacro", of: "macro", from: position)
            harden(from: mark)
            return .macro(symbol(for: name), definition)
        }

        private mutating func callBlock(from position: Position) throws(TemplateError) -> Statement.Operation {
            let parameters = isSymbol(.leftParen) ? try signature() : []
            guard case .chain(let base, var steps) = try expression(), case .call(let arguments)? = steps.last?.operation else {
                throw .syntax("a call block needs a call", at: position)
            }
            steps.removeLast()
            let callee = steps.isEmpty ? base : .chain(base, steps)
            return .call(callee, arguments, try macroBody(nil, parameters: parameters, end: "endcall", of: "call", from: position))
        }

        private mutating func signature() throws(TemplateError) -> [MacroDefinition.Parameter] {
            try expect(.leftParen)
            var parameters: [MacroDefinition.Parameter] = []
            while !isSymbol(.rightParen) {
                if !parameters.isEmpty { try expect(.comma) }
                let position = token.position
                let name = try assignableName()
                let initial = skip(.assign) ? try expression() : nil
                guard initial != nil || parameters.last?.initial == nil else {
                    throw .syntax("parameter '\(name)' without a default follows one that has a default", at: position)
                }
                guard !parameters.contains(where: { $0.name == name }) else {
                    throw .syntax("parameter '\(name)' appears twice", at: position)
                }
                parameters.append(MacroDefinition.Parameter(name: name, symbol: symbol(for: name), initial: initial))
            }
            advance()
            return parameters
        }

        private mutating func macroBody(
            _ name: String?, parameters: [MacroDefinition.Parameter], end: String, of tag: String, from position: Position
        ) throws(TemplateError) -> MacroDefinition {
            openMacros.append(OpenMacro(parameters: Set(parameters.map(\.name))))
            let loops = loopDepth
            let mark = unknown.count
            loopDepth = 0
            let body = try closedBody(end, of: tag, from: position)
            loopDepth = loops
            harden(from: mark)
            let macro = openMacros.removeLast()
            if macro.namesCaller, parameters.contains(where: { $0.name == "caller" && $0.initial == nil }) {
                throw .syntax("a parameter 'caller' needs a default", at: position)
            }
            return MacroDefinition(name: name, parameters: parameters, uses: macro.uses, body: body)
        }
    }
}
