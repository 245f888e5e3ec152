// Typed, bounded access to the fields of a `config.json`.
//
// Every number of a configuration becomes the size of something, so each is read with its bounds and refused by name
// outside them. Absent keys and JSON null are the same thing (transformers writes null for "derive it").

import BerthCore

/// One object of a configuration and where it stands in the file, for messages.
struct ConfigurationReader {
    let object: JSON
    /// "config.json" or "config.json: rope_parameters".
    let place: String

    init(_ object: JSON, place: String = "config.json") {
        self.object = object
        self.place = place
    }

    /// The value under the first of `keys` that is present and not null.
    func value(_ keys: String...) -> JSON? { value(keys) }

    private func value(_ keys: [String]) -> JSON? {
        for key in keys {
            if let value = object[key], !value.isNull { return value }
        }
        return nil
    }

    func refuse(_ key: String, _ reason: String) -> ModelError {
        ModelError(.configuration, "\(place): '\(key)' \(reason)")
    }

    func unsupported(_ key: String, _ reason: String) -> ModelError {
        ModelError(.unsupported, "\(place): '\(key)' \(reason)")
    }

    /// An integer in `bounds`; `fallback` where the key is absent, and an error where that is nil.
    func int(_ keys: String..., in bounds: ClosedRange<Int>, default fallback: Int? = nil) throws(ModelError) -> Int {
        guard let value = value(keys) else {
            if let fallback { return fallback }
            throw refuse(keys[0], "is missing")
        }
        guard let number = value.int else { throw refuse(keys[0], "is \(value.kind), not an integer") }
        guard bounds.contains(number) else {
            throw refuse(keys[0], "is \(number), outside \(bounds.lowerBound)...\(bounds.upperBound)")
        }
        return number
    }

    /// A finite number in `bounds`.
    func double(_ key: String, in bounds: ClosedRange<Double>, default fallback: Double? = nil) throws(ModelError) -> Double {
        guard let value = value(key) else {
            if let fallback { return fallback }
            throw refuse(key, "is missing")
        }
        guard let number = value.double else { throw refuse(key, "is \(value.kind), not a number") }
        guard bounds.contains(number) else { throw refuse(key, "is \(number), outside \(bounds.lowerBound)...\(bounds.upperBound)") }
        return number
    }

    func bool(_ key: String, default fallback: Bool) throws(ModelError) -> Bool {
        guard let value = value(key) else { return fallback }
        guard let flag = value.bool else { throw refuse(key, "is \(value.kind), not a boolean") }
        return flag
    }

    func string(_ key: String) throws(ModelError) -> String? {
        guard let value = value(key) else { return nil }
        guard let text = value.string else { throw refuse(key, "is \(value.kind), not a string") }
        return text
    }

    func strings(_ key: String) throws(ModelError) -> [String]? {
        guard let value = value(key) else { return nil }
        guard let list = value.array else { throw refuse(key, "is \(value.kind), not an array") }
        var result: [String] = []
        for element in list {
            guard let text = element.string else { throw refuse(key, "holds \(element.kind), not only strings") }
            result.append(text)
        }
        return result
    }

    /// A list of integers, or one integer standing for a list of one.
    func ints(_ key: String, in bounds: ClosedRange<Int>) throws(ModelError) -> [Int]? {
        guard let value = value(key) else { return nil }
        var result: [Int] = []
        for element in value.array ?? [value] {
            guard let number = element.int else { throw refuse(key, "holds \(element.kind), not only integers") }
            guard bounds.contains(number) else {
                throw refuse(key, "holds \(number), outside \(bounds.lowerBound)...\(bounds.upperBound)")
            }
            result.append(number)
        }
        return result
    }

    /// The object under `key`.
    func nested(_ key: String) throws(ModelError) -> ConfigurationReader? {
        guard let value = value(key) else { return nil }
        guard value.object != nil else { throw refuse(key, "is \(value.kind), not an object") }
        return ConfigurationReader(value, place: "\(place): \(key)")
    }
}
