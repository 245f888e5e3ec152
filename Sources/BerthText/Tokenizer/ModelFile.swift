// The `model` of tokenizer.json: vocabulary, merges and options.
//
// The members are read in the order in which they need each other: merges name tokens, so they wait for the vocabulary,
// wherever they stand in the file.

import BerthCore

extension BytePairEncoder {
    /// Reads the object that `scanner` stands at.
    init(_ scanner: inout JSONScanner) throws(TextError) {
        var vocabulary: Vocabulary?
        var mergesPlace: Range<Int>?
        var small: [(String, JSON)] = []
        try scanner.forEachMember { key, scanner throws(TextError) in
            switch key {
            case "vocab": vocabulary = try Self.vocabulary(&scanner)
            case "merges": mergesPlace = try scanner.skipValue()
            default: small.append((key, try scanner.json(in: try scanner.skipValue(), "model.\(key)")))
            }
        }
        let reader = try ComponentReader(.object(.init(small, uniquingKeysWith: { $1 })), "model")
        let type = try reader.string("type", default: "BPE")
        guard type == "BPE" else { throw reader.error(.unsupported, "type", "no such model: '\(type)' (only BPE)") }
        if let dropout = reader.value("dropout"), dropout.double != 0 { throw reader.error(.unsupported, "dropout", "is for training only") }
        guard let vocabulary, let mergesPlace else { throw TextError(.malformed, "model: vocab or merges are missing") }
        var options = Options()
        options.continuingPrefix = Array(try reader.string("continuing_subword_prefix", default: "").utf8)
        options.endSuffix = Array(try reader.string("end_of_word_suffix", default: "").utf8)
        options.fusesUnknown = try reader.bool("fuse_unk", default: false)
        options.fallsBackToBytes = try reader.bool("byte_fallback", default: false)
        options.ignoresMerges = try reader.bool("ignore_merges", default: false)
        if reader.value("unk_token") != nil { options.unknown = vocabulary.id(of: try reader.string("unk_token")) }
        var mergesScanner = JSONScanner(scanner.bytes, at: mergesPlace.lowerBound)
        let merges = try Self.merges(&mergesScanner, vocabulary, prefixLength: options.continuingPrefix.count)
        self.init(vocabulary: vocabulary, merges: merges, options: options)
    }

    /// `{"token": id, …}`.
    private static func vocabulary(_ scanner: inout JSONScanner) throws(TextError) -> Vocabulary {
        var vocabulary = Vocabulary(capacity: 1 << 12)
        var token: [UInt8] = []
        guard try scanner.peek() == UInt8(ascii: "{") else { throw TextError(.malformed, "model.vocab: expected an object") }
        guard try !scanner.opensEmpty(UInt8(ascii: "{"), UInt8(ascii: "}")) else { return vocabulary }
        repeat {
            token.removeAll(keepingCapacity: true)
            try scanner.string(into: &token)
            try scanner.expect(UInt8(ascii: ":"))
            func error(_ code: TextError.Code, _ what: String) -> TextError {
                TextError(code, "model.vocab['\(String(decoding: token, as: UTF8.self))']: \(what)")
            }
            guard let id = try scanner.smallInteger() else { throw error(.malformed, "its id is no small integer") }
            guard id >= 0 else { throw error(.malformed, "its id \(id) is negative") }
            guard id <= Limits.tokenIdentifier else { throw error(.tooLarge, "its id \(id) is above \(Limits.tokenIdentifier)") }
            switch token.withUnsafeBufferPointer({ vocabulary.insert($0, id: id) }) {
            case .inserted: break
            case .tokenExists: throw error(.inconsistent, "the token is there twice")
            case .idExists: throw error(.inconsistent, "its id \(id) is the id of another token too")
            }
        } while try !scanner.endsList(with: UInt8(ascii: "}"))
        return vocabulary
    }

