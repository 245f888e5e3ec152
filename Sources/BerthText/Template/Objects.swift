// The values with identity: functions, methods bound to a value, namespaces, cyclers and joiners.

import BerthCore
import OrderedCollections

extension Jinja {
    typealias Method = @Sendable (Rendering, Value, Arguments) throws(TemplateError) -> Value
    typealias FilterFunction = @Sendable (Rendering, Value, Arguments) throws(TemplateError) -> Value
    typealias TestFunction = @Sendable (Rendering, Value, Arguments) throws(TemplateError) -> Bool
    typealias GlobalFunction = @Sendable (Rendering, Arguments) throws(TemplateError) -> Value

    /// A method taken from a value, to be called later or never.
    final class BoundMethod: Object {
        let receiver: Value
        let name: String
        let method: Method

        init(_ receiver: Value, _ name: String, _ method: @escaping Method) throws(TemplateError) {
            guard receiver.depth < Limits.templateValueDepth else { throw .limit("a value nested deeper than \(Limits.templateValueDepth) levels") }
            self.receiver = receiver
            self.name = name
            self.method = method
        }

        override var typeName: String { "builtin_function_or_method" }
        override var depth: Int { receiver.depth + 1 }
        override var weight: Int { receiver.weight + 1 }
        override var isCallable: Bool { true }
        override var representation: String { "<built-in method \(name) of \(receiver.typeName) object>" }
        override func call(_ arguments: Arguments, _ rendering: Rendering) throws(TemplateError) -> Value {
            try method(rendering, receiver, arguments)
        }
    }

    /// A global function.
    final class Function: Object {
        let name: String
        let function: GlobalFunction

        init(_ name: String, _ function: @escaping GlobalFunction) {
            self.name = name
            self.function = function
        }

        override var typeName: String { "function" }
        override var isCallable: Bool { true }
        override var representation: String { "<function \(name)>" }
        override func call(_ arguments: Arguments, _ rendering: Rendering) throws(TemplateError) -> Value {
            try function(rendering, arguments)
        }

        override func attribute(_ name: Attribute) throws(TemplateError) -> Value? {
            guard self.name == "dict", name.name == "fromkeys" else { return nil }
            return .object(Function("fromkeys") { (rendering, arguments) throws(TemplateError) in
                try Globals.dictionaryFromKeys(rendering, arguments)
            })
        }
    }

    /// The one thing a template can change. Namespaces may hold each other in a circle, so the rendering that made them
    /// empties them when it ends; for the same reason they count as nothing in the extent of what holds them.
    final class Namespace: Object {
        var attributes: OrderedDictionary<Text, Value> = [:]

        override var typeName: String { "Namespace" }
        override func attribute(_ name: Attribute) -> Value? { attributes[name.text] }

        func assign(_ name: Text, _ value: Value) throws(TemplateError) {
            guard name.bytes.first != UInt8(ascii: "_") else {
                throw .evaluation("a namespace cannot store '\(name.string)': names with a leading underscore are refused")
            }
            attributes[name] = value
        }
    }

    final class Cycler: Object {
        private let items: [Value]
        private var position = 0
        private let extent: Extent

        init(_ items: [Value]) throws(TemplateError) {
            guard !items.isEmpty else { throw .evaluation("at least one item has to be provided") }
            var extent = Extent()
            for item in items { extent.add(item) }
            try extent.check()
            self.items = items
            self.extent = extent
        }

        override var typeName: String { "Cycler" }
        override var depth: Int { extent.depth }
        override var weight: Int { extent.weight }

        private static let next: Method = { (_, receiver, _) throws(TemplateError) in
            guard case .object(let object) = receiver, let cycler = object as? Cycler else { return .none }
            defer { cycler.position = (cycler.position + 1) % cycler.items.count }
            return cycler.items[cycler.position]
        }

        private static let reset: Method = { (_, receiver, _) throws(TemplateError) in
            if case .object(let object) = receiver, let cycler = object as? Cycler { cycler.position = 0 }
            return .none
        }

        override func attribute(_ name: Attribute) throws(TemplateError) -> Value? {
            switch name.name {
            case "current": items[position]
            case "pos": .int(position)
            case "items": .tuple(try Elements(items))
            case "next": .object(try BoundMethod(.object(self), "next", Self.next))
            case "reset": .object(try BoundMethod(.object(self), "reset", Self.reset))
            default: nil
            }
        }
    }

    /// Nothing at the first call, the separator at every other.
    final class Joiner: Object {
        private let separator: Value
        private var isUsed = false

        init(_ separator: Value) throws(TemplateError) {
            var extent = Extent()
            extent.add(separator)
            try extent.check()
            self.separator = separator
        }

        override var typeName: String { "Joiner" }
        override var depth: Int { separator.depth + 1 }
        override var weight: Int { separator.weight + 1 }
        override var isCallable: Bool { true }
        override func attribute(_ name: Attribute) -> Value? {
            switch name.name {
            case "sep": separator
            case "used": .bool(isUsed)
            default: nil
            }
        }

        override func call(_ arguments: Arguments, _ rendering: Rendering) throws(TemplateError) -> Value {
            _ = try arguments.list("joiner", 0, 0)
            defer { isUsed = true }
            return isUsed ? separator : .string(Text())
        }
    }
}
