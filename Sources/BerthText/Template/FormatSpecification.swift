// Numbers and strings laid out as `format(value, spec)` and `%` do it.

import BerthCore
import Glibc

extension Jinja {
    /// `[[fill]align][sign][z][#][0][width][,][.precision][type]`.
    struct FormatSpecification {
        var fill: Unicode.Scalar = " "
        /// `<`, `>`, `^`, `=`; nil for the type's own.
        var alignment: Unicode.Scalar?
        var sign: Unicode.Scalar?
        /// Whether the padding was asked for by a zero before the width, which strings take as an ordinary filling.
        var hasZeroFlag = false
        /// Whether this stands for a `%` conversion, where flags that make no sense are ignored.
        var isPercent = false
        var coercesNegativeZero = false
        var isAlternate = false
        var width = 0
        var grouping: Unicode.Scalar?
        var precision: Int?
        var type: Unicode.Scalar?

        init() {}

        init(parsing spec: Text) throws(TemplateError) {
            let scalars = spec.scalars
            var at = 0
            func peek() -> Unicode.Scalar? { at < scalars.count ? scalars[at] : nil }
            func isAlignment(_ scalar: Unicode.Scalar) -> Bool { scalar == "<" || scalar == ">" || scalar == "^" || scalar == "=" }
            if scalars.count > 1, isAlignment(scalars[1]) {
                (fill, alignment) = (scalars[0], scalars[1])
                at = 2
            } else if let first = peek(), isAlignment(first) {
                alignment = first
                at = 1
            }
            if let next = peek(), next == "+" || next == "-" || next == " " {
                sign = next
                at += 1
            }
            if peek() == "z" {
                coercesNegativeZero = true
                at += 1
            }
            if peek() == "#" {
                isAlternate = true
                at += 1
            }
            if peek() == "0" {
                if alignment == nil { (fill, alignment, hasZeroFlag) = ("0", "=", true) }
                at += 1
            }
            width = try Self.number(scalars, &at) ?? 0
            if let next = peek(), next == "," || next == "_" {
                grouping = next
                at += 1
            }
            if peek() == "." {
                at += 1
                guard let digits = try Self.number(scalars, &at) else { throw .evaluation("Format specifier missing precision") }
                precision = digits
            }
            if at < scalars.count {
                type = scalars[at]
                at += 1
            }
            guard grouping == nil || width <= 1 << 16 else { throw .limit("a grouped number of more than \(1 << 16) digits") }
            guard at == scalars.count else { throw .evaluation("Invalid format specifier '\(spec.string)'") }
        }

        static func number(_ scalars: [Unicode.Scalar], _ at: inout Int) throws(TemplateError) -> Int? {
            let start = at
            var value = 0
            while at < scalars.count, let digit = Character(scalars[at]).wholeNumberValue, scalars[at].isASCII {
                value = value * 10 + digit
                guard value <= Limits.templateOutputBytes else { throw .limit("a width of more than \(Limits.templateOutputBytes)") }
                at += 1
            }
            return at > start ? value : nil
        }

        /// `text`, filled up to the width. `prefix` is the sign or base that `=` puts before the filling.
        func padded(_ text: Text, prefix: String = "", natural: Unicode.Scalar) throws(TemplateError) -> Text {
            let missing = width - text.count - prefix.unicodeScalars.count
            guard missing > 0 else { return Text(prefix) + text }
            guard missing * UTF8.encode(fill)!.count <= Limits.templateOutputBytes else {
                throw .limit("a text of more than \(Limits.templateOutputBytes) bytes")
            }
            func filling(_ count: Int) -> Text { Text(scalars: repeatElement(fill, count: count)) }
            switch alignment ?? natural {
            case "<": return Text(prefix) + text + filling(missing)
            case "^": return filling(missing / 2) + Text(prefix) + text + filling(missing - missing / 2)
            case "=": return Text(prefix) + filling(missing) + text
            default: return filling(missing) + Text(prefix) + text
            }
        }

        func signText(isNegative: Bool) -> String { isNegative ? "-" : sign == nil || sign == "-" ? "" : String(sign!) }

        func grouped(_ digits: String, every size: Int = 3) -> String {
            guard let grouping else { return digits }
            var result = ""
            for (index, character) in digits.enumerated() {
                if index > 0, (digits.count - index) % size == 0 { result.unicodeScalars.append(grouping) }
                result.append(character)
            }
            return result
        }

        func format(_ value: Int) throws(TemplateError) -> Text {
            let prefix: String
            var digits: String
            switch type ?? "d" {
            case "d", "n": (prefix, digits) = ("", grouped(String(value.magnitude)))
            case "x": (prefix, digits) = ("0x", grouped(String(value.magnitude, radix: 16), every: 4))
            case "X": (prefix, digits) = ("0X", grouped(String(value.magnitude, radix: 16, uppercase: true), every: 4))
            case "o": (prefix, digits) = ("0o", grouped(String(value.magnitude, radix: 8), every: 4))
            case "b": (prefix, digits) = ("0b", grouped(String(value.magnitude, radix: 2), every: 4))
            case "c":
                guard let code = UInt32(exactly: value), let scalar = Unicode.Scalar(code) else { throw .evaluation("%c arg not in range(0x110000)") }
                return try padded(Text(scalars: [scalar]), natural: "<")
            case "e", "E", "f", "F", "g", "G", "%": return try format(Double(value))
            case let other: throw .evaluation("Unknown format code '\(other)' for object of type 'int'")
            }
            guard precision == nil else { throw .evaluation("Precision not allowed in integer format specifier") }
            guard !coercesNegativeZero else { throw .evaluation("Negative zero coercion (z) not allowed in format specifier with integer format code") }
            digits = zeroFilled(digits, prefixCount: (isAlternate ? prefix.count : 0) + signText(isNegative: value < 0).count)
            return try padded(Text(digits), prefix: signText(isNegative: value < 0) + (isAlternate ? prefix : ""), natural: ">")
        }

