// Bytes to JSON values, strictly after RFC 8259: no comments, no trailing commas, no NaN, valid UTF-8 only.
//
// Where the standard leaves room: the last of several equal keys wins (as in Python) unless the caller refuses them, an unpaired surrogate escape
// becomes U+FFFD (clients that cut UTF-16 strings send them), and nesting is bounded by `Limits.jsonDepth`.
// One pass over the bytes, in time linear in their number.

import OrderedCollections

/// Why bytes are not a JSON document, and where.
public struct JSONError: Error, Equatable, Sendable, CustomStringConvertible {
    public let reason: String
    /// The byte at which parsing stopped.
    public let offset: Int
    public var description: String { "\(reason) at byte \(offset)" }
}

extension JSON {
    /// What to do with an object that has a key twice.
    public enum DuplicateKeys: Sendable { case lastWins, refused }

    /// Parses one whole document.
    public init(parsing bytes: UnsafeBufferPointer<UInt8>, duplicateKeys: DuplicateKeys = .lastWins) throws(JSONError) {
        var parser = JSONParser(bytes: bytes)
        parser.refusesDuplicates = duplicateKeys == .refused
        self = try parser.document()
    }

    /// Parses one whole document.
    public init(parsing bytes: [UInt8], duplicateKeys: DuplicateKeys = .lastWins) throws(JSONError) {
        let result: Result<JSON, JSONError> = bytes.withUnsafeBufferPointer { buffer in
            Result { () throws(JSONError) in try JSON(parsing: buffer, duplicateKeys: duplicateKeys) }
        }
        self = try result.get()
    }

    /// Parses one whole document.
    public init(parsing text: String) throws(JSONError) { try self.init(parsing: Array(text.utf8)) }
}

private struct JSONParser {
    let bytes: UnsafeBufferPointer<UInt8>
    var at = 0
    var depth = 0
    var refusesDuplicates = false

    init(bytes: UnsafeBufferPointer<UInt8>) { self.bytes = bytes }

    mutating func document() throws(JSONError) -> JSON {
        let result = try value()
        skipSpace()
        guard at == bytes.count else { throw error("text after the end of the document") }
        return result
    }

    func error(_ reason: String) -> JSONError { JSONError(reason: reason, offset: at) }

    mutating func skipSpace() {
        while at < bytes.count {
            switch bytes[at] {
            case 0x20, 0x09, 0x0A, 0x0D: at += 1
            default: return
            }
        }
    }

    mutating func value() throws(JSONError) -> JSON {
        skipSpace()
        guard at < bytes.count else { throw error("unexpected end of the document") }
        switch bytes[at] {
        case UInt8(ascii: "{"): return try object()
        case UInt8(ascii: "["): return try array()
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try word("true", .bool(true))
        case UInt8(ascii: "f"): return try word("false", .bool(false))
        case UInt8(ascii: "n"): return try word("null", .null)
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return try number()
        default: throw error("unexpected character")
        }
    }

    mutating func word(_ text: StaticString, _ value: JSON) throws(JSONError) -> JSON {
        let count = text.utf8CodeUnitCount
        guard at + count <= bytes.count else { throw error("unexpected end of the document") }
        for index in 0..<count where bytes[at + index] != text.utf8Start[index] { throw error("unexpected character") }
        at += count
        return value
    }

    mutating func enter() throws(JSONError) {
        depth += 1
        guard depth <= Limits.jsonDepth else { throw error("nested deeper than \(Limits.jsonDepth) levels") }
        at += 1
        skipSpace()
    }

    mutating func object() throws(JSONError) -> JSON {
        try enter()
        defer { depth -= 1 }
        var members = OrderedDictionary<String, JSON>()
        if at < bytes.count, bytes[at] == UInt8(ascii: "}") {
            at += 1
            return .object(members)
        }
        while true {
            skipSpace()
            guard at < bytes.count, bytes[at] == UInt8(ascii: "\"") else { throw error("expected a key") }
            let key = try string()
            skipSpace()
            guard at < bytes.count, bytes[at] == UInt8(ascii: ":") else { throw error("expected ':'") }
            at += 1
            if refusesDuplicates, members.keys.contains(key) { throw error("the key '\(key)' a second time") }
            members[key] = try value()
            if try endOfElement(closing: UInt8(ascii: "}")) { return .object(members) }
        }
    }

    mutating func array() throws(JSONError) -> JSON {
        try enter()
        defer { depth -= 1 }
        var elements: [JSON] = []
        if at < bytes.count, bytes[at] == UInt8(ascii: "]") {
            at += 1
            return .array(elements)
        }
        while true {
            elements.append(try value())
            if try endOfElement(closing: UInt8(ascii: "]")) { return .array(elements) }
        }
    }

    mutating func endOfElement(closing: UInt8) throws(JSONError) -> Bool {
        skipSpace()
        guard at < bytes.count else { throw error("unexpected end of the document") }
        let byte = bytes[at]
        guard byte == closing || byte == UInt8(ascii: ",") else { throw error("expected ',' or the end of the list") }
        at += 1
        return byte == closing
    }

