// What can be wrong with a tokenizer, and the helper that names the place.
//
// A tokenizer comes from the world (somebody's checkpoint), so everything wrong with it is a `TextError` whose message
// names the file's own path to the fault: `pre_tokenizer.pretokenizers[0].pattern: …`. Encoding and decoding never fail.

import BerthCore

/// Why a tokenizer cannot be loaded.
public struct TextError: Error, Sendable, Equatable, CustomStringConvertible {
    public enum Code: String, Sendable {
        /// A file is missing or cannot be read.
        case unreadable
        /// Not JSON, or a field of the wrong type.
        case malformed
        /// A component or an option that this implementation does not have.
        case unsupported
        /// Parts that contradict each other, such as a merge of tokens that do not exist.
        case inconsistent
        /// Past one of the bounds in `Limits`.
        case tooLarge
    }

    public let code: Code
    public let message: String

    init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    public var description: String { message }

    /// The same error with `place` in front of its message.
    func at(_ place: String) -> TextError { TextError(code, "\(place): \(message)") }
}

/// Reads the fields of one component of `tokenizer.json`; every error carries the component's path.
struct ComponentReader {
    let json: JSON
    let path: String

    init(_ json: JSON, _ path: String) throws(TextError) {
        guard case .object = json else { throw TextError(.malformed, "\(path): expected an object, found \(json.kind)") }
        self.json = json
        self.path = path
    }

    /// The field, or nil where it is absent or null.
    func value(_ key: String) -> JSON? {
        guard let value = json[key], !value.isNull else { return nil }
        return value
    }

    func error(_ code: TextError.Code, _ key: String, _ message: String) -> TextError {
        TextError(code, "\(path).\(key): \(message)")
    }

    func wrongType(_ key: String, _ expected: String) -> TextError {
        error(.malformed, key, "expected \(expected), found \(value(key)?.kind ?? "nothing")")
    }

    func string(_ key: String) throws(TextError) -> String {
        guard let text = value(key)?.string else { throw wrongType(key, "a string") }
        return text
    }

    func string(_ key: String, default fallback: String) throws(TextError) -> String {
        value(key) == nil ? fallback : try string(key)
    }

    func bool(_ key: String) throws(TextError) -> Bool {
        guard let flag = value(key)?.bool else { throw wrongType(key, "true or false") }
        return flag
    }

    func bool(_ key: String, default fallback: Bool) throws(TextError) -> Bool {
        value(key) == nil ? fallback : try bool(key)
    }

    /// An integer in `range`.
    func int(_ key: String, in range: ClosedRange<Int>) throws(TextError) -> Int {
        guard let number = value(key)?.int else { throw wrongType(key, "an integer") }
        guard range.contains(number) else { throw error(.malformed, key, "\(number) is outside \(range.lowerBound)…\(range.upperBound)") }
        return number
    }

    /// A string of exactly one Unicode scalar.
    func scalar(_ key: String) throws(TextError) -> Unicode.Scalar {
        let scalars = try string(key).unicodeScalars
        guard let first = scalars.first, scalars.count == 1 else { throw error(.malformed, key, "expected one character") }
        return first
    }

    func array(_ key: String) throws(TextError) -> [JSON] {
        guard let list = value(key)?.array else { throw wrongType(key, "a list") }
        return list
    }

    /// The readers of a list of components, each with its own path.
    func components(_ key: String) throws(TextError) -> [ComponentReader] {
        var readers: [ComponentReader] = []
        for (index, element) in try array(key).enumerated() {
            readers.append(try ComponentReader(element, "\(path).\(key)[\(index)]"))
        }
        return readers
    }

    /// `{"String": "…"}` or `{"Regex": "…"}`.
    func pattern(_ key: String) throws(TextError) -> TextPattern {
        let reader = try ComponentReader(value(key) ?? .null, "\(path).\(key)")
        if reader.value("String") != nil {
            return try TextPattern(literal: try reader.string("String"), at: reader.path)
        }
        if reader.value("Regex") != nil {
            return try TextPattern(oniguruma: try reader.string("Regex"), at: reader.path)
        }
        throw error(.malformed, key, "expected a String or a Regex")
    }
}
