// Filters over sequences. Those that Jinja writes as generators give iterators here too (see Iterators.swift).

import BerthCore
import OrderedCollections

extension Jinja.Filters {
    typealias LazyIterator = Jinja.LazyIterator

    // MARK: one value of many

    static let length: FilterFunction = { (rendering, value, arguments) throws(TemplateError) in
        _ = try arguments.list("length", 0, 0)
        if case .object(let object) = value, let loop = object as? Jinja.LoopContext { return .int(try loop.length()) }
        try rendering.charge((value.text?.bytes.count ?? 0) >> 8)
        guard let length = value.length else { throw .evaluation("object of type '\(value.typeName)' has no len()") }
        return .int(length)
    }

    static let first: FilterFunction = { (rendering, value, arguments) throws(TemplateError) in
        _ = try arguments.list("first", 0, 0)
        return try rendering.iterator(over: value).next(rendering) ?? .undefined("No first item, sequence was empty.")
    }

    static let last: FilterFunction = { (rendering, value, arguments) throws(TemplateError) in
        _ = try arguments.list("last", 0, 0)
        switch value {
        case .iterator, .none, .bool, .int, .float, .object: throw .evaluation("'\(value.typeName)' object is not reversible")
        default: return try rendering.elements(of: value).last ?? .undefined("No last item, sequence was empty.")
        }
    }

    private static func extreme(_ name: String, isBetter: @escaping @Sendable (Rendering, Value, Value) throws(TemplateError) -> Bool) -> FilterFunction {
        { (rendering, value, arguments) throws(TemplateError) in
            let bound = try arguments.bind(name, ["case_sensitive", "attribute"])
            let key = Key(path: bound[1], ignoresCase: !(bound[0]?.isTrue ?? false))
            var best: (key: Value, value: Value)?
            for element in try rendering.elements(of: value) {
                let candidate = try key.of(element, rendering)
                if let current = best, !(try isBetter(rendering, candidate, current.key)) { continue }
                best = (candidate, element)
            }
            return best?.value ?? .undefined("No aggregated item, sequence was empty.")
        }
    }

    static let min = extreme("min") { (rendering, candidate, best) throws(TemplateError) in try rendering.precedes(candidate, best) }
    static let max = extreme("max") { (rendering, candidate, best) throws(TemplateError) in try rendering.precedes(best, candidate, ">") }

    static let sum: FilterFunction = { (rendering, value, arguments) throws(TemplateError) in
        let bound = try arguments.bind("sum", ["attribute", "start"])
        let path = AttributePath(bound[0] ?? .none)
        var total = bound[1] ?? .int(0)
        if total.text != nil { throw .evaluation("sum() can't sum strings [use ''.join(seq) instead]") }
        for element in try rendering.elements(of: value) {
            total = try rendering.apply(.add, total, try path.value(in: element, default: nil, rendering))
        }
        return total
    }

    static let join: FilterFunction = { (rendering, value, arguments) throws(TemplateError) in
        let bound = try arguments.bind("join", ["d", "attribute"])
        let separator = try bound[0].map { (value) throws(TemplateError) in try rendering.text(of: value) } ?? Text()
        let path = AttributePath(bound[1] ?? .none)
        var result = Text()
        var isFirst = true
        for element in try rendering.elements(of: value) {
            let text = try rendering.text(of: try path.value(in: element, default: nil, rendering))
            if !isFirst { result.append(separator) }
            isFirst = false
            result.append(text)
            try rendering.charge(1 + (text.bytes.count + separator.bytes.count) >> 8)
            guard result.bytes.count <= Limits.templateOutputBytes else { throw .limit("a text of more than \(Limits.templateOutputBytes) bytes") }
        }
        return .string(result)
    }

    // MARK: order

    /// What a value is sorted, compared or grouped by.
    private struct Key {
        let path: AttributePath
        let ignoresCase: Bool
        var fallback: Value?

        init(path: Value?, ignoresCase: Bool, fallback: Value? = nil) {
            self.path = AttributePath(path ?? .none)
            self.ignoresCase = ignoresCase
            self.fallback = fallback
        }

        func of(_ value: Value, _ rendering: Rendering) throws(TemplateError) -> Value {
            let part = try path.value(in: value, default: fallback, rendering)
            return ignoresCase ? Jinja.Filters.ignoringCase(part) : part
        }
    }

