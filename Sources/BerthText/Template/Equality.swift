// `==` and `<` as Python defines them, across types.
//
// Equality never fails; order fails between types that have none. Both walk containers, whose depth is bounded where they
// are made; callers pay for the walk by weight first (Rendering.equal).

extension Jinja.Value: Hashable {
    static func == (left: Self, right: Self) -> Bool {
        switch (left, right) {
        case (.string(let a), .string(let b)), (.string(let a), .markup(let b)), (.markup(let a), .string(let b)), (.markup(let a), .markup(let b)):
            return a == b
        case (.int(let a), .int(let b)): return a == b
        case (.none, .none), (.undefined, .undefined): return true
        case (.list(let a), .list(let b)), (.tuple(let a), .tuple(let b)): return a === b || a.values == b.values
        case (.dictionary(let a), .dictionary(let b)):
            if a === b { return true }
            guard a.values.count == b.values.count else { return false }
            return a.values.allSatisfy { b.values[$0.key] == $0.value }
        case (.range(let a), .range(let b)):
            return a.count == b.count && (a.count == 0 || (a.start == b.start && (a.count == 1 || a.step == b.step)))
        case (.view(let a), .view(let b)):
            // Views of keys and items compare as sets, views of values by identity.
            guard a.kind == b.kind, a.kind != .values, a.members.values.count == b.members.values.count else { return false }
            return a.members.values.allSatisfy { key, value in
                a.kind == .keys ? b.members.values[key] != nil : b.members.values[key] == value
            }
        case (.iterator(let a), .iterator(let b)): return a === b
        case (.object(let a), .object(let b)): return a === b
        default:
            if let a = left.integer {
                if let b = right.integer { return a == b }
                if case .float(let b) = right { return Int(exactly: b) == a }
            } else if case .float(let a) = left {
                if case .float(let b) = right { return a == b }
                if let b = right.integer { return Int(exactly: a) == b }
            }
            return false
        }
    }

    func hash(into hasher: inout Hasher) {
        switch self {
        case .undefined: hasher.combine(1)
        case .none: hasher.combine(2)
        case .bool(let value): hasher.combine(value ? 1 : 0)
        case .int(let value): hasher.combine(value)
        case .float(let value):
            if let integer = Int(exactly: value) { hasher.combine(integer) } else { hasher.combine(value) }
        case .string(let text), .markup(let text): hasher.combine(text)
        case .list(let elements), .tuple(let elements): hasher.combine(elements.values)
        case .dictionary(let members): hasher.combine(members.values.count)
        case .view(let view): hasher.combine(view.members.values.count)
        case .range(let range): hasher.combine(range.count)
        case .iterator(let iterator): hasher.combine(ObjectIdentifier(iterator))
        case .object(let object): hasher.combine(ObjectIdentifier(object))
        }
    }

    /// `left < right`. Throws: evaluation, where Python has no order. `operator` is the sign that the message names.
    static func precedes(_ left: Self, _ right: Self, operator sign: String = "<") throws(TemplateError) -> Bool {
        switch (left, right) {
        case (.undefined(let missing), _), (_, .undefined(let missing)): throw missing.error
        case (.string(let a), .string(let b)), (.string(let a), .markup(let b)), (.markup(let a), .string(let b)), (.markup(let a), .markup(let b)):
            return a < b
        case (.list(let a), .list(let b)), (.tuple(let a), .tuple(let b)):
            for (x, y) in zip(a.values, b.values) where x != y { return try precedes(x, y, operator: sign) }
            return a.values.count < b.values.count
        default:
            if let a = left.integer, let b = right.integer { return a < b }
            if let a = left.number, let b = right.number { return a < b }
            throw .evaluation("'\(sign)' not supported between instances of '\(left.typeName)' and '\(right.typeName)'")
        }
    }

    /// `is`: the same thing. Numbers and strings, of which Python may keep several copies, are the same when equal.
    static func isSame(_ left: Self, _ right: Self) -> Bool {
        switch (left, right) {
        case (.none, .none): true
        case (.bool(let a), .bool(let b)): a == b
        case (.int(let a), .int(let b)): a == b
        case (.float(let a), .float(let b)): a == b
        case (.string(let a), .string(let b)): a == b
        case (.undefined(let a), .undefined(let b)): a === b
        case (.list(let a), .list(let b)): a === b
        case (.tuple(let a), .tuple(let b)): a === b || (a.values.isEmpty && b.values.isEmpty)
        case (.dictionary(let a), .dictionary(let b)): a === b
        case (.iterator(let a), .iterator(let b)): a === b
        case (.object(let a), .object(let b)): a === b
        default: false
        }
    }
}
