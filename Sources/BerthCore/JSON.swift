// A JSON value that keeps the order of its keys.
//
// Configuration files, tokenizers, wire bodies and the values inside a chat template are all of this type. Foundation's
// parser loses the order of keys (a chat template's `tojson` must keep it), accepts unbounded nesting and is too slow for
// a tokenizer of 10 MB at start, hence our own (JSONParser.swift, JSONWriter.swift). Immutable; safe to share.

import OrderedCollections

/// A JSON document or a part of one.
public enum JSON: Sendable, Hashable {
    case null
    case bool(Bool)
    /// A number written without fraction and exponent that fits 64 bits.
    case integer(Int64)
    case number(Double)
    case string(String)
    case array([JSON])
    case object(OrderedDictionary<String, JSON>)
}

extension JSON {
    /// The member `key` of an object; nil where this is no object or has no such member.
    public subscript(key: String) -> JSON? {
        if case .object(let members) = self { return members[key] }
        return nil
    }

    public var isNull: Bool { self == .null }

    public var string: String? {
        if case .string(let value) = self { return value }
        return nil
    }

    public var bool: Bool? {
        if case .bool(let value) = self { return value }
        return nil
    }

    /// The value as an integer: `3` and `3.0` are, `3.5` and `1e30` are not.
    public var int: Int? {
        switch self {
        case .integer(let value): Int(value)
        case .number(let value): Int(exactly: value)
        default: nil
        }
    }

    public var double: Double? {
        switch self {
        case .integer(let value): Double(value)
        case .number(let value): value
        default: nil
        }
    }

    public var array: [JSON]? {
        if case .array(let elements) = self { return elements }
        return nil
    }

    public var object: OrderedDictionary<String, JSON>? {
        if case .object(let members) = self { return members }
        return nil
    }

    /// What the value is, as an error message names it.
    public var kind: String {
        switch self {
        case .null: "null"
        case .bool: "a boolean"
        case .integer, .number: "a number"
        case .string: "a string"
        case .array: "an array"
        case .object: "an object"
        }
    }
}

extension JSON: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByBooleanLiteral,
    ExpressibleByFloatLiteral, ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral, ExpressibleByNilLiteral
{
    public init(stringLiteral value: String) { self = .string(value) }
    public init(integerLiteral value: Int64) { self = .integer(value) }
    public init(booleanLiteral value: Bool) { self = .bool(value) }
    public init(floatLiteral value: Double) { self = .number(value) }
    public init(arrayLiteral elements: JSON...) { self = .array(elements) }
    public init(nilLiteral: ()) { self = .null }
    public init(dictionaryLiteral elements: (String, JSON)...) { self.init(members: elements) }

    /// An object of these members, in their order; of two with one name the later holds.
    public init(members: some Sequence<(String, JSON)>) { self = .object(OrderedDictionary(members, uniquingKeysWith: { $1 })) }

    /// The same of those that have a value.
    public init(fields: [(String, JSON?)]) { self.init(members: fields.compactMap { name, value in value.map { (name, $0) } }) }

    public init(_ value: Int) { self = .integer(Int64(value)) }
}
