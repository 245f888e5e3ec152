// `tojson`: Python's json.dumps, whose spacing templates rely on (", " and ": ", not the compact form of BerthCore's
// writer), and values to and from BerthCore's JSON.

import BerthCore
import OrderedCollections

extension Jinja {
    struct JSONStyle {
        var isASCIIOnly = false
        /// What one level of nesting is indented by; nil for a single line.
        var indent: Text?
        var itemSeparator: Text = ", "
        var keySeparator: Text = ": "
        var sortsKeys = false
    }
}

extension Jinja.Rendering {
    func json(_ value: Value, _ style: Jinja.JSONStyle) throws(TemplateError) -> Jinja.Text {
        var output: [UInt8] = []
        try writeJSON(value, style, to: &output, depth: 0)
        try charge(output.count >> 8)
        return Jinja.Text(bytes: output)
    }

    private func writeJSON(_ value: Value, _ style: Jinja.JSONStyle, to output: inout [UInt8], depth: Int) throws(TemplateError) {
        try charge()
        guard output.count <= Limits.templateOutputBytes else { throw .limit("a text of more than \(Limits.templateOutputBytes) bytes") }
        switch value {
        case .none: output.append(contentsOf: "null".utf8)
        case .bool(let value): output.append(contentsOf: (value ? "true" : "false").utf8)
        case .int(let value): output.append(contentsOf: String(value).utf8)
        case .float(let value): output.append(contentsOf: Self.jsonDescription(of: value).utf8)
        case .string(let text), .markup(let text): Self.writeJSON(text, style, to: &output)
        case .list(let elements), .tuple(let elements): try writeJSON(elements.values, style, to: &output, depth: depth)
        case .dictionary(let members): try writeJSON(members, style, to: &output, depth: depth)
        default: throw .evaluation("Object of type \(value.typeName) is not JSON serializable")
        }
    }

    private static func jsonDescription(of value: Double) -> String {
        value.isNaN ? "NaN" : value.isInfinite ? (value < 0 ? "-Infinity" : "Infinity") : Jinja.pythonDescription(of: value)
    }

    private func newline(_ style: Jinja.JSONStyle, to output: inout [UInt8], depth: Int) {
        guard let indent = style.indent else { return }
        output.append(0x0A)
        for _ in 0..<depth { output.append(contentsOf: indent.bytes) }
    }

    private func writeJSON(_ values: [Value], _ style: Jinja.JSONStyle, to output: inout [UInt8], depth: Int) throws(TemplateError) {
        output.append(UInt8(ascii: "["))
        for (index, value) in values.enumerated() {
            if index > 0 { output.append(contentsOf: style.itemSeparator.bytes) }
            newline(style, to: &output, depth: depth + 1)
            try writeJSON(value, style, to: &output, depth: depth + 1)
        }
        if !values.isEmpty { newline(style, to: &output, depth: depth) }
        output.append(UInt8(ascii: "]"))
    }

    private func writeJSON(_ members: Jinja.Members, _ style: Jinja.JSONStyle, to output: inout [UInt8], depth: Int) throws(TemplateError) {
        output.append(UInt8(ascii: "{"))
        var keys = Array(members.values.keys)
        if style.sortsKeys { keys = try sorted(keys) { $0 } }
        for (index, key) in keys.enumerated() {
            if index > 0 { output.append(contentsOf: style.itemSeparator.bytes) }
            newline(style, to: &output, depth: depth + 1)
            Self.writeJSON(try Self.jsonKey(key), style, to: &output)
            output.append(contentsOf: style.keySeparator.bytes)
            try writeJSON(members.values[key]!, style, to: &output, depth: depth + 1)
        }
        if !keys.isEmpty { newline(style, to: &output, depth: depth) }
        output.append(UInt8(ascii: "}"))
    }

    private static func jsonKey(_ key: Value) throws(TemplateError) -> Jinja.Text {
        switch key {
        case .string(let text), .markup(let text): text
        case .none: "null"
        case .bool(let value): value ? "true" : "false"
        case .int(let value): Jinja.Text(String(value))
        case .float(let value): Jinja.Text(jsonDescription(of: value))
        default: throw .evaluation("keys must be str, int, float, bool or None, not \(key.typeName)")
        }
    }

    private static func writeJSON(_ text: Jinja.Text, _ style: Jinja.JSONStyle, to output: inout [UInt8]) {
        guard style.isASCIIOnly else { return JSON.write(string: text.string, to: &output) }
        var plain: [UInt8] = []
        JSON.write(string: text.string, to: &plain)
        for scalar in String(decoding: plain, as: UTF8.self).unicodeScalars {
            if scalar.isASCII, scalar.value != 0x7F {
                output.append(UInt8(scalar.value))
                continue
            }
            for unit in String(scalar).utf16 {
                let digits = String(unit, radix: 16)
                output.append(contentsOf: ("\\u" + String(repeating: "0", count: 4 - digits.count) + digits).utf8)
            }
        }
    }
}

extension Jinja.Value {
    /// A document as a template sees it. Throws: limit, where it is too deep or too large.
    init(_ json: JSON, depth: Int = 0) throws(TemplateError) {
        guard depth <= Limits.jsonDepth else { throw .limit("a value nested deeper than \(Limits.jsonDepth) levels") }
        switch json {
        case .null: self = .none
        case .bool(let value): self = .bool(value)
        case .integer(let value): self = .int(Int(value))
        case .number(let value): self = .float(value)
        case .string(let value): self = .string(Jinja.Text(value))
        case .array(let elements):
            var values: [Self] = []
            values.reserveCapacity(elements.count)
            for element in elements { values.append(try Self(element, depth: depth + 1)) }
            self = .list(try Jinja.Elements(values))
        case .object(let members):
            var values = Jinja.Dictionary(minimumCapacity: members.count)
            for (key, value) in members { values[.string(Jinja.Text(key))] = try Self(value, depth: depth + 1) }
            self = .dictionary(try Jinja.Members(values))
        }
    }
}
