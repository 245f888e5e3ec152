// A file of settings as it is written: lines "key = value", then sections.
//
//     # a comment
//     memory = 8G                  # another
//     adapters = "/srv/my # adapters"
//
//     [tenant acme]
//     uid = 1001
//
// Knows nothing of what the keys mean. A value may stand in double quotes, and has to where it contains a space and a "#".

struct ConfigurationFile {
    struct Entry: Equatable {
        /// Counted from 1.
        var line: Int
        var key: String
        var value: String
    }

    struct Section: Equatable {
        var line: Int
        /// What stands in the brackets.
        var title: String
        var entries: [Entry] = []
    }

    let path: String
    /// Before the first section.
    private(set) var settings: [Entry] = []
    private(set) var sections: [Section] = []

    init(path: String, text: String) throws(ConfigurationError) {
        self.path = path
        var seen: Set<String> = []
        for (index, raw) in text.split(omittingEmptySubsequences: false, whereSeparator: { $0 == "\n" || $0 == "\r\n" }).enumerated() {
            let (line, text) = (index + 1, Self.trimmed(raw))
            if text.isEmpty || text.hasPrefix("#") { continue }
            if text.hasPrefix("[") {
                let title = Self.withoutComment(text)
                guard title.hasSuffix("]") else { throw error(line, "a section is '[tenant NAME]'") }
                sections.append(Section(line: line, title: String(Self.trimmed(title.dropFirst().dropLast()))))
                seen = []
                continue
            }
            guard let equals = text.firstIndex(of: "=") else { throw error(line, "expected 'key = value'") }
            let key = String(Self.trimmed(text[..<equals]))
            guard seen.insert(key).inserted else { throw error(line, "'\(key)' stands twice") }
            let entry = Entry(line: line, key: key, value: Self.value(Self.trimmed(text[text.index(after: equals)...])))
            if sections.isEmpty { settings.append(entry) } else { sections[sections.count - 1].entries.append(entry) }
        }
    }

    func error(_ line: Int, _ problem: String) -> ConfigurationError { ConfigurationError("\(path), line \(line): \(problem)") }

    private static func value(_ text: Substring) -> String {
        if text.hasPrefix("\""), let end = text.dropFirst().lastIndex(of: "\"") {
            let rest = trimmed(text[text.index(after: end)...])
            if rest.isEmpty || rest.hasPrefix("#") { return String(text[text.index(after: text.startIndex)..<end]) }
        }
        return String(withoutComment(text))
    }

    private static func withoutComment(_ text: Substring) -> Substring {
        guard let comment = text.indices.first(where: { text[$0] == "#" && $0 != text.startIndex && text[text.index(before: $0)].isWhitespace }) else { return text }
        return trimmed(text[..<comment])
    }

    static func trimmed(_ text: Substring) -> Substring {
        var text = text
        while let first = text.first, first.isWhitespace { text.removeFirst() }
        while let last = text.last, last.isWhitespace { text.removeLast() }
        return text
    }
}
