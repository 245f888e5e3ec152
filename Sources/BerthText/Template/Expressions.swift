// Evaluating expressions.

import BerthCore

extension Jinja.Rendering {
    typealias Expression = Jinja.Expression

    func evaluate(_ expression: Expression) throws(TemplateError) -> Value {
        switch expression {
        case .none: return .none
        case .bool(let value): return .bool(value)
        case .integer(let value): return .int(value)
        case .float(let value): return .float(value)
        case .string(let text): return .string(text)
        case .name(let name): return value(of: name)
        default:
            try charge()
            try enter()
            defer { leave() }
            return try evaluateCompound(expression)
        }
    }

    private func evaluateCompound(_ expression: Expression) throws(TemplateError) -> Value {
        switch expression {
        case .chain(let base, let steps): return try chain(base, steps)
        case .comparison(let first, let steps): return try comparison(first, steps)
        case .arithmetic(let first, let steps): return try arithmetic(first, steps)
        case .concatenation(let operands): return try concatenation(operands)
        case .and(let operands): return try conjunction(operands, stopsAt: false)
        case .or(let operands): return try conjunction(operands, stopsAt: true)
        case .not(let operand): return .bool(!(try evaluate(operand).isTrue))
        case .negative(let operand): return try negative(try evaluate(operand))
        case .positive(let operand): return try positive(try evaluate(operand))
        case .conditional(let then, let test, let otherwise):
            if try evaluate(test).isTrue { return try evaluate(then) }
            if let otherwise { return try evaluate(otherwise) }
            return .undefined("the inline if-expression was false and has no else")
        case .tuple(let elements): return try tuple(try evaluate(all: elements))
        case .list(let elements): return try list(try evaluate(all: elements))
        case .dictionary(let pairs): return try dictionary(pairs)
        default: return try evaluate(expression)
        }
    }

    private func evaluate(all expressions: [Expression]) throws(TemplateError) -> [Value] {
        var values: [Value] = []
        values.reserveCapacity(expressions.count)
        for expression in expressions { values.append(try evaluate(expression)) }
        return values
    }

    private func dictionary(_ pairs: [Jinja.Pair]) throws(TemplateError) -> Value {
        var members = Jinja.Dictionary()
        for pair in pairs {
            let key = try evaluate(pair.key)
            if let error = key.unhashable { throw error }
            try charge(key.weight >> 4)
            members[key] = try evaluate(pair.value)
        }
        return .dictionary(try Jinja.Members(members))
    }

    private func conjunction(_ operands: [Expression], stopsAt truth: Bool) throws(TemplateError) -> Value {
        for operand in operands.dropLast() {
            let value = try evaluate(operand)
            if value.isTrue == truth { return value }
        }
        return try evaluate(operands[operands.count - 1])
    }

    private func concatenation(_ operands: [Expression]) throws(TemplateError) -> Value {
        var result = Jinja.Text()
        for operand in operands {
            let text = try text(of: try evaluate(operand))
            try charge(1 + text.bytes.count >> 8)
            result.append(text)
            guard result.bytes.count <= Limits.templateOutputBytes else { throw .limit("a text of more than \(Limits.templateOutputBytes) bytes") }
        }
        return .string(result)
    }

    private func arithmetic(_ first: Expression, _ steps: [Jinja.ArithmeticStep]) throws(TemplateError) -> Value {
        var result = try evaluate(first)
        for step in steps { result = try apply(step.operation, result, try evaluate(step.operand)) }
        return result
    }

    private func comparison(_ first: Expression, _ steps: [Jinja.ComparisonStep]) throws(TemplateError) -> Value {
        var left = try evaluate(first)
        for step in steps {
            let right = try evaluate(step.operand)
            guard try compare(left, step.operation, right) else { return .bool(false) }
            left = right
        }
        return .bool(true)
    }

    func compare(_ left: Value, _ operation: Jinja.ComparisonOperator, _ right: Value) throws(TemplateError) -> Bool {
        switch operation {
        case .equal: return try equal(left, right)
        case .notEqual: return !(try equal(left, right))
        case .contained: return try contains(right, left)
        case .notContained: return !(try contains(right, left))
        case .less: return try precedes(left, right, "<")
        case .greater: return try precedes(right, left, ">")
        case .lessEqual, .greaterEqual:
            // Not the negation of the opposite: a NaN is neither.
            if let a = left.number, let b = right.number, left.integer == nil || right.integer == nil {
                return operation == .lessEqual ? a <= b : a >= b
            }
            return operation == .lessEqual ? !(try precedes(right, left, "<=")) : !(try precedes(left, right, ">="))
        }
    }

