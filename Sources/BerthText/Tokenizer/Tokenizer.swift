// The tokenizer of a checkpoint: text to token ids and back, as the Hugging Face `tokenizers` package does it.
//
// Encoding: added tokens are cut out of the text; what is between them is normalized, cut into pieces (pre-tokenizer) and
// each piece encoded (model); special tokens go around the whole (post-processor). Decoding: ids become tokens, tokens
// become text (decoder). A tokenizer is made once, from a file of the world that is checked while it is read; from then on
// it is immutable, any number of threads may use it, and nothing that they give it can make it fail.

import BerthCore

/// A tokenizer, immutable and safe to share between threads.
public final class Tokenizer: Sendable {
    let model: BytePairEncoder
    private let normalizer: Normalizer
    private let preTokenizer: PreTokenizer
    private let postProcessor: PostProcessor
    private let decoder: Decoder
    /// By id; of the added tokens only. Their texts are what decoding shows, which for normalized ones is the normal form.
    private let addedTokens: [Int32: AddedToken]
    private let addedTexts: [Int32: [UInt8]]
    private let addedIDs: [[UInt8]: Int32]
    /// By id: whether it is in `addedTexts`, and whether decoding leaves it out when special tokens are skipped.
    private let flags: [UInt8]
    private static let isAdded: UInt8 = 1
    private static let isSkipped: UInt8 = 2
    private let matcher: AddedTokenMatcher
    private let normalizedMatcher: AddedTokenMatcher

    /// What the checkpoint's other files say about the tokenizer (all empty when it was made from bytes alone).
    public let configuration: TokenizerConfiguration

    /// What is odd about the file and yet has a meaning, in sentences for a log.
    public let warnings: [String]

    /// One more than the greatest token id. Ids below it need not all have a token.
    public let vocabularySize: Int

    /// Reads the bytes of a `tokenizer.json`.
    public convenience init(parsing bytes: [UInt8], configuration: TokenizerConfiguration = TokenizerConfiguration()) throws(TextError) {
        let result: Result<TokenizerFile, TextError> = bytes.withUnsafeBufferPointer { buffer in
            Result { () throws(TextError) in try TokenizerFile(parsing: buffer) }
        }
        try self.init(try result.get(), configuration)
    }

    init(_ file: TokenizerFile, _ configuration: TokenizerConfiguration) throws(TextError) {
        model = file.model
        normalizer = file.normalizer
        preTokenizer = file.preTokenizer
        decoder = file.decoder
        self.configuration = configuration
        var list = file.addedTokens
        try configuration.complete(&list)
        warnings = list.warnings

        var tokens: [Int32: AddedToken] = [:]
        var texts: [Int32: [UInt8]] = [:]
        var ids: [[UInt8]: Int32] = [:]
        for token in list.tokens {
            tokens[token.id] = token
            texts[token.id] = token.isNormalized ? file.normalizer.normalized(token.content) : token.content
            ids[token.content] = token.id
        }
        let special = Set(list.tokens.filter(\.isSpecial).map(\.content))
        addedTokens = tokens
        addedTexts = texts
        addedIDs = ids
        let plain = tokens.values.filter { !$0.isNormalized }.sorted { $0.id < $1.id }
        let normalized = tokens.values.filter(\.isNormalized).sorted { $0.id < $1.id }
        matcher = try AddedTokenMatcher(plain, patterns: plain.map(\.content), path: "added_tokens")
        normalizedMatcher = try AddedTokenMatcher(normalized, patterns: normalized.map { texts[$0.id]! }, path: "added_tokens")
        let model = model
        postProcessor = configuration.postProcessor(unless: file.postProcessor) { name in
            let bytes = Array(name.utf8)
            return ids[bytes] ?? model.vocabulary.id(of: bytes)
        }
        vocabularySize = max(model.vocabulary.idBound, Int((tokens.keys.max() ?? -1) + 1), Int(postProcessor.greatestID) + 1)
        var flags = [UInt8](repeating: 0, count: vocabularySize)
        for (id, text) in texts {
            // A special token whose normal form is another text is shown all the same, and so is left in: as in the reference.
            flags[Int(id)] = Self.isAdded | (special.contains(text) ? Self.isSkipped : 0)
        }
        self.flags = flags
    }

    /// One more than the greatest token id of the vocabulary without added tokens.
    public var modelVocabularySize: Int { model.vocabulary.idBound }

    /// Added tokens from id `first` on, by id.
    public func addedTokens(from first: Int32) -> [(id: Int32, text: String)] {
        addedTexts.filter { $0.key >= first }.sorted { $0.key < $1.key }.map { ($0.key, String(decoding: $0.value, as: UTF8.self)) }
    }

    // MARK: encoding

