// Sequences that are produced as they are read, and only once.
//
// Jinja's `map`, `select` and their kin are Python generators, and it shows: they are always true, have no length, are
// empty at the second reading, and fail only when the failing element is asked for. Templates have come to depend on all
// of that, so these are iterators too. Each counts how many others it stands on, which bounds the recursion of `next`.

import BerthCore

extension Jinja {
    /// A one-shot sequence of values.
    class LazyIterator {
        let typeName: String
        let depth: Int

        init(typeName: String, depth: Int = 1) throws(TemplateError) {
            guard depth <= Limits.templateValueDepth else { throw .limit("iterators nested deeper than \(Limits.templateValueDepth) levels") }
            self.typeName = typeName
            self.depth = depth
        }

        /// The next value; nil at the end, and ever after.
        func next(_ rendering: Rendering) throws(TemplateError) -> Value? { nil }
    }

    /// Values that are there already.
    final class ArrayIterator: LazyIterator {
        private let values: [Value]
        private var index = 0

        init(_ values: [Value], typeName: String = "generator") throws(TemplateError) {
            self.values = values
            var extent = Extent()
            for value in values { extent.add(value) }
            try super.init(typeName: typeName, depth: extent.depth)
        }

        override func next(_ rendering: Rendering) -> Value? {
            guard index < values.count else { return nil }
            index += 1
            return values[index - 1]
        }
    }

    /// The elements of a container, without a copy of them.
    final class ElementIterator: LazyIterator {
        private let elements: Elements
        private let isReversed: Bool
        private var index = 0

        init(_ elements: Elements, isReversed: Bool = false, typeName: String = "list_iterator") throws(TemplateError) {
            self.elements = elements
            self.isReversed = isReversed
            try super.init(typeName: typeName, depth: elements.depth + 1)
        }

        override func next(_ rendering: Rendering) -> Value? {
            guard index < elements.values.count else { return nil }
            index += 1
            return elements.values[isReversed ? elements.values.count - index : index - 1]
        }
    }

    final class RangeIterator: LazyIterator {
        private let range: IntegerRange
        private var index = 0

        init(_ range: IntegerRange) throws(TemplateError) {
            self.range = range
            try super.init(typeName: "range_iterator")
        }

        override func next(_ rendering: Rendering) -> Value? {
            guard index < range.count else { return nil }
            index += 1
            return .int(range[index - 1])
        }
    }

    /// The characters of a text, each a text.
    final class CharacterIterator: LazyIterator {
        private let text: Text
        private var offset = 0

        init(_ text: Text) throws(TemplateError) {
            self.text = text
            try super.init(typeName: "str_iterator")
        }

        override func next(_ rendering: Rendering) -> Value? {
            guard offset < text.bytes.count else { return nil }
            let start = offset
            offset = text.offset(after: offset)
            return .string(Text(bytes: text.bytes[start..<offset]))
        }
    }

    /// Values that are computed all at once, when the first is asked for.
    final class DeferredIterator: LazyIterator {
        private var make: ((Rendering) throws(TemplateError) -> [Value])?
        private var values: [Value] = []
        private var index = 0

        init(over source: Value, _ make: @escaping (Rendering) throws(TemplateError) -> [Value]) throws(TemplateError) {
            self.make = make
            try super.init(typeName: "generator", depth: source.depth + 1)
        }

        override func next(_ rendering: Rendering) throws(TemplateError) -> Value? {
            if let make {
                self.make = nil
                values = try make(rendering)
            }
            guard index < values.count else { return nil }
            index += 1
            return values[index - 1]
        }
    }

    /// What `transform` makes of each value of another sequence; values for which it gives nil are left out.
    final class TransformingIterator: LazyIterator {
        private let sequence: Value
        private var source: LazyIterator?
        private var isFinished = false
        private let transform: (Rendering, Value) throws(TemplateError) -> Value?

        init(over sequence: Value, _ transform: @escaping (Rendering, Value) throws(TemplateError) -> Value?) throws(TemplateError) {
            self.sequence = sequence
            self.transform = transform
            try super.init(typeName: "generator", depth: sequence.depth + 1)
        }

        override func next(_ rendering: Rendering) throws(TemplateError) -> Value? {
            if isFinished { return nil }
            // A generator that failed is over, and so is this one.
            isFinished = true
            if source == nil {
                guard sequence.isTrue else { return nil }
                source = try rendering.iterator(over: sequence)
            }
            while let value = try source!.next(rendering) {
                try rendering.charge()
                if let result = try transform(rendering, value) {
                    isFinished = false
                    return result
                }
            }
            return nil
        }
    }
}

extension Jinja.Rendering {
    /// `iter(value)`. Throws: evaluation, where the value is no sequence.
    func iterator(over value: Jinja.Value) throws(TemplateError) -> Jinja.LazyIterator {
        switch value {
        case .undefined: return try Jinja.ArrayIterator([])
        case .string(let text), .markup(let text): return try Jinja.CharacterIterator(text)
        case .list(let elements), .tuple(let elements): return try Jinja.ElementIterator(elements)
        case .dictionary(let members):
            try charge(members.values.count >> 4)
            return try Jinja.ArrayIterator(Array(members.values.keys))
        case .view(let view): return try Jinja.ArrayIterator(try elements(of: view))
        case .range(let range): return try Jinja.RangeIterator(range)
        case .iterator(let iterator): return iterator
        default: throw .evaluation("'\(value.typeName)' object is not iterable")
        }
    }

    /// All values of a sequence, which is read to its end.
    func elements(of value: Jinja.Value) throws(TemplateError) -> [Jinja.Value] {
        switch value {
        case .list(let elements), .tuple(let elements): return elements.values
        case .view(let view): return try elements(of: view)
        default: break
        }
        let iterator = try iterator(over: value)
        var result: [Jinja.Value] = []
        while let element = try iterator.next(self) {
            try charge()
            result.append(element)
        }
        return result
    }

    private func elements(of view: Jinja.DictionaryView) throws(TemplateError) -> [Jinja.Value] {
        let values = view.members.values
        try charge(values.count >> 2)
        switch view.kind {
        case .keys: return Array(values.keys)
        case .values: return Array(values.values)
        case .items:
            var result: [Jinja.Value] = []
            result.reserveCapacity(values.count)
            for (key, value) in values { result.append(.tuple(try Jinja.Elements([key, value]))) }
            return result
        }
    }
}
