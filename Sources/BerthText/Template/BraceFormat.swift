// `'{} {name!r:>8}'.format(…)`.

extension Jinja.Rendering {
    /// Fields by position or name, with attributes and items (looked up as templates do), conversions and specifications.
    func formatBraces(_ format: Jinja.Text, _ arguments: Jinja.Arguments) throws(TemplateError) -> Jinja.Text {
        var automatic: Int? = 0
        return try formatBraces(format.scalars, arguments, &automatic, depth: 2)
    }

    /// `automatic` counts fields without a name; nil once fields are numbered by hand.
    private func formatBraces(
        _ scalars: [Unicode.Scalar], _ arguments: Jinja.Arguments, _ automatic: inout Int?, depth: Int
    ) throws(TemplateError) -> Jinja.Text {
        guard depth > 0 else { throw .evaluation("Max string recursion exceeded") }
        try charge(1 + scalars.count >> 4)
        var output = Jinja.Text()
        var at = 0
        while at < scalars.count {
            let scalar = scalars[at]
            at += 1
            guard scalar == "{" || scalar == "}" else {
                output.append(scalar: scalar)
                continue
            }
            if at < scalars.count, scalars[at] == scalar {
                output.append(scalar: scalar)
                at += 1
                continue
            }
            guard scalar == "{" else { throw .evaluation("Single '}' encountered in format string") }
            let start = at
            var open = 1
            while at < scalars.count, open > 0 {
                if scalars[at] == "{" { open += 1 }
                if scalars[at] == "}" { open -= 1 }
                at += 1
            }
            guard open == 0 else { throw .evaluation(at == start ? "Single '{' encountered in format string" : "expected '}' before end of string") }
            let piece = try field(Array(scalars[start..<at - 1]), arguments, &automatic, depth: depth)
            try chargeText(output.bytes.count + piece.bytes.count)
            output.append(piece)
        }
        return output
    }

    private func field(
        _ scalars: [Unicode.Scalar], _ arguments: Jinja.Arguments, _ automatic: inout Int?, depth: Int
    ) throws(TemplateError) -> Jinja.Text {
        try charge(1 + arguments.keywords.count >> 4)
        var bracket = false
        var end = scalars.count
        for (index, scalar) in scalars.enumerated() {
            if scalar == "[" { bracket = true }
            if scalar == "]" { bracket = false }
            if !bracket, scalar == ":" || scalar == "!" {
                end = index
                break
            }
        }
        var value = try fieldValue(Array(scalars[..<end]), arguments, &automatic)
        var rest = scalars[end...]
        if rest.first == "!" {
            guard rest.count > 1 else { throw .evaluation("end of string while looking for conversion specifier") }
            switch rest[end + 1] {
            case "s": value = .string(try text(of: value))
            case "r": value = .string(try representation(of: value))
            case "a": value = .string(Self.escapingNonASCII(try representation(of: value)))
            case let other: throw .evaluation("Unknown conversion specifier \(other)")
            }
            rest = rest.dropFirst(2)
            guard rest.isEmpty || rest.first == ":" else { throw .evaluation("expected ':' after conversion specifier") }
        }
        let spec = try formatBraces(Array(rest.dropFirst()), arguments, &automatic, depth: depth - 1)
        return try self.format(value, spec)
    }

    private func fieldValue(_ scalars: [Unicode.Scalar], _ arguments: Jinja.Arguments, _ automatic: inout Int?) throws(TemplateError) -> Value {
        let name = Array(scalars.prefix { $0 != "." && $0 != "[" })
        var value: Value
        if name.isEmpty {
            guard let index = automatic else { throw .evaluation("cannot switch from manual field specification to automatic field numbering") }
            automatic = index + 1
            value = try positional(index, arguments)
        } else if let index = Int(Jinja.Text(scalars: name).string) {
            if let automatic, automatic > 0 { throw .evaluation("cannot switch from automatic field numbering to manual field specification") }
            automatic = nil
            value = try positional(index, arguments)
        } else {
            let key = Jinja.Text(scalars: name).string
            guard let found = arguments.keyword(key) else { throw .evaluation("'\(key)'") }
            value = found
        }
        var at = name.count
        while at < scalars.count {
            let isItem = scalars[at] == "["
            let start = at + 1
            at = start
            while at < scalars.count, isItem ? scalars[at] != "]" : scalars[at] != "." && scalars[at] != "[" { at += 1 }
            let part = Jinja.Text(scalars: scalars[start..<at])
            guard !part.isEmpty else { throw .evaluation("Empty attribute in format string") }
            if isItem {
                value = try item(Int(part.string).map { .int($0) } ?? .string(part), of: value)
                at += 1
            } else {
                value = try attribute(Jinja.Attribute(part.string), of: value)
            }
        }
        return value
    }

    private func positional(_ index: Int, _ arguments: Jinja.Arguments) throws(TemplateError) -> Value {
        guard index >= 0, index < arguments.positional.count else {
            throw .evaluation("Replacement index \(index) out of range for positional args tuple")
        }
        return arguments.positional[index]
    }

    /// `format(value, spec)`.
    func format(_ value: Value, _ spec: Jinja.Text) throws(TemplateError) -> Jinja.Text {
        if spec.isEmpty { return try text(of: value) }
        switch value {
        case .string(let text), .markup(let text): return try Jinja.FormatSpecification(parsing: spec).format(text)
        case .int(let integer): return try Jinja.FormatSpecification(parsing: spec).format(integer)
        case .bool(let bool): return try Jinja.FormatSpecification(parsing: spec).format(bool ? 1 : 0)
        case .float(let number): return try Jinja.FormatSpecification(parsing: spec).format(number)
        default: throw .evaluation("unsupported format string passed to \(value.typeName).__format__")
        }
    }
}