    /// The token ids of `text`.
    ///
    /// - Parameter addSpecialTokens: adds what the post-processor puts around a text (a begin-of-text token, for instance).
    ///   Control tokens that stand in the text are found either way.
    public func encode(_ text: String, addSpecialTokens: Bool) -> [Int32] {
        var text = text
        var ids: [Int32] = []
        text.withUTF8 { bytes in
            ids.reserveCapacity(bytes.count / 3)
            var scratch = BytePairEncoder.Scratch()
            var parts: [AddedTokenMatcher.Part] = []
            matcher.split(bytes, into: &parts)
            for part in parts {
                switch part {
                case .token(let id): ids.append(id)
                case .text(let range):
                    let first = range.lowerBound == 0 ? utf8Length(bytes[0]) : 0
                    encode(NormalizedText(bytes: Array(bytes[range]), fromFirst: first), &scratch, into: &ids)
                }
            }
        }
        return postProcessor.process(ids, addSpecialTokens: addSpecialTokens)
    }

    /// Encodes text without plain added tokens.
    private func encode(_ text: NormalizedText, _ scratch: inout BytePairEncoder.Scratch, into ids: inout [Int32]) {
        var text = text
        normalizer.normalize(&text)
        guard !normalizedMatcher.isEmpty else {
            encodePieces(text, &scratch, into: &ids)
            return
        }
        var parts: [AddedTokenMatcher.Part] = []
        text.bytes.withUnsafeBufferPointer { normalizedMatcher.split($0, into: &parts) }
        for part in parts {
            switch part {
            case .token(let id): ids.append(id)
            case .text(let range):
                let fromFirst = max(0, min(range.upperBound, text.fromFirst) - range.lowerBound)
                encodePieces(NormalizedText(bytes: Array(text.bytes[range]), fromFirst: fromFirst), &scratch, into: &ids)
            }
        }
    }

    private func encodePieces(_ text: NormalizedText, _ scratch: inout BytePairEncoder.Scratch, into ids: inout [Int32]) {
        guard !text.bytes.isEmpty else { return }
        let whole = Pieces.Piece(start: 0, end: text.bytes.count, fromFirst: text.fromFirst)
        var pieces = Pieces(bytes: text.bytes, pieces: [whole])
        preTokenizer.cut(&pieces)
        pieces.bytes.withUnsafeBufferPointer { bytes in
            for piece in pieces.pieces {
                let slice = UnsafeBufferPointer(rebasing: bytes[piece.start..<piece.end])
                model.encode(slice, isByteLevel: preTokenizer.isByteLevel, scratch: &scratch, into: &ids)
            }
        }
    }

    // MARK: decoding

    /// The text of `ids`. Ids without a token are left out; bytes that are no text become U+FFFD.
    public func decode(_ ids: [Int32], skipSpecialTokens: Bool) -> String {
        var stream = DecoderStream(decoder)
        var output: [UInt8] = []
        for id in ids {
            if let token = token(id, skipSpecialTokens: skipSpecialTokens) { stream.push(token, into: &output) }
        }
        stream.finish(into: &output)
        return String(decoding: output, as: UTF8.self)
    }

    /// A decoder that takes one id at a time.
    public func detokenizer(skipSpecialTokens: Bool) -> StreamingDetokenizer {
        StreamingDetokenizer(self, DecoderStream(decoder), skipSpecialTokens)
    }

    /// The token that decoding shows for `id`; nil where there is none or where it is skipped.
    func token(_ id: Int32, skipSpecialTokens: Bool) -> ArraySlice<UInt8>? {
        guard id >= 0, id < flags.count else { return nil }
        let flags = flags[Int(id)]
        if flags == 0 { return model.vocabulary.token(id) }
        return skipSpecialTokens && flags & Self.isSkipped != 0 ? nil : addedTexts[id]?[...]
    }

    /// The bytes that `id` stands for in the middle of a text; empty where there is no such token. Not necessarily UTF-8.
    public func bytes(of id: Int32) -> [UInt8] {
        token(id, skipSpecialTokens: false).map { decoder.bytes(of: $0) } ?? []
    }

    // MARK: tokens

    /// The token `id` as the vocabulary spells it (`Ġthe`, `▁the`); nil where there is none.
    public func piece(_ id: Int32) -> String? {
        token(id, skipSpecialTokens: false).map { String(decoding: $0, as: UTF8.self) }
    }

    /// The id of the token that the vocabulary spells `piece`.
    public func id(of piece: String) -> Int32? {
        let bytes = Array(piece.utf8)
        return addedIDs[bytes] ?? model.vocabulary.id(of: bytes)
    }

    /// Whether `id` is a control token.
    public func isSpecial(_ id: Int32) -> Bool { addedTokens[id]?.isSpecial ?? false }
}
