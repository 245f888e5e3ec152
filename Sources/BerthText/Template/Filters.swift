// The filters behind `|`, by name. Their bodies are in TextFilters, SequenceFilters and NumberFilters.
//
// Left out of Jinja's own: `random` (a rendering is a function of its input), `urlize`, `pprint` and `xmlattr` (for web
// pages); a template that needs one of them is refused when it is compiled.

extension Jinja {
    enum Filters {
        static let table: [String: FilterFunction] = [
            // text
            "capitalize": capitalize, "center": center, "e": escape, "escape": escape, "forceescape": forceEscape, "format": format,
            "indent": indent, "lower": lower, "replace": replace, "safe": safe, "string": string, "striptags": stripTags, "title": title,
            "trim": trim, "truncate": truncate, "upper": upper, "urlencode": urlEncode, "wordcount": wordCount, "wordwrap": wordWrap,
            "tojson": toJSON,
            // sequences
            "batch": batch, "count": length, "dictsort": dictionarySort, "first": first, "groupby": groupBy, "items": items, "join": join,
            "last": last, "length": length, "list": list, "map": map, "max": max, "min": min, "reject": reject, "rejectattr": rejectAttribute,
            "reverse": reverse, "select": select, "selectattr": selectAttribute, "slice": slice, "sort": sort, "sum": sum, "unique": unique,
            // numbers and the rest
            "abs": abs, "attr": attribute, "d": fallback, "default": fallback, "filesizeformat": fileSize, "float": float, "int": integer,
            "round": round,
        ]

        // MARK: shared by several

        /// Strings in lower case, everything else as it is: how filters that sort or compare ignore case.
        static func ignoringCase(_ value: Value) -> Value {
            value.text.map { .string($0.lowercased()) } ?? value
        }

        /// A way from a value to one of its parts, such as "function.name" or 0.
        struct AttributePath {
            var parts: [Value] = []

            /// Throws: evaluation, where `path` is neither text nor number.
            init(_ path: Value) {
                guard let text = path.text else {
                    if !path.isNone { parts = [path] }
                    return
                }
                let dots = text.offsets(of: ".")
                var start = 0
                for end in dots + [text.bytes.count] {
                    let part = Text(bytes: text.bytes[start..<end])
                    parts.append(part.all(\.isPythonDigit) ? Int(part.string).map { .int($0) } ?? .string(part) : .string(part))
                    start = end + 1
                }
            }

            func value(in root: Value, default fallback: Value?, _ rendering: Rendering) throws(TemplateError) -> Value {
                var value = root
                for part in parts {
                    value = try rendering.item(part, of: value)
                    if let fallback, value.isUndefined { value = fallback }
                }
                return value
            }
        }
    }
}

extension Jinja.Rendering {
    /// `values` in rising order of their keys (falling where `reversed`); equal ones keep their order.
    func sorted(_ values: [Value], reversed: Bool = false, by key: (Value) throws(TemplateError) -> Value) throws(TemplateError) -> [Value] {
        var keyed: [(key: Value, value: Value)] = []
        keyed.reserveCapacity(values.count)
        for value in values { keyed.append((try key(value), value)) }
        // Merge from runs of one: the standard sort takes no comparison that throws a typed error.
        var width = 1
        while width < keyed.count {
            var merged: [(key: Value, value: Value)] = []
            merged.reserveCapacity(keyed.count)
            var start = 0
            while start < keyed.count {
                let middle = min(start + width, keyed.count)
                let end = min(middle + width, keyed.count)
                var left = start
                var right = middle
                while left < middle, right < end {
                    try charge()
                    let takesRight = reversed
                        ? try precedes(keyed[left].key, keyed[right].key) : try precedes(keyed[right].key, keyed[left].key)
                    merged.append(keyed[takesRight ? right : left])
                    if takesRight { right += 1 } else { left += 1 }
                }
                merged += keyed[left..<middle]
                merged += keyed[right..<end]
                start = end
            }
            keyed = merged
            width *= 2
        }
        return keyed.map(\.value)
    }
}
