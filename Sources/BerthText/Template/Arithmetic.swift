// `+ - * / // % **`, the signs, and `in`.

import BerthCore
import Glibc

extension Jinja.Rendering {
    func apply(_ operation: Jinja.ArithmeticOperator, _ left: Value, _ right: Value) throws(TemplateError) -> Value {
        if case .undefined(let missing) = left { throw missing.error }
        if case .undefined(let missing) = right, !(operation == .modulo && left.text != nil) { throw missing.error }
        switch operation {
        case .add:
            if let sum = try joined(left, right) { return sum }
        case .multiply:
            if let count = right.integer, let product = try repeated(left, count) { return product }
            if let count = left.integer, let product = try repeated(right, count) { return product }
        case .modulo:
            if let format = left.text { return .string(try formatPercent(format, right)) }
        default: break
        }
        if let a = left.integer, let b = right.integer { return try integers(operation, a, b) }
        if let a = left.number, let b = right.number { return try floats(operation, a, b) }
        if operation == .add, left.text != nil { throw .evaluation("can only concatenate str (not \"\(right.typeName)\") to str") }
        throw .evaluation("unsupported operand type(s) for \(operation.rawValue): '\(left.typeName)' and '\(right.typeName)'")
    }

    /// The concatenation of two sequences of a kind.
    private func joined(_ left: Value, _ right: Value) throws(TemplateError) -> Value? {
        switch (left, right) {
        case (.string(let a), .string(let b)):
            try chargeText(a.bytes.count + b.bytes.count)
            return .string(a + b)
        case (.markup(let a), .markup(let b)):
            try chargeText(a.bytes.count + b.bytes.count)
            return .markup(a + b)
        case (.markup(let a), .string(let b)): return .markup(a + (try escaped(b)))
        case (.string(let a), .markup(let b)): return .markup(try escaped(a) + b)
        case (.list(let a), .list(let b)): return try list(a.values + b.values)
        case (.tuple(let a), .tuple(let b)): return try tuple(a.values + b.values)
        default: return nil
        }
    }

    private func repeated(_ value: Value, _ count: Int) throws(TemplateError) -> Value? {
        let count = max(0, count)
        switch value {
        case .string(let text), .markup(let text):
            let (bytes, overflow) = text.bytes.count.multipliedReportingOverflow(by: count)
            try chargeText(overflow ? .max : bytes)
            var result: [UInt8] = []
            result.reserveCapacity(bytes)
            if bytes > 0 { for _ in 0..<count { result.append(contentsOf: text.bytes) } }
            return .string(Jinja.Text(bytes: result))
        case .list(let elements), .tuple(let elements):
            let (total, overflow) = elements.values.count.multipliedReportingOverflow(by: count)
            guard !overflow, total <= Limits.templateValueWeight else { throw .limit("a value of more than \(Limits.templateValueWeight) elements") }
            try charge(total >> 4)
            var result: [Value] = []
            result.reserveCapacity(total)
            if total > 0 { for _ in 0..<count { result += elements.values } }
            if case .tuple = value { return try tuple(result) }
            return try list(result)
        default: return nil
        }
    }

    private func integers(_ operation: Jinja.ArithmeticOperator, _ a: Int, _ b: Int) throws(TemplateError) -> Value {
        let result: (partialValue: Int, overflow: Bool)
        switch operation {
        case .add: result = a.addingReportingOverflow(b)
        case .subtract: result = a.subtractingReportingOverflow(b)
        case .multiply: result = a.multipliedReportingOverflow(by: b)
        case .divide:
            guard b != 0 else { throw .evaluation("division by zero") }
            return .float(Double(a) / Double(b))
        case .floorDivide, .modulo:
            guard b != 0 else { throw .evaluation("integer division or modulo by zero") }
            guard b != -1 else { return operation == .modulo ? .int(0) : try integers(.subtract, 0, a) }
            let remainder = a % b
            let shifts = remainder != 0 && (remainder < 0) != (b < 0)
            if operation == .modulo { return .int(shifts ? remainder + b : remainder) }
            return .int(shifts ? a / b - 1 : a / b)
        case .power:
            guard b >= 0 else { return try floats(.power, Double(a), Double(b)) }
            return .int(try power(a, b))
        }
        guard !result.overflow else { throw Self.overflow }
        return .int(result.partialValue)
    }

