// The methods of `str` that templates may call.
//
// `encode`, `translate` and `maketrans` are left out: they make values that templates cannot use.

import BerthCore

extension Jinja {
    enum StringMethods {
        static let table: [String: Method] = [
            "capitalize": plain { $0.capitalized() }, "casefold": plain { casefolded($0) }, "lower": plain { $0.lowercased() },
            "swapcase": plain { $0.swappedCase() }, "title": plain { $0.titlecased() }, "upper": plain { $0.uppercased() },
            "isalnum": predicate { $0.all(\.isPythonAlphanumeric) }, "isalpha": predicate { $0.all(\.isPythonAlphabetic) },
            "isascii": predicate { $0.bytes.allSatisfy { $0 < 0x80 } }, "isdecimal": predicate { $0.all(\.isPythonDecimal) },
            "isdigit": predicate { $0.all(\.isPythonDigit) }, "isidentifier": predicate { isIdentifier($0) },
            "islower": predicate { $0.isLowercase }, "isnumeric": predicate { $0.all(\.isPythonNumeric) },
            "isprintable": predicate { $0.scalars.allSatisfy(\.isPythonPrintable) }, "isspace": predicate { $0.all(\.isPythonSpace) },
            "istitle": predicate { $0.isTitlecase }, "isupper": predicate { $0.isUppercase },
            "strip": strip, "lstrip": stripLeft, "rstrip": stripRight,
            "split": split, "rsplit": splitFromEnd, "splitlines": splitLines, "partition": partition, "rpartition": partitionFromEnd,
            "startswith": startsWith, "endswith": endsWith, "removeprefix": removePrefix, "removesuffix": removeSuffix,
            "find": find, "rfind": findLast, "index": index, "rindex": indexLast, "count": count,
            "replace": replace, "join": join, "format": format, "format_map": formatMap,
            "center": center, "ljust": justifyLeft, "rjust": justifyRight, "zfill": zeroFill, "expandtabs": expandTabs,
        ]

        // MARK: of one text

        private static func receiver(_ value: Value) -> Text { value.text ?? Text() }

        private static func plain(_ transform: @escaping @Sendable (Text) -> Text) -> Method {
            { (rendering, value, arguments) throws(TemplateError) in
                _ = try arguments.list("str method", 0, 0)
                try rendering.chargeText(receiver(value).bytes.count)
                return .string(transform(receiver(value)))
            }
        }

        private static func predicate(_ test: @escaping @Sendable (Text) -> Bool) -> Method {
            { (rendering, value, arguments) throws(TemplateError) in
                _ = try arguments.list("str method", 0, 0)
                try rendering.chargeText(receiver(value).bytes.count)
                return .bool(test(receiver(value)))
            }
        }

        private static func casefolded(_ text: Text) -> Text {
            // Full case folding is lower case, but for the letters whose lower case is not what their capital's is.
            var result = Text()
            for scalar in text.scalars {
                switch scalar {
                case "ß": result.append("ss")
                case "ς": result.append("σ")
                case "ſ": result.append("s")
                default: result.bytes.append(contentsOf: scalar.properties.lowercaseMapping.utf8)
                }
            }
            return result
        }

        private static func isIdentifier(_ text: Text) -> Bool {
            guard let first = text.scalars.first, first == "_" || first.properties.isXIDStart else { return false }
            return text.scalars.allSatisfy { $0.properties.isXIDContinue }
        }

        // MARK: ends

        static func stripped(_ text: Text, _ characters: Value?, _ side: Text.Side) throws(TemplateError) -> Text {
            guard let characters, !characters.isNone else { return text.stripped(side) }
            guard let set = characters.text else { throw .evaluation("strip arg must be None or str") }
            let scalars = Set(set.scalars)
            return text.stripped(side) { scalars.contains($0) }
        }

        private static func stripping(_ side: Text.Side) -> Method {
            { (rendering, value, arguments) throws(TemplateError) in
                let characters = try arguments.list("strip", 0, 1).first
                try rendering.chargeText(receiver(value).bytes.count)
                return .string(try stripped(receiver(value), characters, side))
            }
        }

        private static let strip = stripping(.both)
        private static let stripLeft = stripping(.left)
        private static let stripRight = stripping(.right)

