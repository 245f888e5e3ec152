// Reading a request body field by field, with an error that names the field where its type or range is wrong.
//
// Absent and null are the same; unknown fields are never looked at.

import BerthCore
import OrderedCollections

/// How many tokens a request wants at most.
public enum TokenLimit: Sendable, Equatable {
    case atMost(Int)
    /// As many as the context has room for.
    case unlimited
}

struct FieldReader {
    let members: OrderedDictionary<String, JSON>

    /// - Throws: 400 where the body is no JSON object.
    init(body: [UInt8]) throws(APIError) {
        let json: JSON
        do {
            json = try JSON(parsing: body)
        } catch {
            throw APIError(.badRequest, "The body is not valid JSON: \(error).", code: "invalid_json")
        }
        guard let members = json.object else { throw APIError(.badRequest, "The body must be a JSON object, not \(json.kind).") }
        self.members = members
    }

    init(members: OrderedDictionary<String, JSON>) { self.members = members }

    func value(_ key: String) -> JSON? {
        guard let value = members[key], !value.isNull else { return nil }
        return value
    }

    func required(_ key: String) throws(APIError) -> JSON {
        guard let value = value(key) else { throw .invalid(key, "is required.", code: "missing_required_parameter") }
        return value
    }

    func string(_ key: String) throws(APIError) -> String? {
        guard let value = value(key) else { return nil }
        guard let text = value.string else { throw .wrongType(key, "a string", value) }
        return text
    }

    func bool(_ key: String) throws(APIError) -> Bool? {
        guard let value = value(key) else { return nil }
        guard let flag = value.bool else { throw .wrongType(key, "a boolean", value) }
        return flag
    }

    func int(_ key: String, in range: ClosedRange<Int>) throws(APIError) -> Int? {
        guard let value = value(key) else { return nil }
        return try Self.int(value, key, in: range)
    }

    func number(_ key: String, in range: ClosedRange<Double>) throws(APIError) -> Float? {
        guard let value = value(key) else { return nil }
        guard let number = value.double else { throw .wrongType(key, "a number", value) }
        guard range.contains(number) else {
            throw .invalid(key, "must be at least \(text(range.lowerBound)) and at most \(text(range.upperBound)), not \(value.text).")
        }
        return Float(number)
    }

    /// How many tokens to generate at most. -1 is how several clients say "no limit".
    func tokenLimit(_ key: String, least: Int = 1) throws(APIError) -> TokenLimit? {
        guard let value = value(key) else { return nil }
        if value == -1 { return .unlimited }
        return .atMost(try Self.int(value, key, in: least...Int.max))
    }

    func object(_ key: String) throws(APIError) -> OrderedDictionary<String, JSON>? {
        guard let value = value(key) else { return nil }
        guard let members = value.object else { throw .wrongType(key, "an object", value) }
        return members
    }

    func array(_ key: String) throws(APIError) -> [JSON]? {
        guard let value = value(key) else { return nil }
        guard let elements = value.array else { throw .wrongType(key, "an array", value) }
        return elements
    }

    /// Token ids; whether they are inside the vocabulary is the tokenizer's to say.
    static func tokens(_ elements: [JSON], _ key: String) throws(APIError) -> [Int32] {
        var tokens: [Int32] = []
        tokens.reserveCapacity(elements.count)
        for element in elements { tokens.append(Int32(try int(element, key, in: 0...Int(Int32.max)))) }
        return tokens
    }

    static func int(_ value: JSON, _ key: String, in range: ClosedRange<Int>) throws(APIError) -> Int {
        guard value.double != nil else { throw .wrongType(key, "an integer", value) }
        guard let int = value.int else {
            // A number beyond 64 bits is out of range; a fraction is of the wrong type.
            if let number = value.double, number.rounded() == number { throw .outOfRange(key, range, value) }
            throw .invalid(key, "must be an integer, not \(value.text).")
        }
        guard range.contains(int) else { throw .outOfRange(key, range, value) }
        return int
    }

    private func text(_ bound: Double) -> String { Int(exactly: bound).map(String.init) ?? String(bound) }
}

extension APIError {
    static func wrongType(_ parameter: String, _ wanted: String, _ value: JSON) -> APIError {
        .invalid(parameter, "must be \(wanted), not \(value.kind).")
    }

    fileprivate static func outOfRange(_ parameter: String, _ range: ClosedRange<Int>, _ value: JSON) -> APIError {
        let bounds = range.upperBound == Int.max && range.lowerBound > Int.min ? "at least \(range.lowerBound)" : "between \(range.lowerBound) and \(range.upperBound)"
        return .invalid(parameter, "must be \(bounds), not \(value.text).")
    }
}
