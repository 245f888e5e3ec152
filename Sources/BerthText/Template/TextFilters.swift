// Filters that make text of text.

import BerthCore

extension Jinja.Filters {
    typealias Value = Jinja.Value
    typealias Text = Jinja.Text
    typealias Rendering = Jinja.Rendering
    typealias FilterFunction = Jinja.FilterFunction

    /// A filter without arguments over `str(value)`.
    private static func transforming(_ name: String, _ transform: @escaping @Sendable (Text) -> Text) -> FilterFunction {
        { (rendering, value, arguments) throws(TemplateError) in
            _ = try arguments.list(name, 0, 0)
            let text = try rendering.text(of: value)
            try rendering.chargeText(text.bytes.count)
            return same(value, transform(text))
        }
    }

    /// Text derived from `value` is markup where `value` is.
    private static func same(_ value: Value, _ text: Text) -> Value {
        if case .markup = value { return .markup(text) }
        return .string(text)
    }

    static let upper = transforming("upper") { $0.uppercased() }
    static let lower = transforming("lower") { $0.lowercased() }
    static let capitalize = transforming("capitalize") { $0.capitalized() }
    static let title = transforming("title") { text in
        var result = Text()
        var word: [Unicode.Scalar] = []
        func flush() {
            guard let first = word.first else { return }
            result.bytes.append(contentsOf: first.properties.uppercaseMapping.utf8)
            result.append(Text(scalars: word.dropFirst()).lowercased())
            word = []
        }
        // A word begins behind a hyphen, white space or an opening bracket.
        for scalar in text.scalars {
            if scalar == "-" || scalar == "(" || scalar == "{" || scalar == "[" || scalar == "<" || scalar.isPythonSpace {
                flush()
                result.append(scalar: scalar)
            } else {
                word.append(scalar)
            }
        }
        flush()
        return result
    }

    static let string: FilterFunction = { (rendering, value, arguments) throws(TemplateError) in
        _ = try arguments.list("string", 0, 0)
        return value.text == nil ? .string(try rendering.text(of: value)) : value
    }

    static let trim: FilterFunction = { (rendering, value, arguments) throws(TemplateError) in
        let characters = try arguments.bind("trim", ["chars"])[0]
        let text = try rendering.text(of: value)
        try rendering.chargeText(text.bytes.count)
        return same(value, try Jinja.StringMethods.stripped(text, characters, .both))
    }

    static let replace: FilterFunction = { (rendering, value, arguments) throws(TemplateError) in
        let bound = try arguments.bind("replace", ["old", "new", "count"], required: 2)
        let limit = try bound[2].flatMap { $0.isNone ? nil : $0 }?.index("replace") ?? -1
        let old = try rendering.text(of: bound[0]!)
        let new = try rendering.text(of: bound[1]!)
        return .string(try Jinja.StringMethods.replaced(try rendering.text(of: value), old, new, limit, rendering))
    }

    static let center: FilterFunction = { (rendering, value, arguments) throws(TemplateError) in
        let width = try arguments.bind("center", ["width"])[0]?.index("center") ?? 80
        return .string(try Jinja.StringMethods.justified(try rendering.text(of: value), width, "^", " ", rendering))
    }

    static let format: FilterFunction = { (rendering, value, arguments) throws(TemplateError) in
        guard arguments.positional.isEmpty || arguments.keywords.isEmpty else {
            throw .evaluation("can't handle positional and keyword arguments at the same time")
        }
        var operands = try rendering.tuple(arguments.positional)
        if !arguments.keywords.isEmpty {
            var members = Jinja.Dictionary()
            for (name, value) in arguments.keywords { members[.string(name)] = value }
            operands = .dictionary(try Jinja.Members(members))
        }
        return .string(try rendering.formatPercent(try rendering.text(of: value), operands))
    }

    static let indent: FilterFunction = { (rendering, value, arguments) throws(TemplateError) in
        let bound = try arguments.bind("indent", ["width", "first", "blank"])
        let indention: Text
        if let text = bound[0]?.text {
            indention = text
        } else {
            let width = Swift.max(0, try bound[0]?.index("indent") ?? 4)
            try rendering.chargeText(width)
            indention = Text(bytes: [UInt8](repeating: 0x20, count: width))
        }
        if case .undefined(let missing) = value { throw missing.error }
        guard let source = value.text else { throw .evaluation("unsupported operand type(s) for +=: '\(value.typeName)' and 'str'") }
        let lines = (source + "\n").lines(keepingEnds: false)
        let (growth, overflow) = lines.count.multipliedReportingOverflow(by: indention.bytes.count)
        try rendering.chargeText(overflow ? .max : source.bytes.count + growth)
        let indentsBlank = bound[2]?.isTrue ?? false
        var result = bound[1]?.isTrue ?? false ? indention : Text()
        for (index, line) in lines.enumerated() {
            if index > 0 {
                result.append("\n")
                if indentsBlank || !line.isEmpty { result.append(indention) }
            }
            result.append(line)
        }
        return same(value, result)
    }