        /// The code points `start..<stop` of a text, as the optional arguments of `find` and its kin name them.
        private static func window(_ text: Text, _ start: Value?, _ stop: Value?) throws(TemplateError) -> (text: Text, start: Int)? {
            let first = start.flatMap { $0.isNone ? nil : $0 }
            let last = stop.flatMap { $0.isNone ? nil : $0 }
            if first == nil, last == nil { return (text, 0) }
            let count = text.count
            func clamp(_ value: Int) -> Int { max(0, value < 0 ? value &+ count : value) }
            let from = clamp(try first?.index("slice") ?? 0)
            let to = min(clamp(try last?.index("slice") ?? count), count)
            return from <= to ? (text.slice(from..<to), from) : nil
        }

        private static func matching(_ name: String, _ test: @escaping @Sendable (Text, Text) -> Bool) -> Method {
            { (rendering, value, arguments) throws(TemplateError) in
                let list = try arguments.list(name, 1, 3)
                try rendering.charge(receiver(value).bytes.count >> 10)
                guard let (text, _) = try window(receiver(value), list.dropFirst().first, list.dropFirst(2).first) else { return .bool(false) }
                if case .tuple(let choices) = list[0] {
                    for choice in choices.values where test(text, try choice.string(name)) { return .bool(true) }
                    return .bool(false)
                }
                return .bool(test(text, try list[0].string(name)))
            }
        }

        private static let startsWith = matching("startswith") { $0.hasPrefix($1) }
        private static let endsWith = matching("endswith") { $0.hasSuffix($1) }

        private static let removePrefix: Method = { (rendering, value, arguments) throws(TemplateError) in
            let prefix = try arguments.list("removeprefix", 1, 1)[0].string("removeprefix")
            let text = receiver(value)
            return try rendering.string(text.hasPrefix(prefix) ? Text(bytes: text.bytes[prefix.bytes.count...]) : text)
        }

        private static let removeSuffix: Method = { (rendering, value, arguments) throws(TemplateError) in
            let suffix = try arguments.list("removesuffix", 1, 1)[0].string("removesuffix")
            let text = receiver(value)
            return try rendering.string(text.hasSuffix(suffix) ? Text(bytes: text.bytes[..<(text.bytes.count - suffix.bytes.count)]) : text)
        }

        // MARK: splitting

        private static func splitting(_ name: String, fromEnd: Bool) -> Method {
            { (rendering, value, arguments) throws(TemplateError) in
                let bound = try arguments.bind(name, ["sep", "maxsplit"])
                let text = receiver(value)
                try rendering.chargeText(text.bytes.count)
                let limit = try bound[1]?.index(name) ?? -1
                let most = limit < 0 ? Int.max : limit
                guard let separator = bound[0], !separator.isNone else {
                    return try rendering.list(fromEnd ? text.splitOnSpaceFromEnd(limit: most) : text.splitOnSpace(limit: most))
                }
                let mark = try separator.string(name)
                guard !mark.isEmpty else { throw .evaluation("empty separator") }
                let offsets = fromEnd ? text.offsetsFromEnd(of: mark, limit: most).reversed() : text.offsets(of: mark, limit: most)
                return try rendering.list(pieces(of: text, at: offsets, size: mark.bytes.count))
            }
        }

        private static func pieces(of text: Text, at offsets: [Int], size: Int) -> [Text] {
            var result: [Text] = []
            result.reserveCapacity(offsets.count + 1)
            var start = 0
            for offset in offsets {
                result.append(Text(bytes: text.bytes[start..<offset]))
                start = offset + size
            }
            result.append(Text(bytes: text.bytes[start...]))
            return result
        }

        private static let split = splitting("split", fromEnd: false)
        private static let splitFromEnd = splitting("rsplit", fromEnd: true)

        private static let splitLines: Method = { (rendering, value, arguments) throws(TemplateError) in
            let keeps = try arguments.bind("splitlines", ["keepends"])[0]?.isTrue ?? false
            try rendering.chargeText(receiver(value).bytes.count)
            return try rendering.list(receiver(value).lines(keepingEnds: keeps))
        }