    func precedes(_ left: Value, _ right: Value, _ sign: String = "<") throws(TemplateError) -> Bool {
        try charge(min(left.weight, right.weight) >> 4)
        do throws(TemplateError) {
            return try Value.precedes(left, right, operator: sign)
        } catch {
            // `a > b` was asked as `b < a`; the message names the operands in their own order.
            guard sign == ">" || sign == "<=", !left.isUndefined, !right.isUndefined, left.typeName != right.typeName else { throw error }
            throw .evaluation("'\(sign)' not supported between instances of '\(right.typeName)' and '\(left.typeName)'")
        }
    }

    // MARK: what stands behind an expression

    private func chain(_ base: Expression, _ steps: [Jinja.Step]) throws(TemplateError) -> Value {
        var value = try evaluate(base)
        var index = 0
        while index < steps.count {
            let step = steps[index]
            position = step.position
            index += 1
            switch step.operation {
            case .attribute(let attribute):
                // A method that is called at once needs no object of its own.
                if index < steps.count, case .call(let list) = steps[index].operation, let method = method(of: value, named: attribute.name) {
                    index += 1
                    value = try call(method, on: value, list)
                } else {
                    value = try self.attribute(attribute, of: value)
                }
            case .item(let key): value = try item(try evaluate(key), of: value)
            case .slice(let start, let stop, let step): value = try slice(value, start, stop, step)
            case .call(let list): value = try call(value, try evaluate(list))
            case .filter(let filter): value = try apply(filter, to: value)
            case .test(let test): value = .bool(try apply(test, to: value))
            }
        }
        return value
    }

    private func call(_ method: Jinja.Method, on value: Value, _ list: Jinja.ArgumentList) throws(TemplateError) -> Value {
        try charge()
        return try method(self, value, try evaluate(list))
    }

    func apply(_ filter: Jinja.FilterCall, to value: Value) throws(TemplateError) -> Value {
        guard let function = filter.function else { throw .evaluation("no filter named '\(filter.name)'") }
        let arguments = try evaluate(filter.arguments)
        position = filter.position
        return try function(self, value, arguments)
    }

    private func apply(_ test: Jinja.TestCall, to value: Value) throws(TemplateError) -> Bool {
        guard let function = test.function else { throw .evaluation("no test named '\(test.name)'") }
        return try function(self, value, try evaluate(test.arguments)) != test.isNegated
    }

    func call(_ value: Value, _ arguments: Jinja.Arguments) throws(TemplateError) -> Value {
        try charge()
        switch value {
        case .object(let object):
            try enter()
            defer { leave() }
            return try object.call(arguments, self)
        case .undefined(let missing): throw missing.error
        default: throw .evaluation("'\(value.typeName)' object is not callable")
        }
    }

    func evaluate(_ list: Jinja.ArgumentList) throws(TemplateError) -> Jinja.Arguments {
        var arguments = Jinja.Arguments()
        if !list.positional.isEmpty { arguments.positional = try evaluate(all: list.positional) }
        for (name, expression) in list.keywords { arguments.keywords.append((name, try evaluate(expression))) }
        if let spread = list.spread { arguments.positional += try elements(of: try evaluate(spread)) }
        if let spread = list.keywordSpread { try spreadKeywords(try evaluate(spread), into: &arguments) }
        return arguments
    }

    private func spreadKeywords(_ value: Value, into arguments: inout Jinja.Arguments) throws(TemplateError) {
        guard case .dictionary(let members) = value else { throw .evaluation("argument after ** must be a mapping, not \(value.typeName)") }
        // Each name is compared with all before it.
        try charge(members.values.count * (members.values.count + arguments.keywords.count) >> 5)
        for (key, value) in members.values {
            guard let name = key.text?.string else { throw .evaluation("keywords must be strings") }
            guard arguments.keyword(name) == nil else { throw .evaluation("got multiple values for keyword argument '\(name)'") }
            arguments.keywords.append((name, value))
        }
    }
}