    static var overflow: TemplateError { .limit("an integer beyond 64 bits") }

    private func power(_ base: Int, _ exponent: Int) throws(TemplateError) -> Int {
        if base == 0 || base == 1 { return exponent == 0 ? 1 : base }
        if base == -1 { return exponent % 2 == 0 ? 1 : -1 }
        guard exponent < 64 else { throw Self.overflow }
        var result = 1
        for _ in 0..<exponent {
            let (product, overflow) = result.multipliedReportingOverflow(by: base)
            guard !overflow else { throw Self.overflow }
            result = product
        }
        return result
    }

    private func floats(_ operation: Jinja.ArithmeticOperator, _ a: Double, _ b: Double) throws(TemplateError) -> Value {
        switch operation {
        case .add: return .float(a + b)
        case .subtract: return .float(a - b)
        case .multiply: return .float(a * b)
        case .divide:
            guard b != 0 else { throw .evaluation("float division by zero") }
            return .float(a / b)
        case .floorDivide, .modulo:
            guard b != 0 else { throw .evaluation(operation == .modulo ? "float modulo" : "float floor division by zero") }
            var remainder = fmod(a, b)
            var quotient = (a - remainder) / b
            if remainder != 0 {
                if (remainder < 0) != (b < 0) {
                    remainder += b
                    quotient -= 1
                }
            } else {
                remainder = copysign(0, b)
            }
            if operation == .modulo { return .float(remainder) }
            guard quotient != 0 else { return .float(copysign(0, a / b)) }
            let floored = floor(quotient)
            return .float(quotient - floored > 0.5 ? floored + 1 : floored)
        case .power:
            if a == 0, b < 0 { throw .evaluation("0.0 cannot be raised to a negative power") }
            let result = pow(a, b)
            if result.isNaN, !a.isNaN, !b.isNaN { throw .evaluation("complex numbers are not supported") }
            if result.isInfinite, !a.isInfinite, !b.isInfinite { throw .evaluation("numerical result out of range") }
            return .float(result)
        }
    }

    func negative(_ value: Value) throws(TemplateError) -> Value {
        if let integer = value.integer { return try integers(.subtract, 0, integer) }
        if case .float(let number) = value { return .float(-number) }
        if case .undefined(let missing) = value { throw missing.error }
        throw .evaluation("bad operand type for unary -: '\(value.typeName)'")
    }

    func positive(_ value: Value) throws(TemplateError) -> Value {
        if let integer = value.integer { return .int(integer) }
        if case .float = value { return value }
        if case .undefined(let missing) = value { throw missing.error }
        throw .evaluation("bad operand type for unary +: '\(value.typeName)'")
    }

    /// `element in container`.
    func contains(_ container: Value, _ element: Value) throws(TemplateError) -> Bool {
        switch container {
        case .string(let text), .markup(let text):
            guard let part = element.text else {
                throw .evaluation("'in <string>' requires string as left operand, not \(element.typeName)")
            }
            try charge((text.bytes.count + part.bytes.count) >> 8)
            return text.firstOffset(of: part) != nil
        case .dictionary(let members):
            if let error = element.unhashable { throw error }
            try charge(element.weight >> 4)
            return members.values[element] != nil
        case .list(let elements), .tuple(let elements):
            try charge(elements.values.count >> 4)
            for value in elements.values where try equal(value, element) { return true }
            return false
        case .range(let range):
            guard let integer = element.integer ?? (element.number.flatMap { Int(exactly: $0) }) else { return false }
            return range.index(of: integer) != nil
        case .view, .iterator, .undefined:
            let iterator = try iterator(over: container)
            while let value = try iterator.next(self) {
                try charge()
                if try equal(value, element) { return true }
            }
            return false
        default: throw .evaluation("argument of type '\(container.typeName)' is not iterable")
        }
    }
}
