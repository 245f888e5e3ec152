// The arguments of one call, and how a function takes them apart.

extension Jinja {
    struct Arguments {
        var positional: [Value] = []
        var keywords: [(name: String, value: Value)] = []

        var isEmpty: Bool { positional.isEmpty && keywords.isEmpty }

        func keyword(_ name: String) -> Value? { keywords.first { $0.name == name }?.value }

        mutating func removeKeyword(_ name: String) -> Value? {
            guard let index = keywords.firstIndex(where: { $0.name == name }) else { return nil }
            return keywords.remove(at: index).value
        }

        /// The arguments in the order of `names`, as Python binds them; nil for those not given.
        /// The first `required` must be given. Throws: evaluation, for one too many, one missing, one unknown or one twice.
        func bind(_ function: String, _ names: [String], required: Int = 0) throws(TemplateError) -> [Value?] {
            guard positional.count <= names.count else {
                throw .evaluation("\(function)() takes at most \(names.count) arguments (\(positional.count) given)")
            }
            var bound = [Value?](repeating: nil, count: names.count)
            for (index, value) in positional.enumerated() { bound[index] = value }
            for (name, value) in keywords {
                guard let index = names.firstIndex(of: name) else {
                    throw .evaluation("\(function)() got an unexpected keyword argument '\(name)'")
                }
                guard bound[index] == nil else { throw .evaluation("\(function)() got multiple values for argument '\(name)'") }
                bound[index] = value
            }
            for index in 0..<required where bound[index] == nil {
                throw .evaluation("\(function)() misses the argument '\(names[index])'")
            }
            return bound
        }

        /// Positional arguments only, between `least` and `most` of them.
        func list(_ function: String, _ least: Int, _ most: Int) throws(TemplateError) -> [Value] {
            guard keywords.isEmpty else { throw .evaluation("\(function)() takes no keyword arguments") }
            guard positional.count >= least, positional.count <= most else {
                let wanted = least == most ? "\(least)" : "\(least) to \(most)"
                throw .evaluation("\(function)() takes \(wanted) arguments (\(positional.count) given)")
            }
            return positional
        }
    }
}

extension Jinja.Value {
    /// The value as an integer argument: a width, a count, an index. What lies far beyond any of these is brought nearer,
    /// so that callers can add and negate. Throws: evaluation, where Python's `__index__` would.
    func index(_ function: String) throws(TemplateError) -> Int { min(max(try exactIndex(function), -1 << 40), 1 << 40) }

    func exactIndex(_ function: String) throws(TemplateError) -> Int {
        if let integer { return integer }
        if case .undefined(let missing) = self { throw missing.error }
        throw .evaluation("\(function)(): '\(typeName)' object cannot be interpreted as an integer")
    }

    /// The value as a string argument.
    func string(_ function: String) throws(TemplateError) -> Jinja.Text {
        if let text { return text }
        throw .evaluation("\(function)() needs a string, not '\(typeName)'")
    }
}
