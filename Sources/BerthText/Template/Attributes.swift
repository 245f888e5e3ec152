// `value.name`, `value[key]` and `value[a:b:c]`.
//
// Jinja looks among attributes first for the dot and among items first for the bracket, and falls back to the other: a
// dictionary's key "items" is therefore hidden by the method for `d.items` and found by `d['items']`. What is missing is
// undefined, not an error; what the sandbox forbids is undefined too, and says so when it is used.

extension Jinja.Rendering {
    /// The method `name` of a value's type; nil where there is none that may be called.
    func method(of value: Value, named name: String) -> Jinja.Method? {
        switch value {
        case .string, .markup: Jinja.StringMethods.table[name]
        case .dictionary: Jinja.CollectionMethods.dictionary[name]
        case .list: Jinja.CollectionMethods.list[name]
        case .tuple: Jinja.CollectionMethods.tuple[name]
        case .range: Jinja.CollectionMethods.tuple[name]
        case .int, .bool, .float: Jinja.CollectionMethods.number[name]
        default: nil
        }
    }

    /// A Python attribute; nil where the type has none of that name.
    private func ownAttribute(_ attribute: Jinja.Attribute, of value: Value) throws(TemplateError) -> Value? {
        if let method = method(of: value, named: attribute.name) {
            return .object(try Jinja.BoundMethod(value, attribute.name, method))
        }
        if Self.isForbidden(attribute.name, of: value) {
            return .undefined("access to attribute '\(attribute.name)' of '\(value.typeName)' object is unsafe.")
        }
        switch value {
        case .object(let object): return try object.attribute(attribute)
        case .int, .bool, .float:
            switch attribute.name {
            case "real": return value.integer.map { .int($0) } ?? value
            case "imag": return value.integer == nil ? .float(0) : .int(0)
            default: return nil
            }
        case .tuple(let elements):
            guard let index = elements.fields.firstIndex(of: attribute.name) else { return nil }
            return elements.values[index]
        case .range(let range):
            switch attribute.name {
            case "start": return .int(range.start)
            case "stop": return .int(range.stop)
            case "step": return .int(range.step)
            default: return nil
            }
        default: return nil
        }
    }

    private static func isForbidden(_ name: String, of value: Value) -> Bool {
        if name.utf8.starts(with: "__".utf8) {
            if case .object(let object) = value { return !(object is Jinja.Namespace) && name == "__class__" }
            return Self.internals.contains(name)
        }
        switch value {
        case .dictionary: return ["clear", "pop", "popitem", "setdefault", "update"].contains(name)
        case .list: return ["append", "clear", "pop", "reverse", "insert", "sort", "extend", "remove"].contains(name)
        default: return false
        }
    }

    private static let internals: Set<String> = [
        "__class__", "__doc__", "__init__", "__new__", "__dir__", "__hash__", "__eq__", "__len__", "__iter__", "__getitem__", "__contains__",
        "__str__", "__repr__", "__reduce__", "__subclasshook__", "__getattribute__", "__setattr__", "__format__", "__sizeof__",
    ]

    func attribute(_ attribute: Jinja.Attribute, of value: Value) throws(TemplateError) -> Value {
        try charge()
        if case .undefined(let missing) = value { throw missing.error }
        if let found = try ownAttribute(attribute, of: value) { return found }
        if case .dictionary(let members) = value, let found = members[attribute.text] { return found }
        return .undefined("'\(value.description)' has no attribute '\(attribute.name)'")
    }

    func item(_ key: Value, of value: Value) throws(TemplateError) -> Value {
        try charge()
        switch value {
        case .undefined(let missing): throw missing.error
        case .dictionary(let members):
            try charge(key.weight >> 4)
            if key.unhashable == nil, let found = members.values[key] { return found }
        case .list(let elements), .tuple(let elements):
            if let index = Self.index(key, in: elements.values.count) { return elements.values[index] }
        case .range(let range):
            if let index = Self.index(key, in: range.count) { return .int(range[index]) }
        case .string(let text), .markup(let text):
            if key.integer != nil {
                try charge(text.bytes.count >> 8)
                if let index = Self.index(key, in: text.count) { return .string(text.slice(index..<index + 1)) }
            }
        default: break
        }
        if let name = key.text {
            let attribute = Jinja.Attribute(name.string)
            if let found = try ownAttribute(attribute, of: value) { return found }
            return .undefined("'\(value.description)' has no attribute '\(attribute.name)'")
        }
        return .undefined("\(value.description) has no element \(try representation(of: key).string)")
    }

