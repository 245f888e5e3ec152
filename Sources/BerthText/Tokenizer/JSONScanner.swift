// A scanner over the bytes of `tokenizer.json` that builds no tree.
//
// The vocabulary and the merges are 99 % of the file. A JSON tree of them would cost a second and 100 MB, and a Swift
// dictionary of strings would unite tokens that Unicode calls equivalent (é as one scalar and as two). So these two are
// read straight into flat tables, and only the small rest goes through `JSON`. The caller keeps the bytes alive.

import BerthCore

/// A position in JSON text. Every method expects to stand at a value (or skips white space to get there).
struct JSONScanner {
    let bytes: UnsafeBufferPointer<UInt8>
    var at: Int

    init(_ bytes: UnsafeBufferPointer<UInt8>, at start: Int = 0) {
        self.bytes = bytes
        at = start
    }

    func error(_ reason: String) -> TextError { TextError(.malformed, "not JSON: \(reason) at byte \(at)") }

    @inline(__always)
    mutating func skipSpace() {
        while at < bytes.count, bytes[at] == 0x20 || bytes[at] == 0x0A || bytes[at] == 0x0D || bytes[at] == 0x09 { at += 1 }
    }

    /// The next byte that is no white space, not consumed.
    @inline(__always)
    mutating func peek() throws(TextError) -> UInt8 {
        skipSpace()
        guard at < bytes.count else { throw error("unexpected end") }
        return bytes[at]
    }

    @inline(__always)
    mutating func expect(_ byte: UInt8) throws(TextError) {
        guard try peek() == byte else { throw error("expected '\(Unicode.Scalar(byte))'") }
        at += 1
    }

    /// Consumes what stands between two elements. True when the list or object ended.
    @inline(__always)
    mutating func endsList(with closing: UInt8) throws(TextError) -> Bool {
        let byte = try peek()
        guard byte == closing || byte == UInt8(ascii: ",") else { throw error("expected ',' or '\(Unicode.Scalar(closing))'") }
        at += 1
        return byte == closing
    }

    /// Consumes `opening` and, when the list or object is empty, its end too (then the result is true).
    mutating func opensEmpty(_ opening: UInt8, _ closing: UInt8) throws(TextError) -> Bool {
        try expect(opening)
        guard try peek() == closing else { return false }
        at += 1
        return true
    }

    /// Passes over one value and returns where it stood. Checks nesting and strings only: whoever reads the value checks the rest.
    mutating func skipValue() throws(TextError) -> Range<Int> {
        _ = try peek()
        let start = at
        var depth = 0
        repeat {
            switch try peek() {
            case UInt8(ascii: "{"), UInt8(ascii: "["):
                depth += 1
                guard depth <= Limits.jsonDepth else { throw error("nested deeper than \(Limits.jsonDepth) levels") }
                at += 1
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                guard depth > 0 else { throw error("unexpected end of a list") }
                depth -= 1
                at += 1
            case UInt8(ascii: "\""): try skipString()
            case UInt8(ascii: ","), UInt8(ascii: ":"):
                guard depth > 0 else { throw error("expected a value") }
                at += 1
            default:
                let token = at
                while at < bytes.count, Self.isWordByte(bytes[at]) { at += 1 }
                guard at > token else { throw error("unexpected character") }
            }
        } while depth > 0
        return start..<at
    }

    private static func isWordByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
            UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: "."): true
        default: false
        }
    }

    private mutating func skipString() throws(TextError) {
        at += 1
        while at < bytes.count {
            let byte = bytes[at]
            if byte == UInt8(ascii: "\"") {
                at += 1
                return
            }
            at += byte == UInt8(ascii: "\\") ? 2 : 1
        }
        at = bytes.count
        throw error("a string without end")
    }

    /// Calls `body` with the key of each member of the object here, in order. `body` consumes the value.
    mutating func forEachMember(_ body: (_ key: String, inout JSONScanner) throws(TextError) -> Void) throws(TextError) {
        guard try !opensEmpty(UInt8(ascii: "{"), UInt8(ascii: "}")) else { return }
        repeat {
            var key: [UInt8] = []
            try string(into: &key)
            try expect(UInt8(ascii: ":"))
            try body(String(decoding: key, as: UTF8.self), &self)
        } while try !endsList(with: UInt8(ascii: "}"))
    }

    /// Appends the string here to `buffer`, as UTF-8.
    mutating func string(into buffer: inout [UInt8]) throws(TextError) {
        guard try peek() == UInt8(ascii: "\"") else { throw error("expected a string") }
        at += 1
        var start = at
        while at < bytes.count {
            let byte = bytes[at]
            switch byte {
            case UInt8(ascii: "\""):
                buffer.append(contentsOf: UnsafeBufferPointer(rebasing: bytes[start..<at]))
                at += 1
                return
            case UInt8(ascii: "\\"):
                buffer.append(contentsOf: UnsafeBufferPointer(rebasing: bytes[start..<at]))
                at += 1
                try escape(into: &buffer)
                start = at
            case 0..<0x20: throw error("a control character in a string")
            case 0x80...:
                guard case .scalar(let length) = UTF8Step(bytes, at: at) else { throw error("invalid UTF-8") }
                at += length
            default: at += 1
            }
        }
        throw error("a string without end")
    }

    private mutating func escape(into buffer: inout [UInt8]) throws(TextError) {
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
            var value = try hexadecimal()
            if value >> 10 == 0xD800 >> 10, at + 1 < bytes.count, bytes[at] == UInt8(ascii: "\\"), bytes[at + 1] == UInt8(ascii: "u") {
                at += 2
                let low = try hexadecimal()
                guard low >> 10 == 0xDC00 >> 10 else { throw error("an unpaired surrogate") }
                value = 0x10000 + (value - 0xD800) << 10 + (low - 0xDC00)
            }
            guard let scalar = Unicode.Scalar(value) else { throw error("an unpaired surrogate") }
            buffer.append(contentsOf: UTF8.encode(scalar)!)
        default: throw error("an unknown escape")
        }
    }

    private mutating func hexadecimal() throws(TextError) -> UInt32 {
        guard at + 4 <= bytes.count else { throw error("an unfinished \\u escape") }
        var value: UInt32 = 0
        for index in at..<at + 4 {
            guard let digit = hexadecimalDigit(bytes[index]) else { throw error("an unfinished \\u escape") }
            value = value << 4 | UInt32(digit)
        }
        at += 4
        return value
    }

    /// A decimal integer here, with at most ten digits; nil where the value is anything else.
    mutating func smallInteger() throws(TextError) -> Int? {
        _ = try peek()
        let isNegative = bytes[at] == UInt8(ascii: "-")
        if isNegative { at += 1 }
        let start = at
        var value = 0
        while at < bytes.count, at - start <= 10, bytes[at] >= UInt8(ascii: "0"), bytes[at] <= UInt8(ascii: "9") {
            value = value * 10 + Int(bytes[at] - UInt8(ascii: "0"))
            at += 1
        }
        guard at > start, at - start <= 10, at >= bytes.count || !Self.isWordByte(bytes[at]) else { return nil }
        return isNegative ? -value : value
    }
}

/// The value of an ASCII hexadecimal digit.
func hexadecimalDigit(_ byte: UInt8) -> UInt8? {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
    case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
    case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
    default: nil
    }
}
