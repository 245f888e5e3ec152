// tokenizer.json as a whole: its parts, read and checked.

import BerthCore

/// The parts of a `tokenizer.json`.
struct TokenizerFile {
    let model: BytePairEncoder
    let normalizer: Normalizer
    let preTokenizer: PreTokenizer
    let postProcessor: PostProcessor
    let decoder: Decoder
    let addedTokens: [AddedToken]
    /// What is odd about the file and yet has a meaning.
    let warnings: [String]

    /// Reads the bytes of the file, which need to live for this call only.
    init(parsing bytes: UnsafeBufferPointer<UInt8>) throws(TextError) {
        guard bytes.count <= Limits.tokenizerFileBytes else {
            throw TextError(.tooLarge, "tokenizer.json: more than \(Limits.tokenizerFileBytes) bytes")
        }
        do throws(TextError) {
            var scanner = JSONScanner(bytes)
            var model: BytePairEncoder?
            var parts: [String: JSON] = [:]
            try scanner.forEachMember { key, scanner throws(TextError) in
                if key == "model" { model = try BytePairEncoder(&scanner) } else { parts[key] = try scanner.json(in: try scanner.skipValue(), key) }
            }
            scanner.skipSpace()
            guard scanner.at == bytes.count else { throw scanner.error("text after the end of the document") }
            guard let model else { throw TextError(.malformed, "model: is missing") }
            if let version = parts["version"], !version.isNull, version != "1.0" {
                throw TextError(.unsupported, "version: no such version: \(version.text)")
            }
            func component(_ key: String) throws(TextError) -> ComponentReader? {
                guard let json = parts[key], !json.isNull else { return nil }
                return try ComponentReader(json, key)
            }
            self.model = model
            normalizer = try component("normalizer").map { reader throws(TextError) in try Normalizer(reader) } ?? Normalizer()
            preTokenizer = try component("pre_tokenizer").map { reader throws(TextError) in try PreTokenizer(reader) } ?? PreTokenizer()
            postProcessor = try component("post_processor").map { reader throws(TextError) in try PostProcessor(reader) } ?? PostProcessor()
            decoder = try component("decoder").map { reader throws(TextError) in try Decoder(reader) } ?? Decoder()
            var warnings: [String] = []
            addedTokens = try Self.addedTokens(parts["added_tokens"] ?? .null, model.vocabulary, &warnings)
            self.warnings = warnings
        } catch {
            throw error.at("tokenizer.json")
        }
    }

    /// The list `added_tokens`. A token that the model knows has the model's id; others are numbered from the size of the
    /// model's vocabulary on, in their order, which is how the reference assigns ids (it ignores the file's).
    private static func addedTokens(_ json: JSON, _ vocabulary: Vocabulary, _ warnings: inout [String]) throws(TextError) -> [AddedToken] {
        guard !json.isNull else { return [] }
        guard let list = json.array else { throw TextError(.malformed, "added_tokens: expected a list, found \(json.kind)") }
        guard list.count <= Limits.addedTokens else { throw TextError(.tooLarge, "added_tokens: more than \(Limits.addedTokens)") }
        var tokens: [AddedToken] = []
        var seen: [[UInt8]: Int] = [:]
        var nextID = vocabulary.count
        for (index, element) in list.enumerated() {
            let reader = try ComponentReader(element, "added_tokens[\(index)]")
            let content = Array(try reader.string("content").utf8)
            let declared = try reader.int("id", in: 0...Limits.tokenIdentifier)
            guard !content.isEmpty else { continue }
            guard seen.updateValue(index, forKey: content) == nil else { throw reader.error(.inconsistent, "content", "the same token twice") }
            var id = Int(vocabulary.id(of: content) ?? -1)
            if id < 0 {
                id = nextID
                nextID += 1
                guard id <= Limits.tokenIdentifier else { throw reader.error(.tooLarge, "id", "\(id) is above \(Limits.tokenIdentifier)") }
                guard !vocabulary.contains(id: Int32(id)) else { throw reader.error(.inconsistent, "id", "\(id) is the id of another token too") }
            }
            if id != declared { warnings.append("\(reader.path).id is \(declared), but the token's place makes it \(id)") }
            tokens.append(AddedToken(
                content: content, id: Int32(id), isSingleWord: try reader.bool("single_word", default: false),
                stripsLeft: try reader.bool("lstrip", default: false), stripsRight: try reader.bool("rstrip", default: false),
                isNormalized: try reader.bool("normalized", default: true), isSpecial: try reader.bool("special", default: false)))
        }
        return tokens
    }
}