    private static func index(_ key: Value, in count: Int) -> Int? {
        guard let index = key.integer else { return nil }
        let position = index < 0 ? index + count : index
        return position >= 0 && position < count ? position : nil
    }

    // MARK: slices

    /// The positions that Python's `slice(start, stop, step)` takes of `count` elements: the first, how many, and the step.
    static func slice(_ start: Int?, _ stop: Int?, _ step: Int, of count: Int) -> Jinja.IntegerRange {
        func clamp(_ value: Int?, _ fallback: Int, _ low: Int, _ high: Int) -> Int {
            guard let value else { return fallback }
            return min(max(value < 0 ? value + count : value, low), high)
        }
        if step > 0 {
            let first = clamp(start, 0, 0, count)
            let last = clamp(stop, count, 0, count)
            return Jinja.IntegerRange(start: first, step: step, count: last > first ? (last - first - 1) / step + 1 : 0)
        }
        let first = clamp(start, count - 1, -1, count - 1)
        let last = clamp(stop, -1, -1, count - 1)
        return Jinja.IntegerRange(start: first, step: step, count: last < first ? (first - last - 1) / -max(step, -.max) + 1 : 0)
    }

    func slice(_ value: Value, _ start: Expression?, _ stop: Expression?, _ step: Expression?) throws(TemplateError) -> Value {
        let startIndex = try sliceBound(start)
        let stopIndex = try sliceBound(stop)
        let stepSize = try sliceBound(step) ?? 1
        guard stepSize != 0 else { throw .evaluation("slice step cannot be zero") }
        func positions(_ count: Int) -> Jinja.IntegerRange { Self.slice(startIndex, stopIndex, stepSize, of: count) }
        switch value {
        case .list(let elements): return try list(try pick(positions(elements.values.count), of: elements.values))
        case .tuple(let elements): return try tuple(try pick(positions(elements.values.count), of: elements.values))
        case .string(let text), .markup(let text):
            try chargeText(text.bytes.count)
            let positions = positions(text.count)
            let result: Jinja.Text
            if positions.count == 0 {
                result = Jinja.Text()
            } else if stepSize == 1 {
                result = text.slice(positions.start..<positions.start + positions.count)
            } else {
                let scalars = text.scalars
                result = Jinja.Text(scalars: (0..<positions.count).lazy.map { scalars[positions[$0]] })
            }
            if case .markup = value { return .markup(result) }
            return .string(result)
        case .range(let range):
            let positions = positions(range.count)
            return .range(Jinja.IntegerRange(start: range.start + positions.start * range.step, step: range.step * positions.step, count: positions.count))
        case .undefined(let missing): throw missing.error
        case .dictionary: throw .evaluation("unhashable type: 'slice'")
        default: throw .evaluation("'\(value.typeName)' object is not subscriptable")
        }
    }

    private func sliceBound(_ expression: Expression?) throws(TemplateError) -> Int? {
        guard let expression else { return nil }
        let value = try evaluate(expression)
        if value.isNone { return nil }
        guard let index = value.integer else {
            throw .evaluation("slice indices must be integers or None or have an __index__ method")
        }
        // Far beyond any length, and far from overflow.
        return min(max(index, -1 << 40), 1 << 40)
    }

    private func pick(_ positions: Jinja.IntegerRange, of values: [Value]) throws(TemplateError) -> [Value] {
        if positions.step == 1 { return Array(values[positions.start..<positions.start + positions.count]) }
        return (0..<positions.count).map { values[positions[$0]] }
    }
}
