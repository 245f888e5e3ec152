// Filters to and over numbers, and the ones that are about neither text nor sequences.

import BerthCore
import Glibc

extension Jinja.Filters {
    static let fallback: FilterFunction = { (_, value, arguments) throws(TemplateError) in
        let bound = try arguments.bind("default", ["default_value", "boolean"])
        let isMissing = value.isUndefined || (bound[1]?.isTrue ?? false && !value.isTrue)
        return isMissing ? bound[0] ?? .string(Text()) : value
    }

    static let attribute: FilterFunction = { (rendering, value, arguments) throws(TemplateError) in
        let name = try arguments.bind("attr", ["name"], required: 1)[0]!.string("attr")
        let attribute = Jinja.Attribute(name.string)
        // Attributes only: a dictionary's keys are none.
        if case .dictionary = value, rendering.method(of: value, named: attribute.name) == nil {
            return .undefined("'\(value.description)' has no attribute '\(attribute.name)'")
        }
        return try rendering.attribute(attribute, of: value)
    }

    static let abs: FilterFunction = { (rendering, value, arguments) throws(TemplateError) in
        _ = try arguments.list("abs", 0, 0)
        if let integer = value.integer { return integer < 0 ? try rendering.negative(value) : .int(integer) }
        guard case .float(let number) = value else {
            if case .undefined(let missing) = value { throw missing.error }
            throw .evaluation("bad operand type for abs(): '\(value.typeName)'")
        }
        return .float(number.magnitude)
    }

    static let integer: FilterFunction = { (rendering, value, arguments) throws(TemplateError) in
        let bound = try arguments.bind("int", ["default", "base"])
        let fallback = bound[0] ?? .int(0)
        switch value {
        case .undefined(let missing): throw missing.error
        case .int, .bool: return .int(value.integer!)
        case .float(let number): return number.isNaN ? fallback : .int(try rendering.truncated(number))
        case .string(let text), .markup(let text):
            if let integer = try parseInteger(text, base: try bound[1]?.index("int") ?? 10) { return .int(integer) }
            guard let number = parseFloat(text), number.isFinite else { return fallback }
            return .int(try rendering.truncated(number))
        default: return fallback
        }
    }

    static let float: FilterFunction = { (_, value, arguments) throws(TemplateError) in
        let fallback = try arguments.bind("float", ["default"])[0] ?? .float(0)
        if case .undefined(let missing) = value { throw missing.error }
        if let number = value.number { return .float(number) }
        return value.text.flatMap { parseFloat($0) }.map { .float($0) } ?? fallback
    }

    /// `int(text, base)`; nil where Python raises ValueError.
    private static func parseInteger(_ text: Text, base: Int) throws(TemplateError) -> Int? {
        guard base == 0 || (2...36).contains(base) else { return nil }
        var digits = Array(text.stripped().scalars)
        var isNegative = false
        if let sign = digits.first, sign == "-" || sign == "+" {
            isNegative = sign == "-"
            digits.removeFirst()
        }
        var base = base
        if digits.count > 1, digits[0] == "0", let letter = digits[1].properties.lowercaseMapping.unicodeScalars.first {
            let prefixes: [Unicode.Scalar: Int] = ["x": 16, "o": 8, "b": 2]
            if let implied = prefixes[letter], base == 0 || base == implied {
                base = implied
                digits.removeFirst(2)
                if digits.first == "_" { digits.removeFirst() }
            }
        }
        if base == 0 {
            base = 10
            if digits.first == "0", digits.contains(where: { $0 != "0" && $0 != "_" }) { return nil }
        }
        var value = 0
        var isAfterDigit = false
        for scalar in digits {
            if scalar == "_", isAfterDigit {
                isAfterDigit = false
                continue
            }
            let digit = Character(scalar).hexDigitValue ?? Character(scalar).wholeNumberValue ?? letterValue(scalar)
            guard let digit, digit < base else { return nil }
            let (scaled, overflow) = value.multipliedReportingOverflow(by: base)
            let (sum, carry) = isNegative ? scaled.subtractingReportingOverflow(digit) : scaled.addingReportingOverflow(digit)
            guard !overflow, !carry else { throw Rendering.overflow }
            value = sum
            isAfterDigit = true
        }
        return isAfterDigit ? value : nil
    }

    private static func letterValue(_ scalar: Unicode.Scalar) -> Int? {
        switch scalar {
        case "a"..."z": Int(scalar.value) - 87
        case "A"..."Z": Int(scalar.value) - 55
        default: nil
        }
    }

