// Post-processors: the special tokens around a text.
//
// Only what they do to one text's ids matters here (a daemon never encodes pairs), and that is at most a template:
// some ids, the text, some ids. Offsets and type ids, their other business, do not exist here.

import BerthCore

/// The post-processor of a tokenizer.
struct PostProcessor: Sendable {
    private enum Piece: Sendable {
        case text
        case special([Int32])
    }

    /// Nil where no template applies: the text alone.
    private var template: [Piece]?

    init() {}

    /// A token before and a token after the text, where there are any.
    init(begin: Int32?, end: Int32?) {
        template = [.special(begin.map { [$0] } ?? []), .text, .special(end.map { [$0] } ?? [])]
    }

    init(_ reader: ComponentReader) throws(TextError) { try append(reader) }

    private mutating func append(_ reader: ComponentReader, depth: Int = 1) throws(TextError) {
        let type = try reader.string("type")
        let template: [Piece]
        switch type {
        case "Sequence":
            for part in try reader.components("processors") { try append(part, depth: depth + 1) }
            return
        case "ByteLevel": return
        case "TemplateProcessing": template = try Self.template(reader)
        case "BertProcessing", "RobertaProcessing":
            template = [.special([try Self.namedToken(reader, "cls")]), .text, .special([try Self.namedToken(reader, "sep")])]
        default: throw reader.error(.unsupported, "type", "no such post-processor: '\(type)'")
        }
        guard self.template == nil else { throw reader.error(.unsupported, "type", "a second template in one sequence") }
        self.template = template
    }

    /// The template `single`, with the ids of its special tokens.
    private static func template(_ reader: ComponentReader) throws(TextError) -> [Piece] {
        var pieces: [Piece] = []
        for part in try reader.components("single") {
            if part.value("Sequence") != nil {
                let sequence = try ComponentReader(part.value("Sequence")!, part.path + ".Sequence")
                guard try sequence.string("id") == "A" else { throw sequence.error(.unsupported, "id", "a single text has the sequence A only") }
                pieces.append(.text)
            } else {
                let special = try ComponentReader(part.value("SpecialToken") ?? .null, part.path + ".SpecialToken")
                let name = try special.string("id")
                guard let tokens = reader.value("special_tokens")?[name] else {
                    throw special.error(.inconsistent, "id", "'\(name)' is not among special_tokens")
                }
                let definition = try ComponentReader(tokens, "\(reader.path).special_tokens['\(name)']")
                var ids: [Int32] = []
                for id in try definition.array("ids") { ids.append(try identifier(id, definition, "ids")) }
                pieces.append(.special(ids))
            }
            guard pieces.count <= Limits.tokenizerSteps else { throw TextError(.tooLarge, "\(reader.path): more than \(Limits.tokenizerSteps) pieces") }
        }
        return pieces
    }

    /// The id in `["token", id]`.
    private static func namedToken(_ reader: ComponentReader, _ key: String) throws(TextError) -> Int32 {
        let pair = try reader.array(key)
        guard pair.count == 2 else { throw reader.wrongType(key, "a token and its id") }
        return try identifier(pair[1], reader, key)
    }

    private static func identifier(_ json: JSON, _ reader: ComponentReader, _ key: String) throws(TextError) -> Int32 {
        guard let id = json.int, id >= 0, id <= Limits.tokenIdentifier else {
            throw reader.error(.malformed, key, "\(json.text) is no token id")
        }
        return Int32(id)
    }

    var hasTemplate: Bool { template != nil }

    /// The greatest id that it can add, or -1.
    var greatestID: Int32 {
        (template ?? []).flatMap { piece -> [Int32] in
            if case .special(let ids) = piece { return ids }
            return []
        }.max() ?? -1
    }

    /// Appends `ids`, the ids of a text, with what belongs around them.
    func process(_ ids: [Int32], addSpecialTokens: Bool) -> [Int32] {
        guard let template else { return ids }
        var result: [Int32] = []
        result.reserveCapacity(ids.count + template.count)
        for piece in template {
            switch piece {
            case .text: result += ids
            case .special(let special): if addSpecialTokens { result += special }
            }
        }
        return result
    }
}
