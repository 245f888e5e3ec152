// Numbers and strings in a template's tags, as Python writes them.

extension Jinja.Lexer {
    /// The end of `(\d+_)*\d+` from `offset`; nil where no digit stands there.
    private func digits(from offset: Int) -> Int? {
        var end = offset
        while end < source.count, isDigit(source[end]) || (source[end] == UInt8(ascii: "_") && end > offset && isDigit(source[end - 1])) {
            end += 1
        }
        while end > offset, source[end - 1] == UInt8(ascii: "_") { end -= 1 }
        return end > offset ? end : nil
    }

    private func isDigit(_ byte: UInt8) -> Bool { byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9") }

    mutating func number() throws(TemplateError) -> Jinja.Token.Kind {
        let start = at
        if !(start > 0 && source[start - 1] == UInt8(ascii: ".")), let end = floatEnd() {
            at = end
            let text = String(decoding: source[start..<end].filter { $0 != UInt8(ascii: "_") }, as: UTF8.self)
            guard let value = Double(text) else { throw .syntax("a malformed number", at: position(of: start)) }
            return .float(value)
        }
        var radix = 10
        if source[start] == UInt8(ascii: "0"), start + 2 < source.count {
            switch source[start + 1] | 0x20 {
            case UInt8(ascii: "x"): radix = 16
            case UInt8(ascii: "o"): radix = 8
            case UInt8(ascii: "b"): radix = 2
            default: break
            }
            if radix != 10, Character(Unicode.Scalar(source[start + 2])).hexDigitValue.map({ $0 < radix }) != true { radix = 10 }
        }
        if radix == 10 {
            at = digits(from: start)!
            if source[start] == UInt8(ascii: "0") {
                at = start
                while at < source.count, source[at] == UInt8(ascii: "0") { at += 1 }
            }
        } else {
            at = start + 2
            while at < source.count, Character(Unicode.Scalar(source[at])).hexDigitValue.map({ $0 < radix }) == true { at += 1 }
        }
        let text = String(decoding: source[(radix == 10 ? start : start + 2)..<at].filter { $0 != UInt8(ascii: "_") }, as: UTF8.self)
        guard let value = Int(text, radix: radix) else { throw .syntax("an integer beyond 64 bits", at: position(of: start)) }
        return .integer(value)
    }

    private func floatEnd() -> Int? {
        guard var end = digits(from: at) else { return nil }
        var isFloat = false
        if has(".", at: end), let fraction = digits(from: end + 1) {
            end = fraction
            isFloat = true
        }
        if end < source.count, source[end] | 0x20 == UInt8(ascii: "e") {
            var exponent = end + 1
            if has("+", at: exponent) || has("-", at: exponent) { exponent += 1 }
            if let stop = digits(from: exponent) {
                end = stop
                isFloat = true
            }
        }
        return isFloat ? end : nil
    }

    mutating func string() throws(TemplateError) -> Jinja.Text {
        let start = at
        let quote = source[at]
        at += 1
        var result: [UInt8] = []
        while at < source.count {
            let byte = source[at]
            if byte == quote {
                at += 1
                return Jinja.Text(bytes: result)
            }
            at += 1
            if byte == UInt8(ascii: "\\") {
                try escape(into: &result)
            } else {
                result.append(byte)
            }
        }
        throw .syntax("a string without its end", at: position(of: start))
    }

    /// One escape of Python's "unicode-escape" codec; the backslash is behind us.
    private mutating func escape(into result: inout [UInt8]) throws(TemplateError) {
        guard at < source.count else { return }
        let byte = source[at]
        at += 1
        switch byte {
        case 0x0A: break
        case UInt8(ascii: "\\"), UInt8(ascii: "'"), UInt8(ascii: "\""): result.append(byte)
        case UInt8(ascii: "a"): result.append(0x07)
        case UInt8(ascii: "b"): result.append(0x08)
        case UInt8(ascii: "f"): result.append(0x0C)
        case UInt8(ascii: "n"): result.append(0x0A)
        case UInt8(ascii: "r"): result.append(0x0D)
        case UInt8(ascii: "t"): result.append(0x09)
        case UInt8(ascii: "v"): result.append(0x0B)
        case UInt8(ascii: "0")...UInt8(ascii: "7"):
            var value = UInt32(byte - UInt8(ascii: "0"))
            var count = 1
            while count < 3, at < source.count, source[at] >= UInt8(ascii: "0"), source[at] <= UInt8(ascii: "7") {
                value = value * 8 + UInt32(source[at] - UInt8(ascii: "0"))
                at += 1
                count += 1
            }
            result.append(contentsOf: UTF8.encode(Unicode.Scalar(value)!)!)
        case UInt8(ascii: "x"): try hexadecimal(2, into: &result)
        case UInt8(ascii: "u"): try hexadecimal(4, into: &result)
        case UInt8(ascii: "U"): try hexadecimal(8, into: &result)
        case UInt8(ascii: "N"): throw .syntax("characters by name (\\N{…}) are not supported", at: position(of: at - 2))
        case 0x80...:
            // Python's lexer writes such a character as an escape first, and the backslash before it then escapes that one.
            let text = Jinja.Text(bytes: source[(at - 1)..<min(at + 3, source.count)])
            let scalar = text.scalar(at: 0)
            let digits = String(scalar.value, radix: 16)
            let (letter, width) = scalar.value < 0x100 ? ("x", 2) : scalar.value < 0x10000 ? ("u", 4) : ("U", 8)
            result.append(UInt8(ascii: "\\"))
            result.append(contentsOf: (letter + String(repeating: "0", count: width - digits.count) + digits).utf8)
            at += text.offset(after: 0) - 1
        default:
            result.append(UInt8(ascii: "\\"))
            result.append(byte)
        }
    }

    private mutating func hexadecimal(_ count: Int, into result: inout [UInt8]) throws(TemplateError) {
        guard at + count <= source.count, let value = UInt32(String(decoding: source[at..<at + count], as: UTF8.self), radix: 16) else {
            throw .syntax("an unfinished escape in a string", at: position(of: at - 2))
        }
        at += count
        // Half a surrogate pair is no character; Python could not print it either.
        result.append(contentsOf: UTF8.encode(Unicode.Scalar(value) ?? "\u{FFFD}")!)
    }
}