        /// Zeros that fill a width are grouped like other digits.
        private func zeroFilled(_ digits: String, prefixCount: Int) -> String {
            guard grouping == ",", fill == "0", alignment == "=" else { return digits }
            let plain = digits.filter { $0 != "," }
            let wanted = width - prefixCount
            var count = max(plain.count, wanted / 4 * 3)
            while count + (count - 1) / 3 < wanted { count += 1 }
            return grouped(String(repeating: "0", count: count - plain.count) + plain)
        }

        func format(_ value: Double) throws(TemplateError) -> Text {
            var sign = signText(isNegative: value.sign == .minus && !value.isNaN)
            if !value.isFinite {
                let isUpper = type == "F" || type == "E" || type == "G"
                let name = (value.isNaN ? "nan" : "inf") + (type == "%" ? "%" : "")
                return try padded(Text(isUpper ? name.uppercased() : name), prefix: sign, natural: ">")
            }
            var text: String
            switch type {
            case nil:
                if let precision {
                    text = try Self.general(value.magnitude, max(1, precision), keepsPoint: true)
                } else {
                    text = pythonDescription(of: value.magnitude)
                }
            case "f", "F": text = try Self.print(value.magnitude, "f", precision ?? 6, isAlternate)
            case "e", "E", "g", "G", "n":
                let letter = type == "n" ? "g" : String(type!)
                text = try Self.print(value.magnitude, letter, precision ?? 6, isAlternate)
            case "%": text = try Self.print(value.magnitude * 100, "f", precision ?? 6, isAlternate) + "%"
            case let other?: throw .evaluation("Unknown format code '\(other)' for object of type 'float'")
            }
            if coercesNegativeZero, !text.contains(where: { ("1"..."9").contains($0) }) { sign = signText(isNegative: false) }
            if grouping != nil {
                let whole = text.prefix { $0.isNumber }
                text = zeroFilled(grouped(String(whole)), prefixCount: sign.count + text.count - whole.count) + text.dropFirst(whole.count)
            }
            return try padded(Text(text), prefix: sign, natural: ">")
        }

        func format(_ value: Text) throws(TemplateError) -> Text {
            guard type == nil || type == "s" else { throw .evaluation("Unknown format code '\(type!)' for object of type 'str'") }
            guard sign == nil || isPercent else { throw .evaluation("Sign not allowed in string format specifier") }
            guard !isAlternate || isPercent else { throw .evaluation("Alternate form (#) not allowed in string format specifier") }
            guard !coercesNegativeZero else { throw .evaluation("Negative zero coercion (z) not allowed in string format specifier") }
            guard grouping == nil else { throw .evaluation("Cannot specify '\(grouping!)' with 's'.") }
            guard alignment != "=" || hasZeroFlag else { throw .evaluation("'=' alignment not allowed in string format specifier") }
            let shown = precision.map { value.slice(0..<min($0, value.count)) } ?? value
            var spec = self
            if spec.alignment == "=" { spec.alignment = "<" }
            return try spec.padded(shown, natural: "<")
        }

        /// C's rounding and layout, which is correct to the last digit.
        static func print(_ value: Double, _ conversion: String, _ precision: Int, _ isAlternate: Bool = false) throws(TemplateError) -> String {
            guard precision <= 400 else { throw .limit("a precision of more than 400 digits") }
            var buffer = [CChar](repeating: 0, count: 1024)
            let written = withVaList([CInt(precision), value]) {
                vsnprintf(&buffer, buffer.count, isAlternate ? "%#.*\(conversion)" : "%.*\(conversion)", $0)
            }
            return String(decoding: buffer[..<Int(written)].map { UInt8(bitPattern: $0) }, as: UTF8.self)
        }

        /// A float with a precision and no type: like `g`, with a digit behind the point always.
        private static func general(_ value: Double, _ precision: Int, keepsPoint: Bool) throws(TemplateError) -> String {
            let text = try print(value, "g", precision)
            if text.contains("e") || text.contains(".") { return text }
            // `g` drops the point of a whole number; ten digits with precision ten would read as an integer.
            return text.count >= precision ? try print(value, "e", precision - 1).replacingTrailingZeros() : text + ".0"
        }
    }
}

extension String {
    /// Drops the zeros that end the fraction before an exponent.
    fileprivate func replacingTrailingZeros() -> String {
        guard let exponent = firstIndex(of: "e") else { return self }
        var mantissa = self[..<exponent]
        if mantissa.contains(".") {
            while mantissa.last == "0" { mantissa.removeLast() }
            if mantissa.last == "." { mantissa.removeLast() }
        }
        return String(mantissa) + self[exponent...]
    }
}