    static let sort: FilterFunction = { (rendering, value, arguments) throws(TemplateError) in
        let bound = try arguments.bind("sort", ["reverse", "case_sensitive", "attribute"])
        let ignoresCase = !(bound[1]?.isTrue ?? false)
        var keys: [Key] = []
        if let paths = bound[2]?.text {
            var start = 0
            for end in paths.offsets(of: ",") + [paths.bytes.count] {
                keys.append(Key(path: .string(Text(bytes: paths.bytes[start..<end])), ignoresCase: ignoresCase))
                start = end + 1
            }
        } else {
            keys = [Key(path: bound[2], ignoresCase: ignoresCase)]
        }
        let values = try rendering.elements(of: value)
        return try rendering.list(
            try rendering.sorted(values, reversed: bound[0]?.isTrue ?? false) { (element) throws(TemplateError) in
                var parts: [Value] = []
                for key in keys { parts.append(try key.of(element, rendering)) }
                return try rendering.list(parts)
            })
    }

    static let dictionarySort: FilterFunction = { (rendering, value, arguments) throws(TemplateError) in
        let bound = try arguments.bind("dictsort", ["case_sensitive", "by", "reverse"])
        let by = bound[1]?.text ?? "key"
        guard by == "key" || by == "value" else { throw .evaluation("You can only sort by either \"key\" or \"value\"") }
        if case .undefined(let missing) = value { throw missing.error }
        guard case .dictionary(let members) = value else { throw .evaluation("'\(value.typeName)' object has no attribute 'items'") }
        let ignoresCase = !(bound[0]?.isTrue ?? false)
        let pairs = try rendering.elements(of: .view(Jinja.DictionaryView(kind: .items, members: members)))
        return try rendering.list(
            try rendering.sorted(pairs, reversed: bound[2]?.isTrue ?? false) { (pair) throws(TemplateError) in
                let part = try rendering.item(.int(by == "key" ? 0 : 1), of: pair)
                return ignoresCase ? ignoringCase(part) : part
            })
    }

    static let reverse: FilterFunction = { (rendering, value, arguments) throws(TemplateError) in
        _ = try arguments.list("reverse", 0, 0)
        switch value {
        case .string(let text), .markup(let text):
            try rendering.chargeText(text.bytes.count)
            return .string(Text(scalars: text.scalars.reversed()))
        case .list(let elements), .tuple(let elements):
            return .iterator(try Jinja.ElementIterator(elements, isReversed: true, typeName: "\(value.typeName)_reverseiterator"))
        case .iterator: return try rendering.list(try rendering.elements(of: value).reversed())
        case .none, .bool, .int, .float, .object: throw .evaluation("argument must be iterable")
        default:
            let values = Array(try rendering.elements(of: value).reversed())
            return .iterator(try Jinja.ArrayIterator(values, typeName: "reversed"))
        }
    }

    static let unique: FilterFunction = { (_, value, arguments) throws(TemplateError) in
        let bound = try arguments.bind("unique", ["case_sensitive", "attribute"])
        let key = Key(path: bound[1], ignoresCase: !(bound[0]?.isTrue ?? false))
        return .iterator(
            try Jinja.DeferredIterator(over: value) { (rendering) throws(TemplateError) in
                var seen: Set<Value> = []
                var result: [Value] = []
                for element in try rendering.elements(of: value) {
                    let part = try key.of(element, rendering)
                    if let error = part.unhashable { throw error }
                    try rendering.charge(part.weight >> 4)
                    if seen.insert(part).inserted { result.append(element) }
                }
                return result
            })
    }

    static let groupBy: FilterFunction = { (rendering, value, arguments) throws(TemplateError) in
        let bound = try arguments.bind("groupby", ["attribute", "default", "case_sensitive"], required: 1)
        let fallback = bound[1].flatMap { $0.isNone ? nil : $0 }
        let key = Key(path: bound[0], ignoresCase: !(bound[2]?.isTrue ?? false), fallback: fallback)
        let shown = Key(path: bound[0], ignoresCase: false, fallback: fallback)
        let values = try rendering.sorted(try rendering.elements(of: value)) { (element) throws(TemplateError) in try key.of(element, rendering) }
        var groups: [Value] = []
        var start = 0
        while start < values.count {
            let groupKey = try key.of(values[start], rendering)
            var end = start + 1
            while end < values.count, try rendering.equal(try key.of(values[end], rendering), groupKey) { end += 1 }
            let members = try rendering.list(Array(values[start..<end]))
            groups.append(.tuple(try Jinja.Elements([try shown.of(values[start], rendering), members], fields: ["grouper", "list"])))
            start = end
        }
        return try rendering.list(groups)
    }

    // MARK: many values of many

    static let list: FilterFunction = { (rendering, value, arguments) throws(TemplateError) in
        _ = try arguments.list("list", 0, 0)
        return try rendering.list(try rendering.elements(of: value))
    }

