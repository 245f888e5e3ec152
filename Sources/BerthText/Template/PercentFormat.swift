// `'%s and %d' % (a, b)`.

extension Jinja.Rendering {
    /// Python's printf-style formatting. `value` is a tuple of operands, a mapping for `%(name)s`, or the only operand.
    func formatPercent(_ format: Jinja.Text, _ value: Value) throws(TemplateError) -> Jinja.Text {
        let scalars = format.scalars
        try charge(scalars.count >> 4)
        var operands: [Value] = [value]
        var usesMapping = false
        if case .tuple(let elements) = value { operands = elements.values }
        var taken = 0
        func next() throws(TemplateError) -> Value {
            guard taken < operands.count else { throw .evaluation("not enough arguments for format string") }
            taken += 1
            return operands[taken - 1]
        }
        var output = Jinja.Text()
        var at = 0
        while at < scalars.count {
            guard scalars[at] == "%" else {
                output.append(scalar: scalars[at])
                at += 1
                continue
            }
            at += 1
            if at < scalars.count, scalars[at] == "%" {
                output.append(scalar: "%")
                at += 1
                continue
            }
            var operand: Value?
            if at < scalars.count, scalars[at] == "(" {
                guard case .dictionary(let members) = value else { throw .evaluation("format requires a mapping") }
                guard let key = Self.mappingKey(scalars, &at) else { throw .evaluation("incomplete format key") }
                guard let member = members[key] else { throw .evaluation("'\(key.string)'") }
                operand = member
                usesMapping = true
            }
            var spec = Jinja.FormatSpecification()
            spec.alignment = ">"
            spec.isPercent = true
            while at < scalars.count, let flag = Self.flag(scalars[at]) {
                switch flag {
                case "-": (spec.alignment, spec.fill) = ("<", " ")
                case "+": spec.sign = "+"
                case " ": if spec.sign != "+" { spec.sign = " " }
                case "#": spec.isAlternate = true
                default: if spec.alignment != "<" { (spec.alignment, spec.fill) = ("=", "0") }
                }
                at += 1
            }
            if at < scalars.count, scalars[at] == "*" {
                at += 1
                spec.width = try next().index("*")
                if spec.width < 0 { (spec.width, spec.alignment) = (-spec.width, "<") }
            } else {
                spec.width = try Jinja.FormatSpecification.number(scalars, &at) ?? 0
            }
            if at < scalars.count, scalars[at] == "." {
                at += 1
                if at < scalars.count, scalars[at] == "*" {
                    at += 1
                    spec.precision = max(0, try next().index("*"))
                } else {
                    spec.precision = try Jinja.FormatSpecification.number(scalars, &at) ?? 0
                }
            }
            while at < scalars.count, scalars[at] == "l" || scalars[at] == "h" || scalars[at] == "L" { at += 1 }
            guard at < scalars.count else { throw .evaluation("incomplete format") }
            let conversion = scalars[at]
            at += 1
            if operand == nil { operand = try next() }
            let piece = try convert(operand!, conversion, spec)
            try chargeText(output.bytes.count + piece.bytes.count)
            output.append(piece)
        }
        // A mapping may hold more than is used; so may a list, which Python takes for a mapping here.
        var excess = taken < operands.count && !usesMapping
        switch value {
        case .dictionary, .list, .range, .undefined: excess = false
        default: break
        }
        guard !excess else { throw .evaluation("not all arguments converted during string formatting") }
        return output
    }

    private static func flag(_ scalar: Unicode.Scalar) -> Unicode.Scalar? {
        scalar == "-" || scalar == "+" || scalar == " " || scalar == "#" || scalar == "0" ? scalar : nil
    }

    private static func mappingKey(_ scalars: [Unicode.Scalar], _ at: inout Int) -> Jinja.Text? {
        at += 1
        let start = at
        var open = 1
        while at < scalars.count {
            if scalars[at] == "(" { open += 1 }
            if scalars[at] == ")" { open -= 1 }
            at += 1
            if open == 0 { return Jinja.Text(scalars: scalars[start..<at - 1]) }
        }
        return nil
    }

    private func convert(_ value: Value, _ conversion: Unicode.Scalar, _ spec: Jinja.FormatSpecification) throws(TemplateError) -> Jinja.Text {
        var spec = spec
        spec.type = conversion
        switch conversion {
        case "s", "r", "a":
            var text = conversion == "s" ? try self.text(of: value) : try representation(of: value)
            if conversion == "a" { text = Self.escapingNonASCII(text) }
            spec.type = nil
            spec.fill = " "
            if spec.alignment == "=" { spec.alignment = ">" }
            return try spec.format(text)
        case "d", "i", "u":
            var integer = value.integer
            if case .float(let number) = value { integer = try truncated(number) }
            guard let integer else { throw mismatch(conversion, value, "a real number is required") }
            return try formatInteger(integer, spec, "d")
        case "x", "X", "o":
            guard let integer = value.integer else { throw mismatch(conversion, value, "an integer is required") }
            return try formatInteger(integer, spec, conversion)
        case "e", "E", "f", "F", "g", "G":
            guard let number = value.number else { throw .evaluation("must be real number, not \(value.typeName)") }
            return try spec.format(number)
        case "c":
            spec.fill = " "
            if let text = value.text, text.count == 1 { return try spec.padded(text, natural: ">") }
            guard let integer = value.integer else { throw .evaluation("%c requires int or char") }
            return try spec.format(integer)
        default: throw .evaluation("unsupported format character '\(conversion)'")
        }
    }

    private func mismatch(_ conversion: Unicode.Scalar, _ value: Value, _ wanted: String) -> TemplateError {
        if case .undefined(let missing) = value { return missing.error }
        return .evaluation("%\(conversion) format: \(wanted), not \(value.typeName)")
    }

    /// Here a precision is a least number of digits.
    private func formatInteger(_ value: Int, _ spec: Jinja.FormatSpecification, _ type: Unicode.Scalar) throws(TemplateError) -> Jinja.Text {
        var spec = spec
        spec.type = type
        guard let least = spec.precision else { return try spec.format(value) }
        spec.precision = nil
        var inner = Jinja.FormatSpecification()
        inner.type = type
        inner.width = least
        (inner.fill, inner.alignment) = ("0", "=")
        let digits = try inner.format(Int(clamping: value.magnitude))
        return try spec.padded(digits, prefix: spec.signText(isNegative: value < 0), natural: ">")
    }

    static func escapingNonASCII(_ text: Jinja.Text) -> Jinja.Text {
        var result = Jinja.Text()
        for scalar in text.scalars {
            if scalar.isASCII { result.append(scalar: scalar) } else { result.append(Jinja.Text(Jinja.escape(scalar))) }
        }
        return result
    }

    /// `int(number)`. Throws: evaluation for infinities and NaN, limit beyond 64 bits.
    func truncated(_ number: Double) throws(TemplateError) -> Int {
        guard !number.isNaN else { throw .evaluation("cannot convert float NaN to integer") }
        guard !number.isInfinite else { throw .evaluation("cannot convert float infinity to integer") }
        guard let integer = Int(exactly: number.rounded(.towardZero)) else { throw Self.overflow }
        return integer
    }
}
