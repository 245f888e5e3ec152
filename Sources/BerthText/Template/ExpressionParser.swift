// The expression half of Jinja's grammar: one function per level of precedence, loosest first.
//
// conditional < or < and < not < comparison < + - < ~ < * / // % < ** < unary < attribute, item, call < filter, test.
// The order of `~` and `+`, and `-x|f` filtering the negated value, are Jinja's.

extension Jinja.Parser {
    typealias Expression = Jinja.Expression
    typealias Step = Jinja.Step
    typealias Target = Jinja.Target

    mutating func expression(allowsConditional: Bool = true) throws(TemplateError) -> Expression {
        try enter()
        defer { depth -= 1 }
        return allowsConditional ? try conditional() : try disjunction()
    }

    private mutating func conditional() throws(TemplateError) -> Expression {
        let mark = unknown.count
        var result = try disjunction()
        while skip(name: "if") {
            let test = try disjunction()
            var otherwise: Expression?
            if skip(name: "else") {
                try enter()
                defer { depth -= 1 }
                otherwise = try conditional()
            }
            result = .conditional(then: result, test: test, otherwise: otherwise)
            unknown.removeSubrange(mark...)
        }
        return result
    }

    private mutating func disjunction() throws(TemplateError) -> Expression {
        var operands = [try conjunction()]
        while skip(name: "or") { operands.append(try conjunction()) }
        return operands.count == 1 ? operands[0] : .or(operands)
    }

    private mutating func conjunction() throws(TemplateError) -> Expression {
        var operands = [try negation()]
        while skip(name: "and") { operands.append(try negation()) }
        return operands.count == 1 ? operands[0] : .and(operands)
    }

    private mutating func negation() throws(TemplateError) -> Expression {
        guard skip(name: "not") else { return try comparison() }
        try enter()
        defer { depth -= 1 }
        return .not(try negation())
    }

    private mutating func comparison() throws(TemplateError) -> Expression {
        let first = try sum()
        var steps: [Jinja.ComparisonStep] = []
        while true {
            let operation: Jinja.ComparisonOperator
            if case .symbol(let symbol) = token.kind, let comparison = Jinja.ComparisonOperator(rawValue: symbol.rawValue) {
                operation = comparison
                advance()
            } else if skip(name: "in") {
                operation = .contained
            } else if isName("not"), isName("in", ahead: 1) {
                operation = .notContained
                advance()
                advance()
            } else {
                return steps.isEmpty ? first : .comparison(first, steps)
            }
            steps.append(Jinja.ComparisonStep(operation: operation, operand: try sum()))
        }
    }

    /// Operands of one precedence, read by `operand` and joined by any of `operators`.
    private mutating func chain(
        of operators: [Jinja.Symbol], _ operand: (inout Self) throws(TemplateError) -> Expression
    ) throws(TemplateError) -> Expression {
        let first = try operand(&self)
        var steps: [Jinja.ArithmeticStep] = []
        while case .symbol(let symbol) = token.kind, operators.contains(symbol) {
            advance()
            let operation = Jinja.ArithmeticOperator(rawValue: symbol.rawValue)!
            steps.append(Jinja.ArithmeticStep(operation: operation, operand: try operand(&self)))
        }
        return steps.isEmpty ? first : .arithmetic(first, steps)
    }

    private mutating func sum() throws(TemplateError) -> Expression {
        try chain(of: [.add, .subtract]) { (parser: inout Self) throws(TemplateError) in try parser.concatenation() }
    }

    private mutating func concatenation() throws(TemplateError) -> Expression {
        var operands = [try product()]
        while skip(.tilde) { operands.append(try product()) }
        return operands.count == 1 ? operands[0] : .concatenation(operands)
    }

    private mutating func product() throws(TemplateError) -> Expression {
        try chain(of: [.multiply, .divide, .floorDivide, .modulo]) { (parser: inout Self) throws(TemplateError) in try parser.power() }
    }

    private mutating func power() throws(TemplateError) -> Expression {
        try chain(of: [.power]) { (parser: inout Self) throws(TemplateError) in try parser.unary(allowsFilters: true) }
    }

    private mutating func unary(allowsFilters: Bool) throws(TemplateError) -> Expression {
        var result: Expression
        if isSymbol(.subtract) || isSymbol(.add) {
            let isNegative = isSymbol(.subtract)
            advance()
            try enter()
            defer { depth -= 1 }
            let operand = try unary(allowsFilters: false)
            result = isNegative ? .negative(operand) : .positive(operand)
        } else {
            result = try primary()
        }
        var steps: [Step] = []
        try suffixes(&steps)
        if allowsFilters { try filtersAndTests(&steps) }
        if !steps.isEmpty { result = .chain(result, steps) }
        return result
    }

