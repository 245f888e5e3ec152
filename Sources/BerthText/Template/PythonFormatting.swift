// How Python writes values: `str` and `repr`.

import BerthCore

extension Jinja.Rendering {
    /// `str(value)`.
    func text(of value: Value) throws(TemplateError) -> Jinja.Text {
        switch value {
        case .string(let text), .markup(let text): return text
        case .undefined: return Jinja.Text()
        default: return try representation(of: value)
        }
    }

    /// `repr(value)`.
    func representation(of value: Value) throws(TemplateError) -> Jinja.Text {
        var output: [UInt8] = []
        try write(value, to: &output, depth: 0)
        try charge(output.count >> 8)
        return Jinja.Text(bytes: output)
    }

    private func write(_ value: Value, to output: inout [UInt8], depth: Int) throws(TemplateError) {
        try charge()
        guard depth <= Limits.templateValueDepth else { throw .limit("a value nested deeper than \(Limits.templateValueDepth) levels") }
        guard output.count <= Limits.templateOutputBytes else { throw .limit("a text of more than \(Limits.templateOutputBytes) bytes") }
        func put(_ string: String) { output.append(contentsOf: string.utf8) }
        switch value {
        case .undefined: put("Undefined")
        case .none: put("None")
        case .bool(let value): put(value ? "True" : "False")
        case .int(let value): put(String(value))
        case .float(let value): put(Jinja.pythonDescription(of: value))
        case .string(let text): Self.writeQuoted(text, to: &output)
        case .markup(let text):
            put("Markup(")
            Self.writeQuoted(text, to: &output)
            put(")")
        case .list(let elements): try write(elements.values, "[", "]", to: &output, depth: depth)
        case .tuple(let elements): try write(elements.values, "(", elements.values.count == 1 ? ",)" : ")", to: &output, depth: depth)
        case .dictionary(let members): try write(members, to: &output, depth: depth)
        case .view(let view):
            put(view.kind.rawValue)
            try write(try elements(of: value), "([", "])", to: &output, depth: depth)
        case .range(let range): put("range(\(range.start), \(range.stop)\(range.step == 1 ? "" : ", \(range.step)"))")
        case .iterator(let iterator): put("<\(iterator.typeName) object>")
        case .object(let object):
            guard let namespace = object as? Jinja.Namespace else { return put(object.representation) }
            put("<Namespace ")
            var members = Jinja.Dictionary()
            for (name, value) in namespace.attributes { members[.string(name)] = value }
            try write(try Jinja.Members(members), to: &output, depth: depth)
            put(">")
        }
    }

    private func write(_ values: [Value], _ open: String, _ close: String, to output: inout [UInt8], depth: Int) throws(TemplateError) {
        output.append(contentsOf: open.utf8)
        for (index, value) in values.enumerated() {
            if index > 0 { output.append(contentsOf: ", ".utf8) }
            try write(value, to: &output, depth: depth + 1)
        }
        output.append(contentsOf: close.utf8)
    }

    private func write(_ members: Jinja.Members, to output: inout [UInt8], depth: Int) throws(TemplateError) {
        output.append(UInt8(ascii: "{"))
        for (index, member) in members.values.enumerated() {
            if index > 0 { output.append(contentsOf: ", ".utf8) }
            try write(member.key, to: &output, depth: depth + 1)
            output.append(contentsOf: ": ".utf8)
            try write(member.value, to: &output, depth: depth + 1)
        }
        output.append(UInt8(ascii: "}"))
    }

    /// A string as Python quotes it: single quotes, unless only they occur inside.
    static func writeQuoted(_ text: Jinja.Text, to output: inout [UInt8]) {
        let single = UInt8(ascii: "'")
        let quote = text.bytes.contains(single) && !text.bytes.contains(UInt8(ascii: "\"")) ? UInt8(ascii: "\"") : single
        output.append(quote)
        for scalar in text.scalars {
            switch scalar {
            case "\n": output.append(contentsOf: #"\n"#.utf8)
            case "\r": output.append(contentsOf: #"\r"#.utf8)
            case "\t": output.append(contentsOf: #"\t"#.utf8)
            case "\\": output.append(contentsOf: #"\\"#.utf8)
            default:
                if scalar.value == UInt32(quote) {
                    output.append(UInt8(ascii: "\\"))
                    output.append(quote)
                } else if scalar.isPythonPrintable {
                    output.append(contentsOf: UTF8.encode(scalar)!)
                } else {
                    output.append(contentsOf: Jinja.escape(scalar).utf8)
                }
            }
        }
        output.append(quote)
    }
}

extension Jinja {
    /// `\x..`, `\u....` or `\U........`.
    static func escape(_ scalar: Unicode.Scalar) -> String {
        let digits = String(scalar.value, radix: 16)
        let (letter, width) = scalar.value < 0x100 ? ("x", 2) : scalar.value < 0x10000 ? ("u", 4) : ("U", 8)
        return "\\" + letter + String(repeating: "0", count: width - digits.count) + digits
    }

    /// The digits of the shortest decimal that reads back as `value` (finite, not zero), and the place of its point:
    /// 0.digits · 10^point.
    static func shortestDigits(of value: Double) -> (digits: [UInt8], point: Int) {
        var digits: [UInt8] = []
        var point = 0
        var exponent = 0
        var hasPoint = false
        let text = Array(value.magnitude.description.utf8)
        for (index, byte) in text.enumerated() {
            if byte == UInt8(ascii: ".") {
                hasPoint = true
            } else if byte == UInt8(ascii: "e") {
                exponent = Int(String(decoding: text[(index + 1)...], as: UTF8.self)) ?? 0
                break
            } else {
                digits.append(byte)
                if !hasPoint { point += 1 }
            }
        }
        let leading = digits.prefix { $0 == UInt8(ascii: "0") }.count
        digits.removeFirst(leading)
        while digits.last == UInt8(ascii: "0") { digits.removeLast() }
        return (digits, point - leading + exponent)
    }

    /// `repr` of a float: the shortest digits, with an exponent below 1e-4 and from 1e16 on.
    static func pythonDescription(of value: Double) -> String {
        if value.isNaN { return "nan" }
        let sign = value.sign == .minus ? "-" : ""
        if value.isInfinite { return sign + "inf" }
        if value == 0 { return sign + "0.0" }
        let (digits, point) = shortestDigits(of: value)
        let text = String(decoding: digits, as: UTF8.self)
        if point > 16 || point < -3 {
            let exponent = point - 1
            let fraction = digits.count > 1 ? "." + text.dropFirst() : ""
            let magnitude = String(abs(exponent))
            return sign + text.prefix(1) + fraction + "e" + (exponent < 0 ? "-" : "+") + (magnitude.count < 2 ? "0" : "") + magnitude
        }
        if point <= 0 { return sign + "0." + String(repeating: "0", count: -point) + text }
        if digits.count <= point { return sign + text + String(repeating: "0", count: point - digits.count) + ".0" }
        return sign + text.prefix(point) + "." + text.dropFirst(point)
    }
}