    /// `["a b", …]` or `[["a", "b"], …]`.
    private static func merges(_ scanner: inout JSONScanner, _ vocabulary: Vocabulary, prefixLength: Int) throws(TextError) -> MergeTable {
        guard try scanner.peek() == UInt8(ascii: "[") else { throw TextError(.malformed, "model.merges: expected a list") }
        // Gathered first, so that the table is made once and in its final size.
        var merges: [(left: Int32, right: Int32, merged: Int32)] = []
        guard try !scanner.opensEmpty(UInt8(ascii: "["), UInt8(ascii: "]")) else { return MergeTable(merges) }
        let isListOfPairs = try scanner.peek() == UInt8(ascii: "[")
        var text: [UInt8] = []
        var index = 0
        repeat {
            defer { index += 1 }
            text.removeAll(keepingCapacity: true)
            let split: Int
            if isListOfPairs {
                split = try pair(&scanner, index, into: &text)
            } else {
                guard try scanner.peek() == UInt8(ascii: "\"") else { throw TextError(.malformed, "model.merges[\(index)]: expected a string") }
                try scanner.string(into: &text)
                if text.starts(with: "#version".utf8) { continue }
                guard let space = text.firstIndex(of: UInt8(ascii: " ")), space == text.lastIndex(of: UInt8(ascii: " ")) else {
                    throw TextError(.malformed, "model.merges[\(index)]: expected two tokens with a space between them")
                }
                text.remove(at: space)
                split = space
            }
            try text.withUnsafeBufferPointer { text throws(TextError) in
                let left = UnsafeBufferPointer(rebasing: text[..<split])
                let right = UnsafeBufferPointer(rebasing: text[split...])
                guard right.count >= prefixLength else {
                    throw TextError(.inconsistent, "model.merges[\(index)]: '\(String(decoding: right, as: UTF8.self))' lacks the continuing prefix")
                }
                let leftID = try known(left, vocabulary, index)
                let rightID = try known(right, vocabulary, index)
                let merged = prefixLength == 0
                    ? try known(text, vocabulary, index)
                    : try (Array(left) + right.dropFirst(prefixLength)).withUnsafeBufferPointer { text throws(TextError) in try known(text, vocabulary, index) }
                merges.append((leftID, rightID, merged))
            }
            guard merges.count <= Limits.tokenizerMerges else { throw TextError(.tooLarge, "model.merges: more than \(Limits.tokenizerMerges)") }
        } while try !scanner.endsList(with: UInt8(ascii: "]"))
        return MergeTable(merges)
    }

    /// Reads `["a", "b"]`, appends both and returns where the second starts.
    private static func pair(_ scanner: inout JSONScanner, _ index: Int, into text: inout [UInt8]) throws(TextError) -> Int {
        guard try scanner.peek() == UInt8(ascii: "[") else { throw TextError(.malformed, "model.merges[\(index)]: expected a pair of tokens") }
        guard try !scanner.opensEmpty(UInt8(ascii: "["), UInt8(ascii: "]")) else { throw TextError(.malformed, "model.merges[\(index)]: an empty pair") }
        try scanner.string(into: &text)
        let split = text.count
        guard try !scanner.endsList(with: UInt8(ascii: "]")) else { throw TextError(.malformed, "model.merges[\(index)]: one token, not two") }
        try scanner.string(into: &text)
        guard try scanner.endsList(with: UInt8(ascii: "]")) else { throw TextError(.malformed, "model.merges[\(index)]: more than two tokens") }
        return split
    }

    @inline(__always)
    private static func known(_ token: UnsafeBufferPointer<UInt8>, _ vocabulary: Vocabulary, _ index: Int) throws(TextError) -> Int32 {
        if let id = vocabulary.id(of: token) { return id }
        throw TextError(.inconsistent, "model.merges[\(index)]: the token '\(String(decoding: token, as: UTF8.self))' is not in the vocabulary")
    }
}

extension JSONScanner {
    /// The value in `range` as a tree.
    func json(in range: Range<Int>, _ path: String) throws(TextError) -> JSON {
        do {
            return try JSON(parsing: UnsafeBufferPointer(rebasing: bytes[range]))
        } catch {
            throw TextError(.malformed, "\(path): \(error.reason) at byte \(range.lowerBound + error.offset)")
        }
    }
}