    private mutating func primary() throws(TemplateError) -> Expression {
        let position = token.position
        switch token.kind {
        case .name(let name):
            advance()
            switch name {
            case "true", "True": return .bool(true)
            case "false", "False": return .bool(false)
            case "none", "None": return .none
            default: return .name(load(name))
            }
        case .string(var text):
            advance()
            while case .string(let more) = token.kind {
                text.append(more)
                advance()
            }
            return .string(text)
        case .integer(let value):
            advance()
            return .integer(value)
        case .float(let value):
            advance()
            return .float(value)
        case .symbol(.leftParen):
            advance()
            let result = try tuple(allowsEmpty: true)
            try expect(.rightParen)
            return result
        case .symbol(.leftBracket): return .list(try list())
        case .symbol(.leftBrace): return .dictionary(try dictionary())
        default: throw .syntax("expected an expression, found \(description(of: token.kind))", at: position)
        }
    }

    /// An expression, or several with commas between them.
    mutating func tuple(allowsConditional: Bool = true, allowsEmpty: Bool = false) throws(TemplateError) -> Expression {
        var elements: [Expression] = []
        var isTuple = false
        while true {
            if !elements.isEmpty { try expect(.comma) }
            if isTupleEnd { break }
            elements.append(try expression(allowsConditional: allowsConditional))
            guard isSymbol(.comma) else { break }
            isTuple = true
        }
        if !isTuple {
            if let only = elements.first { return only }
            guard allowsEmpty else { throw unexpected("an expression") }
        }
        return .tuple(elements)
    }

    private var isTupleEnd: Bool {
        switch token.kind {
        case .variableEnd, .blockEnd, .symbol(.rightParen): true
        default: false
        }
    }

    private mutating func list() throws(TemplateError) -> [Expression] {
        try expect(.leftBracket)
        var elements: [Expression] = []
        while !isSymbol(.rightBracket) {
            if !elements.isEmpty {
                try expect(.comma)
                if isSymbol(.rightBracket) { break }
            }
            elements.append(try expression())
        }
        advance()
        return elements
    }

    private mutating func dictionary() throws(TemplateError) -> [Jinja.Pair] {
        try expect(.leftBrace)
        var pairs: [Jinja.Pair] = []
        while !isSymbol(.rightBrace) {
            if !pairs.isEmpty {
                try expect(.comma)
                if isSymbol(.rightBrace) { break }
            }
            let key = try expression()
            try expect(.colon)
            pairs.append(Jinja.Pair(key: key, value: try expression()))
        }
        advance()
        return pairs
    }

    // MARK: behind an expression

    private mutating func suffixes(_ steps: inout [Step]) throws(TemplateError) {
        while true {
            let position = token.position
            if skip(.dot) {
                switch token.kind {
                case .name(let name): steps.append(Step(operation: .attribute(Jinja.Attribute(name)), position: position))
                case .integer(let index): steps.append(Step(operation: .item(.integer(index)), position: position))
                default: throw unexpected("a name or a number")
                }
                advance()
            } else if skip(.leftBracket) {
                steps.append(Step(operation: try subscripts(), position: position))
            } else if isSymbol(.leftParen) {
                steps.append(Step(operation: .call(try arguments()), position: position))
            } else {
                return
            }
        }
    }

    private mutating func subscripts() throws(TemplateError) -> Step.Operation {
        var operations: [Step.Operation] = []
        var keys: [Expression] = []
        while !isSymbol(.rightBracket) {
            if !operations.isEmpty { try expect(.comma) }
            let operation = try oneSubscript()
            operations.append(operation)
            if case .item(let key) = operation { keys.append(key) }
        }
        if operations.count == 1 {
            advance()
            return operations[0]
        }
        guard keys.count == operations.count else { throw unexpected("']' after a slice") }
        advance()
        return .item(.tuple(keys))
    }

    private mutating func oneSubscript() throws(TemplateError) -> Step.Operation {
        var start: Expression?
        if !isSymbol(.colon) {
            let key = try expression()
            guard isSymbol(.colon) else { return .item(key) }
            start = key
        }
        try expect(.colon)
        func isEnd() -> Bool { isSymbol(.colon) || isSymbol(.rightBracket) || isSymbol(.comma) }
        let stop = isEnd() ? nil : try expression()
        let step = skip(.colon) && !isEnd() ? try expression() : nil
        return .slice(start, stop, step)
    }

    private mutating func filtersAndTests(_ steps: inout [Step]) throws(TemplateError) {
        while true {
            let position = token.position
            if isSymbol(.pipe) {
                for filter in try filters(startsInline: false) {
                    steps.append(Step(operation: .filter(filter), position: filter.position))
                }
            } else if skip(name: "is") {
                steps.append(Step(operation: .test(try test()), position: position))
            } else if isSymbol(.leftParen) {
                steps.append(Step(operation: .call(try arguments()), position: position))
            } else {
                return
            }
        }
    }