    mutating func number() throws(JSONError) -> JSON {
        let start = at
        var isInteger = true
        if bytes[at] == UInt8(ascii: "-") { at += 1 }
        let firstDigit = at
        try digits()
        if bytes[firstDigit] == UInt8(ascii: "0"), at > firstDigit + 1 { throw error("a number with a leading zero") }
        if at < bytes.count, bytes[at] == UInt8(ascii: ".") {
            isInteger = false
            at += 1
            try digits()
        }
        if at < bytes.count, bytes[at] | 0x20 == UInt8(ascii: "e") {
            isInteger = false
            at += 1
            if at < bytes.count, bytes[at] == UInt8(ascii: "+") || bytes[at] == UInt8(ascii: "-") { at += 1 }
            try digits()
        }
        let text = String(decoding: bytes[start..<at], as: UTF8.self)
        if isInteger, let value = Int64(text) { return .integer(value) }
        guard let value = Double(text), value.isFinite else { throw error("a number out of range") }
        return .number(value)
    }

    mutating func digits() throws(JSONError) {
        let start = at
        while at < bytes.count, bytes[at] >= UInt8(ascii: "0"), bytes[at] <= UInt8(ascii: "9") { at += 1 }
        guard at > start else { throw error("expected a digit") }
    }

    mutating func string() throws(JSONError) -> String {
        at += 1
        let start = at
        var isASCII = true
        while at < bytes.count {
            let byte = bytes[at]
            if byte == UInt8(ascii: "\"") {
                let text = try utf8(start..<at, isASCII: isASCII)
                at += 1
                return text
            }
            if byte == UInt8(ascii: "\\") { return try escapedString(from: start) }
            guard byte >= 0x20 else { throw error("a control character in a string") }
            if byte >= 0x80 { isASCII = false }
            at += 1
        }
        throw error("a string without end")
    }

    func utf8(_ range: Range<Int>, isASCII: Bool) throws(JSONError) -> String {
        let slice = UnsafeBufferPointer(rebasing: bytes[range])
        if isASCII { return String(decoding: slice, as: UTF8.self) }
        guard let text = String(validating: slice, as: UTF8.self) else {
            throw JSONError(reason: "a string that is not valid UTF-8", offset: range.lowerBound)
        }
        return text
    }

    /// A string with at least one escape, whose bytes from `start` up to here need none.
    mutating func escapedString(from start: Int) throws(JSONError) -> String {
        var buffer = Array(bytes[start..<at])
        while at < bytes.count {
            let byte = bytes[at]
            switch byte {
            case UInt8(ascii: "\""):
                guard let text = String(validating: buffer, as: UTF8.self) else {
                    throw JSONError(reason: "a string that is not valid UTF-8", offset: start)
                }
                at += 1
                return text
            case UInt8(ascii: "\\"):
                at += 1
                try escape(into: &buffer)
            case 0..<0x20: throw error("a control character in a string")
            default:
                buffer.append(byte)
                at += 1
            }
        }
        throw error("a string without end")
    }

    mutating func escape(into buffer: inout [UInt8]) throws(JSONError) {
        guard at < bytes.count else { throw error("a string without end") }
        let byte = bytes[at]
        at += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): buffer.append(byte)
        case UInt8(ascii: "b"): buffer.append(0x08)
        case UInt8(ascii: "f"): buffer.append(0x0C)
        case UInt8(ascii: "n"): buffer.append(0x0A)
        case UInt8(ascii: "r"): buffer.append(0x0D)
        case UInt8(ascii: "t"): buffer.append(0x09)
        case UInt8(ascii: "u"):
            let unit = try hexadecimal()
            var scalar = Unicode.Scalar(unit) ?? "\u{FFFD}"
            if unit >> 10 == 0xD800 >> 10, at + 1 < bytes.count, bytes[at] == UInt8(ascii: "\\"), bytes[at + 1] == UInt8(ascii: "u") {
                let resume = at
                at += 2
                let low = try hexadecimal()
                if low >> 10 == 0xDC00 >> 10 {
                    scalar = Unicode.Scalar(0x10000 + (unit - 0xD800) << 10 + (low - 0xDC00)) ?? "\u{FFFD}"
                } else {
                    at = resume
                }
            }
            buffer.append(contentsOf: UTF8.encode(scalar)!)
        default: throw error("an unknown escape")
        }
    }

    mutating func hexadecimal() throws(JSONError) -> UInt32 {
        guard at + 4 <= bytes.count else { throw error("an unfinished \\u escape") }
        var value: UInt32 = 0
        for index in at..<at + 4 {
            guard let digit = Character(Unicode.Scalar(bytes[index])).hexDigitValue, bytes[index] < 0x80 else {
                throw error("an unfinished \\u escape")
            }
            value = value << 4 | UInt32(digit)
        }
        at += 4
        return value
    }
}