        private static func partitioning(_ name: String, fromEnd: Bool) -> Method {
            { (rendering, value, arguments) throws(TemplateError) in
                let mark = try arguments.list(name, 1, 1)[0].string(name)
                guard !mark.isEmpty else { throw .evaluation("empty separator") }
                let text = receiver(value)
                try rendering.chargeText(text.bytes.count)
                guard let offset = (fromEnd ? text.offsetsFromEnd(of: mark, limit: 1) : text.offsets(of: mark, limit: 1)).first else {
                    let whole = Value.string(text)
                    return try rendering.tuple(fromEnd ? [.string(Text()), .string(Text()), whole] : [whole, .string(Text()), .string(Text())])
                }
                let parts = pieces(of: text, at: [offset], size: mark.bytes.count)
                return try rendering.tuple([.string(parts[0]), .string(mark), .string(parts[1])])
            }
        }

        private static let partition = partitioning("partition", fromEnd: false)
        private static let partitionFromEnd = partitioning("rpartition", fromEnd: true)

        // MARK: searching

        private static func searching(_ name: String, fromEnd: Bool, failing: Bool) -> Method {
            { (rendering, value, arguments) throws(TemplateError) in
                let list = try arguments.list(name, 1, 3)
                let part = try list[0].string(name)
                try rendering.chargeText(receiver(value).bytes.count)
                if let (text, start) = try window(receiver(value), list.dropFirst().first, list.dropFirst(2).first) {
                    let offset: Int?
                    if part.isEmpty {
                        offset = fromEnd ? text.bytes.count : 0
                    } else {
                        offset = fromEnd ? text.offsetsFromEnd(of: part, limit: 1).first : text.firstOffset(of: part)
                    }
                    if let offset { return .int(start + Text(bytes: text.bytes[..<offset]).count) }
                }
                guard !failing else { throw .evaluation("substring not found") }
                return .int(-1)
            }
        }

        private static let find = searching("find", fromEnd: false, failing: false)
        private static let findLast = searching("rfind", fromEnd: true, failing: false)
        private static let index = searching("index", fromEnd: false, failing: true)
        private static let indexLast = searching("rindex", fromEnd: true, failing: true)

        private static let count: Method = { (rendering, value, arguments) throws(TemplateError) in
            let list = try arguments.list("count", 1, 3)
            let part = try list[0].string("count")
            try rendering.chargeText(receiver(value).bytes.count)
            guard let (text, _) = try window(receiver(value), list.dropFirst().first, list.dropFirst(2).first) else { return .int(0) }
            return .int(part.isEmpty ? text.count + 1 : text.offsets(of: part).count)
        }

        // MARK: building

        /// `text.replace(old, new, limit)`; a negative limit is none.
        static func replaced(_ text: Text, _ old: Text, _ new: Text, _ limit: Int, _ rendering: Rendering) throws(TemplateError) -> Text {
            let most = limit < 0 ? Int.max : limit
            try rendering.charge(1 + text.bytes.count >> 8)
            var offsets: [Int] = []
            if old.isEmpty {
                var at = 0
                while offsets.count < most {
                    offsets.append(at)
                    guard at < text.bytes.count else { break }
                    at = text.offset(after: at)
                }
            } else {
                offsets = text.offsets(of: old, limit: most)
            }
            guard !offsets.isEmpty else { return text }
            let (growth, overflow) = offsets.count.multipliedReportingOverflow(by: new.bytes.count)
            try rendering.chargeText(overflow ? .max : text.bytes.count + growth)
            var result = Text()
            result.bytes.reserveCapacity(text.bytes.count + growth)
            var start = 0
            for offset in offsets {
                result.bytes.append(contentsOf: text.bytes[start..<offset])
                result.append(new)
                start = offset + old.bytes.count
            }
            result.bytes.append(contentsOf: text.bytes[start...])
            return result
        }

        private static let replace: Method = { (rendering, value, arguments) throws(TemplateError) in
            let list = try arguments.list("replace", 2, 3)
            let limit = try list.dropFirst(2).first?.index("replace") ?? -1
            return .string(try replaced(receiver(value), try list[0].string("replace"), try list[1].string("replace"), limit, rendering))
        }

