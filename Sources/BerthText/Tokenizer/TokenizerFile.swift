// tokenizer.json as a whole: its parts, read and checked.

import BerthCore

/// The parts of a `tokenizer.json`.
struct TokenizerFile {
    let model: BytePairEncoder
    let normalizer: Normalizer
    let preTokenizer: PreTokenizer
    let postProcessor: PostProcessor
    let decoder: Decoder
    /// With the traits of this file.
    let addedTokens: AddedTokenList

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
            var addedTokens = AddedTokenList(model.vocabulary)
            try addedTokens.add(parts["added_tokens"] ?? .null)
            self.addedTokens = addedTokens
        } catch {
            throw error.at("tokenizer.json")
        }
    }
}
