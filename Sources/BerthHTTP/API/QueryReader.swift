// The query of a request's target, read like the fields of a body.

import BerthCore

public struct QueryReader: Sendable {
    private var values: [String: String] = [:]

    /// Reads `name=value&…`. The last of equal names counts.
    /// - Throws: 400 where an escape is malformed.
    public init(_ query: Substring) throws(APIError) {
        for part in query.split(separator: "&") {
            let name = part.prefix { $0 != "=" }
            guard let decodedName = Self.decoded(name), let value = Self.decoded(part.dropFirst(name.count).dropFirst()) else {
                throw APIError(.badRequest, "The query of the URL is malformed.")
            }
            values[decodedName] = value
        }
    }

    /// An empty value is an absent one.
    public func string(_ name: String) -> String? { values[name].flatMap { $0.isEmpty ? nil : $0 } }

    public func int(_ name: String, in range: ClosedRange<Int>) throws(APIError) -> Int? {
        guard let text = string(name) else { return nil }
        guard let value = Int(text), range.contains(value) else {
            throw .invalid(name, "must be an integer between \(range.lowerBound) and \(range.upperBound), not \(text.shortened).")
        }
        return value
    }

    public func choice(_ name: String, _ choices: [String]) throws(APIError) -> String? {
        guard let text = string(name) else { return nil }
        guard choices.contains(text) else { throw .invalid(name, "must be one of \(choices.joined(separator: ", ")), not \(text.shortened).") }
        return text
    }

    private static func decoded(_ text: Substring) -> String? { percentDecoded(text.contains("+") ? Substring(text.map { $0 == "+" ? " " : String($0) }.joined()) : text) }
}

/// Text of a target without its escapes; nil where one is malformed, stands for a zero byte, or the result is not UTF-8.
public func percentDecoded(_ text: Substring) -> String? {
    var bytes: [UInt8] = []
    var rest = text.utf8[...]
    while let byte = rest.popFirst() {
        guard byte == UInt8(ascii: "%") else {
            bytes.append(byte)
            continue
        }
        let digits = rest.prefix(2)
        guard digits.count == 2, digits.allSatisfy({ ($0 | 0x20 >= 0x61 && $0 | 0x20 <= 0x66) || ($0 >= 0x30 && $0 <= 0x39) }),
            let value = UInt8(String(decoding: digits, as: UTF8.self), radix: 16), value != 0
        else { return nil }
        bytes.append(value)
        rest = rest.dropFirst(2)
    }
    return String(validating: bytes, as: UTF8.self)
}