    /// `float(text)`; nil where Python raises ValueError.
    private static func parseFloat(_ text: Text) -> Double? {
        let bytes = text.stripped().bytes
        var plain: [UInt8] = []
        for (index, byte) in bytes.enumerated() {
            guard byte == UInt8(ascii: "_") else {
                plain.append(byte)
                continue
            }
            func isDigit(_ index: Int) -> Bool { bytes.indices.contains(index) && bytes[index] >= 0x30 && bytes[index] <= 0x39 }
            guard isDigit(index - 1), isDigit(index + 1) else { return nil }
        }
        let string = String(decoding: plain, as: UTF8.self)
        let bare = string.lowercased().drop { $0 == "+" || $0 == "-" }
        if ["inf", "infinity", "nan"].contains(String(bare)), string.count - bare.count <= 1 {
            let magnitude: Double = bare == "nan" ? .nan : .infinity
            return string.hasPrefix("-") ? -magnitude : magnitude
        }
        // Swift reads hexadecimal and words that Python does not.
        guard plain.allSatisfy({ ($0 >= 0x30 && $0 <= 0x39) || "+-.eE".utf8.contains($0) }) else { return nil }
        if let number = Double(string) { return number }
        if string.hasSuffix(".") { return Double(string + "0") }
        if bare.hasPrefix(".") { return Double((string.hasPrefix("-") ? "-0" : "0") + bare) }
        if let range = string.firstRange(of: ".e") ?? string.firstRange(of: ".E") { return Double(string.replacing(at: range, with: ".0e")) }
        return nil
    }

    static let round: FilterFunction = { (rendering, value, arguments) throws(TemplateError) in
        let bound = try arguments.bind("round", ["precision", "method"])
        let precision = try bound[0]?.index("round") ?? 0
        let method = bound[1]?.text ?? "common"
        if case .undefined(let missing) = value { throw missing.error }
        guard value.number != nil else { throw .evaluation("type \(value.typeName) doesn't define __round__ method") }
        guard Swift.abs(precision) <= 300 else { throw .limit("rounding to more than 300 digits") }
        switch method {
        case "common":
            if let integer = value.integer { return try rounded(integer, to: precision) }
            return .float(try rounded(value.number!, to: precision))
        case "ceil", "floor":
            let scale = try rendering.apply(.power, .int(10), .int(precision))
            let scaled = try rendering.apply(.multiply, value, scale)
            let whole = method == "ceil" ? scaled.number!.rounded(.up) : scaled.number!.rounded(.down)
            return try rendering.apply(.divide, scaled.integer == nil ? .float(whole) : scaled, scale)
        default: throw .evaluation("method must be common, ceil or floor")
        }
    }

    /// Half to even, as all of Python's rounding.
    private static func rounded(_ value: Int, to precision: Int) throws(TemplateError) -> Value {
        guard precision < 0 else { return .int(value) }
        guard precision > -19 else { return .int(0) }
        var unit: UInt = 1
        for _ in 0..<(-precision) { unit *= 10 }
        let (quotient, rest) = value.magnitude.quotientAndRemainder(dividingBy: unit)
        let goesUp = rest > unit - rest || (rest == unit - rest && quotient % 2 == 1)
        let magnitude = (quotient + (goesUp ? 1 : 0)) * unit
        guard magnitude <= UInt(Int.max) else { throw Rendering.overflow }
        return .int(value < 0 ? -Int(magnitude) : Int(magnitude))
    }

    private static func rounded(_ value: Double, to precision: Int) throws(TemplateError) -> Double {
        guard value.isFinite, value.magnitude < 1e22 || precision < 0 else { return value }
        if precision >= 0 { return Double(try Jinja.FormatSpecification.print(value, "f", precision)) ?? value }
        let unit = pow(10, Double(-precision))
        let quotient = (value / unit).rounded(.toNearestOrEven)
        return quotient == 0 ? copysign(0, value) : quotient * unit
    }

    static let fileSize: FilterFunction = { (rendering, value, arguments) throws(TemplateError) in
        let isBinary = try arguments.bind("filesizeformat", ["binary"])[0]?.isTrue ?? false
        guard let bytes = value.number ?? value.text.flatMap({ parseFloat($0) }) else {
            throw .evaluation("filesizeformat() needs a number, not '\(value.typeName)'")
        }
        let base: Double = isBinary ? 1024 : 1000
        if bytes == 1 { return .string("1 Byte") }
        if bytes < base { return .string("\(try rendering.truncated(bytes)) Bytes") }
        var unit = base
        for (index, letter) in ["k", "M", "G", "T", "P", "E", "Z", "Y"].enumerated() {
            unit *= base
            guard bytes < unit || letter == "Y" else { continue }
            let prefix = isBinary ? (index == 0 ? "Ki" : letter + "i") : letter
            return .string(try Jinja.FormatSpecification.print(base * bytes / unit, "f", 1) + " \(prefix)B")
        }
        return .none
    }
}

extension String {
    fileprivate func firstRange(of part: String) -> Range<Index>? {
        var start = startIndex
        while start < endIndex {
            if self[start...].hasPrefix(part) { return start..<index(start, offsetBy: part.count) }
            start = index(after: start)
        }
        return nil
    }

    fileprivate func replacing(at range: Range<Index>, with text: String) -> String { self[..<range.lowerBound] + text + self[range.upperBound...] }
}