    static let truncate: FilterFunction = { (rendering, value, arguments) throws(TemplateError) in
        let bound = try arguments.bind("truncate", ["length", "killwords", "end", "leeway"])
        let length = try bound[0]?.index("truncate") ?? 255
        let end = try bound[2]?.string("truncate") ?? "..."
        let leeway = try bound[3].flatMap { $0.isNone ? nil : $0 }?.index("truncate") ?? 5
        try rendering.charge((value.text?.bytes.count ?? 0) >> 8)
        guard let count = value.length else { throw .evaluation("object of type '\(value.typeName)' has no len()") }
        guard length >= end.count else { throw .evaluation("expected length >= \(end.count), got \(length)") }
        guard leeway >= 0 else { throw .evaluation("expected leeway >= 0, got \(leeway)") }
        // Whatever is short enough passes, text or not.
        if count - leeway <= length { return value }
        let text = try value.string("truncate")
        try rendering.chargeText(text.bytes.count)
        let kept = text.slice(0..<Swift.min(length - end.count, count))
        if bound[1]?.isTrue ?? false { return .string(kept + end) }
        let cut = kept.offsetsFromEnd(of: " ", limit: 1).first ?? kept.bytes.count
        return .string(Text(bytes: kept.bytes[..<cut]) + end)
    }

    static let wordCount: FilterFunction = { (rendering, value, arguments) throws(TemplateError) in
        _ = try arguments.list("wordcount", 0, 0)
        let text = try rendering.text(of: value)
        try rendering.chargeText(text.bytes.count)
        var count = 0
        var inWord = false
        for scalar in text.scalars {
            if scalar.isPythonWord, !inWord { count += 1 }
            inWord = scalar.isPythonWord
        }
        return .int(count)
    }

    /// Breaks lines at blanks so that none is longer than `width`; words that are longer are cut where asked.
    static let wordWrap: FilterFunction = { (rendering, value, arguments) throws(TemplateError) in
        let bound = try arguments.bind("wordwrap", ["width", "break_long_words", "wrapstring", "break_on_hyphens"])
        let width = try bound[0]?.index("wordwrap") ?? 79
        guard width > 0 else { throw .evaluation("invalid width \(width) (must be > 0)") }
        let breaksWords = bound[1]?.isTrue ?? true
        let separator = try bound[2].flatMap { $0.isNone ? nil : $0 }?.string("wordwrap") ?? "\n"
        let text = try value.string("wordwrap")
        try rendering.chargeText(text.bytes.count)
        var lines: [Text] = []
        for line in text.lines(keepingEnds: false) {
            lines += TextWrapping.lines(of: line, width: width, breaksWords: breaksWords, breaksHyphens: bound[3]?.isTrue ?? true)
        }
        var result = Text()
        for (index, line) in lines.enumerated() {
            if index > 0 { result.append(separator) }
            result.append(line)
        }
        try rendering.chargeText(result.bytes.count)
        return .string(result)
    }

    static let toJSON: FilterFunction = { (rendering, value, arguments) throws(TemplateError) in
        let bound = try arguments.bind("tojson", ["ensure_ascii", "indent", "separators", "sort_keys"])
        var style = Jinja.JSONStyle()
        style.isASCIIOnly = bound[0]?.isTrue ?? false
        style.sortsKeys = bound[3]?.isTrue ?? false
        if let indent = bound[1], !indent.isNone {
            if let text = indent.text {
                style.indent = text
            } else {
                let width = Swift.max(0, try indent.index("tojson"))
                guard width <= 256 else { throw .limit("an indent of more than 256 blanks") }
                style.indent = Text(bytes: [UInt8](repeating: 0x20, count: width))
            }
            style.itemSeparator = ","
        }
        if let separators = bound[2], !separators.isNone {
            let parts = try rendering.elements(of: separators)
            guard parts.count == 2 else { throw .evaluation("separators must be an item separator and a key separator") }
            style.itemSeparator = try parts[0].string("tojson")
            style.keySeparator = try parts[1].string("tojson")
        }
        return .string(try rendering.json(value, style))
    }
}
