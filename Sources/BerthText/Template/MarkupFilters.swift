// HTML and URLs. Automatic escaping is off, but templates use `safe` and `escape` by habit, and text so marked escapes what
// is added to it.

import BerthCore

extension Jinja.Rendering {
    /// `text` with the characters that mean something in HTML replaced.
    func escaped(_ text: Jinja.Text) throws(TemplateError) -> Jinja.Text {
        var result: [UInt8] = []
        for byte in text.bytes {
            switch byte {
            case UInt8(ascii: "&"): result.append(contentsOf: "&amp;".utf8)
            case UInt8(ascii: "<"): result.append(contentsOf: "&lt;".utf8)
            case UInt8(ascii: ">"): result.append(contentsOf: "&gt;".utf8)
            case UInt8(ascii: "'"): result.append(contentsOf: "&#39;".utf8)
            case UInt8(ascii: "\""): result.append(contentsOf: "&#34;".utf8)
            default: result.append(byte)
            }
        }
        try chargeText(result.count)
        return Jinja.Text(bytes: result)
    }
}

extension Jinja.Filters {
    static let escape: FilterFunction = { (rendering, value, arguments) throws(TemplateError) in
        _ = try arguments.list("escape", 0, 0)
        if case .markup = value { return value }
        return .markup(try rendering.escaped(try rendering.text(of: value)))
    }

    static let forceEscape: FilterFunction = { (rendering, value, arguments) throws(TemplateError) in
        _ = try arguments.list("forceescape", 0, 0)
        return .markup(try rendering.escaped(try rendering.text(of: value)))
    }

    static let safe: FilterFunction = { (rendering, value, arguments) throws(TemplateError) in
        _ = try arguments.list("safe", 0, 0)
        return .markup(try rendering.text(of: value))
    }

    /// The text without tags and comments, white space collapsed, and the common entities read.
    static let stripTags: FilterFunction = { (rendering, value, arguments) throws(TemplateError) in
        _ = try arguments.list("striptags", 0, 0)
        let text = try rendering.text(of: value)
        try rendering.chargeText(text.bytes.count)
        var kept: [UInt8] = []
        var at = 0
        while let start = text.firstOffset(of: "<", from: at) {
            let isComment = text.bytes[start...].starts(with: "<!--".utf8)
            guard let end = isComment ? text.firstOffset(of: "-->", from: start + 4) : text.firstOffset(of: ">", from: start) else { break }
            kept += text.bytes[at..<start]
            at = end + (isComment ? 3 : 1)
        }
        kept += text.bytes[at...]
        let words = Text(bytes: kept).splitOnSpace(limit: .max)
        var result = Text()
        for (index, word) in words.enumerated() {
            if index > 0 { result.append(" ") }
            result.append(word)
        }
        return .string(unescaped(result))
    }

    private static let entities: [String: Unicode.Scalar] = [
        "amp": "&", "lt": "<", "gt": ">", "quot": "\"", "apos": "'", "nbsp": "\u{A0}", "raquo": "»", "laquo": "«", "copy": "©",
        "hellip": "…", "mdash": "—", "ndash": "–",
    ]

    private static func unescaped(_ text: Text) -> Text {
        var result = Text()
        var at = 0
        while let start = text.firstOffset(of: "&", from: at) {
            result.bytes += text.bytes[at..<start]
            at = start + 1
            guard let end = text.firstOffset(of: ";", from: at), end - at <= 10, let scalar = entity(String(decoding: text.bytes[at..<end], as: UTF8.self))
            else {
                result.append("&")
                continue
            }
            result.append(scalar: scalar)
            at = end + 1
        }
        result.bytes += text.bytes[at...]
        return result
    }

    private static func entity(_ name: String) -> Unicode.Scalar? {
        guard name.hasPrefix("#") else { return entities[name] }
        let digits = name.dropFirst()
        let isHexadecimal = digits.first == "x" || digits.first == "X"
        return UInt32(isHexadecimal ? digits.dropFirst() : digits, radix: isHexadecimal ? 16 : 10).flatMap(Unicode.Scalar.init)
    }

    static let urlEncode: FilterFunction = { (rendering, value, arguments) throws(TemplateError) in
        _ = try arguments.list("urlencode", 0, 0)
        var pairs: [Value]
        switch value {
        case .dictionary(let members): pairs = try rendering.elements(of: .view(Jinja.DictionaryView(kind: .items, members: members)))
        case .list, .tuple, .iterator, .view, .range: pairs = try rendering.elements(of: value)
        default: return .string(quoted(try rendering.text(of: value), inQuery: false))
        }
        var result = Text()
        for (index, pair) in pairs.enumerated() {
            let parts = try rendering.elements(of: pair)
            guard parts.count == 2 else { throw .evaluation("urlencode() needs pairs") }
            if index > 0 { result.append("&") }
            result.append(quoted(try rendering.text(of: parts[0]), inQuery: true))
            result.append("=")
            result.append(quoted(try rendering.text(of: parts[1]), inQuery: true))
            try rendering.chargeText(result.bytes.count)
        }
        return .string(result)
    }

    private static func quoted(_ text: Text, inQuery: Bool) -> Text {
        let digits = Array("0123456789ABCDEF".utf8)
        var result: [UInt8] = []
        for byte in text.bytes {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
                UInt8(ascii: "_"), UInt8(ascii: "."), UInt8(ascii: "-"), UInt8(ascii: "~"):
                result.append(byte)
            case UInt8(ascii: "/") where !inQuery: result.append(byte)
            case UInt8(ascii: " ") where inQuery: result.append(UInt8(ascii: "+"))
            default: result += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            }
        }
        return Text(bytes: result)
    }
}
