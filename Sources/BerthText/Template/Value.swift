// The values that a template computes with: Python's, as far as templates can tell.
//
// Nothing that holds other values can change after it is made (the sandbox that transformers uses forbids `append` and
// its kin), so containers are shared, and carry two sums made once: `depth` bounds every recursion over a value, `weight`
// bounds the work of walking it (a list that holds the same list twice doubles at each step). What does change, namespaces
// and iterators, is an `Object` or a `LazyIterator`. Values belong to one rendering on one thread.

import BerthCore
import OrderedCollections

extension Jinja {
    enum Value {
        case undefined(Undefined)
        case none
        case bool(Bool)
        /// Python's integers have no bounds; these have 64 bits, and an operation that leaves them is an error.
        case int(Int)
        case float(Double)
        case string(Text)
        /// A string marked as safe HTML (`safe`, `escape`): adding to it escapes what is added.
        case markup(Text)
        case list(Elements)
        case tuple(Elements)
        case dictionary(Members)
        case view(DictionaryView)
        case range(IntegerRange)
        case iterator(LazyIterator)
        case object(Object)
    }

    /// The elements of a list or tuple.
    final class Elements {
        let values: [Value]
        /// The names of a named tuple's fields (`groupby` makes such).
        let fields: [String]
        let depth: Int
        let weight: Int

        init(_ values: [Value], fields: [String] = []) throws(TemplateError) {
            var extent = Extent()
            for value in values { extent.add(value) }
            try extent.check()
            self.values = values
            self.fields = fields
            depth = extent.depth
            weight = extent.weight
        }
    }

    /// The members of a dictionary, in the order of insertion.
    final class Members {
        let values: OrderedDictionary<Value, Value>
        let depth: Int
        let weight: Int

        init(_ values: OrderedDictionary<Value, Value>) throws(TemplateError) {
            var extent = Extent()
            for (key, value) in values {
                extent.add(key)
                extent.add(value)
            }
            try extent.check()
            self.values = values
            depth = extent.depth
            weight = extent.weight
        }

        subscript(name: Text) -> Value? { values[.string(name)] }
    }

    /// How deep and how heavy a container becomes.
    struct Extent {
        var depth = 1
        var weight = 1

        mutating func add(_ value: Value) {
            depth = max(depth, value.depth + 1)
            weight += value.weight
        }

        func check() throws(TemplateError) {
            guard depth <= Limits.templateValueDepth else { throw .limit("a value nested deeper than \(Limits.templateValueDepth) levels") }
            guard weight <= Limits.templateValueWeight else { throw .limit("a value of more than \(Limits.templateValueWeight) elements") }
        }
    }

    /// `dict.keys()`, `.values()` or `.items()`.
    struct DictionaryView {
        enum Kind: String { case keys = "dict_keys", values = "dict_values", items = "dict_items" }
        let kind: Kind
        let members: Members
    }

    struct IntegerRange {
        let start: Int
        let stop: Int
        let step: Int
        let count: Int

        init(start: Int, step: Int, count: Int, stop: Int? = nil) {
            self.start = start
            self.stop = stop ?? start &+ count &* step
            self.step = step
            self.count = count
        }

        subscript(index: Int) -> Int { start + index * step }

        func index(of value: Int) -> Int? {
            let (distance, overflow) = value.subtractingReportingOverflow(start)
            guard count > 0, !overflow, distance != .min, distance % step == 0 else { return nil }
            let index = distance / step
            return index >= 0 && index < count ? index : nil
        }
    }

    /// What a missing variable or attribute evaluates to: it prints as nothing, and most other uses are errors.
    final class Undefined {
        let message: String
        init(message: String) { self.message = message }
        var error: TemplateError { .evaluation(message) }
    }

    /// Something with identity: a function, a macro, a namespace, a loop.
    class Object {
        var typeName: String { "object" }
        /// The extent of what the object holds, as if it were a container.
        var depth: Int { 1 }
        var weight: Int { 1 }
        var isCallable: Bool { false }
        var representation: String { "<\(typeName) object>" }
        func attribute(_ name: Attribute) throws(TemplateError) -> Value? { nil }
        func call(_ arguments: Arguments, _ rendering: Rendering) throws(TemplateError) -> Value {
            throw .evaluation("'\(typeName)' object is not callable")
        }
    }
}

extension Jinja.Value {
    static func string(_ string: String) -> Self { .string(Jinja.Text(string)) }

    static func undefined(_ message: String) -> Self { .undefined(Jinja.Undefined(message: message)) }

    var depth: Int {
        switch self {
        case .list(let elements), .tuple(let elements): elements.depth
        case .dictionary(let members): members.depth
        case .view(let view): view.members.depth + 1
        case .iterator(let iterator): iterator.depth
        case .object(let object): object.depth
        default: 0
        }
    }

    var weight: Int {
        switch self {
        case .string(let text), .markup(let text): 1 + text.bytes.count >> 4
        case .list(let elements), .tuple(let elements): elements.weight
        case .dictionary(let members): members.weight
        case .view(let view): view.members.weight
        case .object(let object): object.weight
        default: 1
        }
    }

    /// Python's name of the type.
    var typeName: String {
        switch self {
        case .undefined: "Undefined"
        case .none: "NoneType"
        case .bool: "bool"
        case .int: "int"
        case .float: "float"
        case .string: "str"
        case .markup: "Markup"
        case .list: "list"
        case .tuple: "tuple"
        case .dictionary: "dict"
        case .view(let view): view.kind.rawValue
        case .range: "range"
        case .iterator(let iterator): iterator.typeName
        case .object(let object): object.typeName
        }
    }

    /// What Jinja calls the value in the message of a missing attribute.
    var description: String {
        if case .none = self { return "None" }
        return "\(typeName) object"
    }

    var isUndefined: Bool {
        if case .undefined = self { return true }
        return false
    }

    var isNone: Bool {
        if case .none = self { return true }
        return false
    }

    /// The characters of a string, marked or not.
    var text: Jinja.Text? {
        switch self {
        case .string(let text), .markup(let text): text
        default: nil
        }
    }

    /// The value of an integer; `True` and `False` are 1 and 0.
    var integer: Int? {
        switch self {
        case .int(let value): value
        case .bool(let value): value ? 1 : 0
        default: nil
        }
    }

    var number: Double? {
        if case .float(let value) = self { return value }
        return integer.map(Double.init)
    }

    /// Python's truth: empty, zero, none and undefined are false.
    var isTrue: Bool {
        switch self {
        case .undefined, .none: false
        case .bool(let value): value
        case .int(let value): value != 0
        case .float(let value): value != 0
        case .string(let text), .markup(let text): !text.isEmpty
        case .list(let elements), .tuple(let elements): !elements.values.isEmpty
        case .dictionary(let members): !members.values.isEmpty
        case .view(let view): !view.members.values.isEmpty
        case .range(let range): range.count > 0
        case .iterator, .object: true
        }
    }

    /// `len(…)`; nil where Python has none.
    var length: Int? {
        switch self {
        case .undefined: 0
        case .string(let text), .markup(let text): text.count
        case .list(let elements), .tuple(let elements): elements.values.count
        case .dictionary(let members): members.values.count
        case .view(let view): view.members.values.count
        case .range(let range): range.count
        default: nil
        }
    }

    /// Why the value cannot be a dictionary's key; nil where it can.
    var unhashable: TemplateError? {
        switch self {
        case .list, .dictionary: return .evaluation("unhashable type: '\(typeName)'")
        case .tuple(let elements):
            for element in elements.values {
                if let error = element.unhashable { return error }
            }
            return nil
        default: return nil
        }
    }
}