        private static let join: Method = { (rendering, value, arguments) throws(TemplateError) in
            let sequence = try arguments.list("join", 1, 1)[0]
            let separator = receiver(value)
            var result = Text()
            for (index, element) in try rendering.elements(of: sequence).enumerated() {
                guard let text = element.text else {
                    throw .evaluation("sequence item \(index): expected str instance, \(element.typeName) found")
                }
                if index > 0 { result.append(separator) }
                result.append(text)
                try rendering.charge(1 + (text.bytes.count + separator.bytes.count) >> 8)
                guard result.bytes.count <= Limits.templateOutputBytes else { throw .limit("a text of more than \(Limits.templateOutputBytes) bytes") }
            }
            return .string(result)
        }

        private static let format: Method = { (rendering, value, arguments) throws(TemplateError) in
            .string(try rendering.formatBraces(receiver(value), arguments))
        }

        private static let formatMap: Method = { (rendering, value, arguments) throws(TemplateError) in
            guard case .dictionary(let members) = try arguments.list("format_map", 1, 1)[0] else {
                throw .evaluation("format_map() needs a mapping")
            }
            var named = Arguments()
            for (key, value) in members.values { if let name = key.text { named.keywords.append((name.string, value)) } }
            return .string(try rendering.formatBraces(receiver(value), named))
        }

        // MARK: widths

        private static func justifying(_ name: String, _ alignment: Unicode.Scalar) -> Method {
            { (rendering, value, arguments) throws(TemplateError) in
                let list = try arguments.list(name, 1, 2)
                let fill = try list.dropFirst().first?.string(name) ?? " "
                guard fill.count == 1 else { throw .evaluation("The fill character must be exactly one character long") }
                return .string(try justified(receiver(value), try list[0].index(name), alignment, fill.scalars[0], rendering))
            }
        }

        static func justified(_ text: Text, _ width: Int, _ alignment: Unicode.Scalar, _ fill: Unicode.Scalar, _ rendering: Rendering) throws(TemplateError) -> Text {
            try rendering.chargeText(max(width, text.bytes.count))
            var spec = FormatSpecification()
            let count = text.count
            (spec.fill, spec.alignment, spec.width) = (fill, alignment, width)
            guard alignment == "^", width > count else { return try spec.padded(text, natural: "<") }
            // Python centres an odd gap to the left for odd widths; the format language does not.
            let missing = width - count
            let left = missing / 2 + (missing & width & 1)
            return Text(scalars: repeatElement(fill, count: left)) + text + Text(scalars: repeatElement(fill, count: missing - left))
        }

        private static let center = justifying("center", "^")
        private static let justifyLeft = justifying("ljust", "<")
        private static let justifyRight = justifying("rjust", ">")

        private static let zeroFill: Method = { (rendering, value, arguments) throws(TemplateError) in
            let width = try arguments.list("zfill", 1, 1)[0].index("zfill")
            let text = receiver(value)
            try rendering.chargeText(max(width, text.bytes.count))
            let missing = width - text.count
            guard missing > 0 else { return .string(text) }
            let hasSign = text.bytes.first == UInt8(ascii: "-") || text.bytes.first == UInt8(ascii: "+")
            let zeros = [UInt8](repeating: UInt8(ascii: "0"), count: missing)
            return .string(Text(bytes: text.bytes.prefix(hasSign ? 1 : 0) + zeros + text.bytes.dropFirst(hasSign ? 1 : 0)))
        }

        private static let expandTabs: Method = { (rendering, value, arguments) throws(TemplateError) in
            let size = try arguments.bind("expandtabs", ["tabsize"])[0]?.index("expandtabs") ?? 8
            let text = receiver(value)
            let tabs = text.bytes.count { $0 == 0x09 }
            let (growth, overflow) = tabs.multipliedReportingOverflow(by: max(0, size))
            try rendering.chargeText(overflow ? .max : text.bytes.count + growth)
            var result = Text()
            var column = 0
            for scalar in text.scalars {
                if scalar == "\t" {
                    guard size > 0 else { continue }
                    let blanks = size - column % size
                    result.bytes.append(contentsOf: repeatElement(0x20, count: blanks))
                    column += blanks
                } else {
                    result.append(scalar: scalar)
                    column = scalar == "\n" || scalar == "\r" ? 0 : column + 1
                }
            }
            return .string(result)
        }
    }
}