    mutating func filters(startsInline: Bool) throws(TemplateError) -> [Jinja.FilterCall] {
        var result: [Jinja.FilterCall] = []
        while (startsInline && result.isEmpty) || skip(.pipe) {
            let position = token.position
            let name = try dottedName()
            let arguments = isSymbol(.leftParen) ? try arguments() : Jinja.ArgumentList()
            let function = Jinja.Filters.table[name]
            if function == nil { unknown.append(.syntax("no filter named '\(name)'", at: position)) }
            result.append(Jinja.FilterCall(name: name, function: function, arguments: arguments, position: position))
        }
        return result
    }

    private mutating func dottedName() throws(TemplateError) -> String {
        var name = try expectAnyName()
        while skip(.dot) { name += "." + (try expectAnyName()) }
        return name
    }

    private mutating func test() throws(TemplateError) -> Jinja.TestCall {
        let isNegated = skip(name: "not")
        let position = token.position
        let name = try dottedName()
        var list = Jinja.ArgumentList()
        if isSymbol(.leftParen) {
            list = try arguments()
        } else if startsTestOperand() {
            if isName("is") { throw .syntax("tests cannot be chained with 'is'", at: token.position) }
            var steps: [Step] = []
            let operand = try primary()
            try suffixes(&steps)
            list.positional = [steps.isEmpty ? operand : .chain(operand, steps)]
        }
        let function = Jinja.Tests.table[name]
        if function == nil { unknown.append(.syntax("no test named '\(name)'", at: position)) }
        return Jinja.TestCall(name: name, function: function, arguments: list, isNegated: isNegated)
    }

    private func startsTestOperand() -> Bool {
        switch token.kind {
        case .name(let name): name != "else" && name != "or" && name != "and"
        case .string, .integer, .float, .symbol(.leftBracket), .symbol(.leftBrace): true
        default: false
        }
    }

    mutating func arguments() throws(TemplateError) -> Jinja.ArgumentList {
        let position = token.position
        let malformed = TemplateError.syntax("arguments in an order that no call has", at: position)
        try expect(.leftParen)
        var list = Jinja.ArgumentList()
        var isFirst = true
        while !isSymbol(.rightParen) {
            if !isFirst {
                try expect(.comma)
                if isSymbol(.rightParen) { break }
            }
            isFirst = false
            if skip(.multiply) {
                guard list.spread == nil, list.keywordSpread == nil else { throw malformed }
                list.spread = try expression()
            } else if skip(.power) {
                guard list.keywordSpread == nil else { throw malformed }
                list.keywordSpread = try expression()
            } else if case .name(let name) = token.kind, isSymbol(.assign, ahead: 1) {
                guard list.keywordSpread == nil else { throw malformed }
                guard !list.keywords.contains(where: { $0.name == name }) else {
                    throw .syntax("argument '\(name)' appears twice", at: token.position)
                }
                advance()
                advance()
                list.keywords.append((name, try expression()))
            } else {
                guard list.spread == nil, list.keywordSpread == nil, list.keywords.isEmpty else { throw malformed }
                list.positional.append(try expression())
            }
        }
        advance()
        return list
    }

    // MARK: targets of assignments

    mutating func assignableName() throws(TemplateError) -> String {
        let position = token.position
        let name = try expectAnyName()
        guard !["true", "false", "none", "True", "False", "None"].contains(name) else {
            throw .syntax("'\(name)' cannot be assigned", at: position)
        }
        guard name != "loop" || loopDepth == 0 else { throw .syntax("'loop' cannot be assigned inside a loop", at: position) }
        return name
    }

    /// What stands left of `=` or `in`.
    mutating func target(allowsAttributes: Bool = false) throws(TemplateError) -> Target {
        try enter()
        defer { depth -= 1 }
        var elements: [Target] = []
        var isTuple = false
        while true {
            if !elements.isEmpty { try expect(.comma) }
            if isTupleEnd { break }
            if skip(.leftParen) {
                elements.append(try target())
                try expect(.rightParen)
            } else if allowsAttributes, isSymbol(.dot, ahead: 1) {
                let name = load(try expectAnyName())
                advance()
                elements.append(.attribute(name, Jinja.Attribute(try expectAnyName())))
            } else {
                elements.append(.name(symbol(for: try assignableName())))
            }
            guard isSymbol(.comma) else { break }
            isTuple = true
        }
        if !isTuple, let only = elements.first { return only }
        guard !elements.isEmpty else { throw unexpected("a name to assign to") }
        return .tuple(elements)
    }
}