    static let items: FilterFunction = { (_, value, arguments) throws(TemplateError) in
        _ = try arguments.list("items", 0, 0)
        return .iterator(
            try Jinja.DeferredIterator(over: value) { (rendering) throws(TemplateError) in
                switch value {
                case .undefined: return []
                case .dictionary(let members): return try rendering.elements(of: .view(Jinja.DictionaryView(kind: .items, members: members)))
                default: throw .evaluation("Can only get item pairs from a mapping.")
                }
            })
    }

    static let batch: FilterFunction = { (_, value, arguments) throws(TemplateError) in
        let bound = try arguments.bind("batch", ["linecount", "fill_with"], required: 1)
        let size = bound[0]!
        return .iterator(
            try Jinja.DeferredIterator(over: value) { (rendering) throws(TemplateError) in
                var batches: [Value] = []
                var batch: [Value] = []
                for element in try rendering.elements(of: value) {
                    if size.number == Double(batch.count) {
                        batches.append(try rendering.list(batch))
                        batch = []
                    }
                    batch.append(element)
                }
                guard !batch.isEmpty else { return batches }
                if let filler = bound[1], !filler.isNone {
                    let missing = try size.index("batch") - batch.count
                    guard missing <= Limits.templateRange else { throw .limit("a batch of more than \(Limits.templateRange) elements") }
                    if missing > 0 { batch += Array(repeating: filler, count: missing) }
                }
                batches.append(try rendering.list(batch))
                return batches
            })
    }

    static let slice: FilterFunction = { (_, value, arguments) throws(TemplateError) in
        let bound = try arguments.bind("slice", ["slices", "fill_with"], required: 1)
        let slices = bound[0]!
        return .iterator(
            try Jinja.DeferredIterator(over: value) { (rendering) throws(TemplateError) in
                let values = try rendering.elements(of: value)
                let count = try slices.index("slice")
                guard count != 0 else { throw .evaluation("integer division or modulo by zero") }
                guard count <= Limits.templateRange else { throw .limit("more than \(Limits.templateRange) slices") }
                guard count > 0 else { return [] }
                var result: [Value] = []
                var start = 0
                for index in 0..<count {
                    let isLonger = index < values.count % count
                    let end = start + values.count / count + (isLonger ? 1 : 0)
                    var part = Array(values[start..<end])
                    if !isLonger, let filler = bound[1], !filler.isNone { part.append(filler) }
                    result.append(try rendering.list(part))
                    start = end
                }
                return result
            })
    }

    static let map: FilterFunction = { (_, value, arguments) throws(TemplateError) in
        .iterator(
            try Jinja.TransformingIterator(over: value) { (rendering, element) throws(TemplateError) -> Value? in
                if arguments.positional.isEmpty, let path = arguments.keyword("attribute") {
                    let fallback = arguments.keyword("default").flatMap { $0.isNone ? nil : $0 }
                    if let other = arguments.keywords.first(where: { $0.name != "attribute" && $0.name != "default" }) {
                        throw .evaluation("Unexpected keyword argument '\(other.name)'")
                    }
                    return try AttributePath(path).value(in: element, default: fallback, rendering)
                }
                guard let name = arguments.positional.first else { throw .evaluation("map requires a filter argument") }
                guard let text = name.text, let filter = table[text.string] else {
                    throw .evaluation("no filter named \(try rendering.representation(of: name).string)")
                }
                var rest = arguments
                rest.positional.removeFirst()
                return try filter(rendering, element, rest)
            })
    }

    /// `select`, `reject` and their forms that look at an attribute.
    private static func selecting(keeps: Bool, byAttribute: Bool) -> FilterFunction {
        { (_, value, arguments) throws(TemplateError) in
            .iterator(
                try Jinja.TransformingIterator(over: value) { (rendering, element) throws(TemplateError) -> Value? in
                    var rest = arguments
                    var subject = element
                    if byAttribute {
                        guard let path = rest.positional.first else { throw .evaluation("Missing parameter for attribute name") }
                        subject = try AttributePath(path).value(in: element, default: nil, rendering)
                        rest.positional.removeFirst()
                    }
                    var passes = subject.isTrue
                    if let name = rest.positional.first {
                        guard let text = name.text, let test = Jinja.Tests.table[text.string] else {
                            throw .evaluation("no test named \(try rendering.representation(of: name).string)")
                        }
                        rest.positional.removeFirst()
                        passes = try test(rendering, subject, rest)
                    }
                    return passes == keeps ? element : nil
                })
        }
    }

    static let select = selecting(keeps: true, byAttribute: false)
    static let reject = selecting(keeps: false, byAttribute: false)
    static let selectAttribute = selecting(keeps: true, byAttribute: true)
    static let rejectAttribute = selecting(keeps: false, byAttribute: true)
}
