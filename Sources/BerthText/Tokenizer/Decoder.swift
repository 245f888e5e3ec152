// Decoders: from tokens back to text, as a stream.
//
// The reference runs each decoder over the whole list of tokens. Here each is a stage that takes tokens (or fragments of
// them) as they come and passes on what is certain, so that decoding everything and decoding token by token are the same
// code and cannot differ. A stage costs O(1) per byte, amortised. What a stage must see whole it holds back: half a
// character, a run of byte tokens (one bad byte spoils all of it), a token's last spaces.

import BerthCore

/// The decoder of a tokenizer: an immutable list of steps, from which `DecoderStream`s are made.
struct Decoder: Sendable {
    enum Step: Sendable {
        /// Characters of `ByteAlphabet` to bytes to text; everything becomes one token.
        case byteLevel
        /// Tokens `<0x00>` to `<0xFF>` to text.
        case byteFallback
        /// The mark becomes a space, except in the first token, where it vanishes if `dropsFirst`.
        case metaspace(mark: Unicode.Scalar, dropsFirst: Bool)
        case replace(TextPattern, with: [UInt8])
        /// Takes up to so many of a character from the start and the end of each token.
        case strip(Unicode.Scalar, start: Int, end: Int)
        /// All tokens become one.
        case fuse
        /// The suffix of a token that ends a word becomes a space, in the last token nothing.
        case wordSuffix(TextPattern)
        /// A space between tokens: what happens without a decoder.
        case separate
    }

    private(set) var steps: [Step] = []

    /// No decoder.
    init() { steps = [.separate] }

    init(_ reader: ComponentReader) throws(TextError) { try append(reader) }

    private mutating func append(_ reader: ComponentReader) throws(TextError) {
        let type = try reader.string("type")
        switch type {
        case "Sequence": for part in try reader.components("decoders") { try append(part) }
        case "ByteLevel": steps.append(.byteLevel)
        case "ByteFallback": steps.append(.byteFallback)
        case "Metaspace":
            let metaspace = try Metaspace(reader)
            steps.append(.metaspace(mark: metaspace.replacement, dropsFirst: metaspace.scheme != .never))
        case "Replace": steps.append(.replace(try reader.pattern("pattern"), with: Array(try reader.string("content").utf8)))
        case "Strip":
            let range = 0...Limits.decoderStrip
            steps.append(.strip(try reader.scalar("content"), start: try reader.int("start", in: range), end: try reader.int("stop", in: range)))
        case "Fuse": steps.append(.fuse)
        case "BPEDecoder":
            let suffix = try reader.string("suffix")
            guard !suffix.isEmpty else { throw reader.error(.unsupported, "suffix", "is empty") }
            steps.append(.wordSuffix(try TextPattern(literal: suffix, at: reader.path)))
        default: throw reader.error(.unsupported, "type", "no such decoder: '\(type)'")
        }
        guard steps.count <= Limits.tokenizerSteps else { throw TextError(.tooLarge, "\(reader.path): more than \(Limits.tokenizerSteps) steps") }
    }

    /// The bytes that `token` stands for in the middle of a text.
    func bytes(of token: ArraySlice<UInt8>) -> [UInt8] {
        var bytes = Array(token)
        var isFused = false
        for step in steps {
            switch step {
            case .byteLevel:
                var decoded: [UInt8] = []
                bytes.withUnsafeBufferPointer { ByteAlphabet.decode($0, into: &decoded) }
                bytes = decoded
            case .byteFallback: if let byte = Self.fallbackByte(bytes) { bytes = [byte] }
            case .metaspace(let mark, _): bytes = Self.replacing(mark, with: UInt8(ascii: " "), in: bytes)
            case .replace(let pattern, let content): bytes = Self.replacing(pattern, with: content, in: bytes)
            case .strip(let scalar, let start, let end): if !isFused { bytes = Self.stripping(scalar, start, end, from: bytes) }
            case .fuse: isFused = true
            case .wordSuffix(let suffix): bytes = Self.replacing(suffix, with: [UInt8(ascii: " ")], in: bytes)
            case .separate: break
            }
        }
        return bytes
    }

    // MARK: what the steps do to one whole token

    /// The byte of a token such as `<0x0A>`.
    static func fallbackByte(_ token: [UInt8]) -> UInt8? {
        guard token.count == 6, token.starts(with: "<0x".utf8), token[5] == UInt8(ascii: ">"), let low = hexadecimalDigit(token[4]) else { return nil }
        // The reference's parser takes a sign for the first digit.
        if token[3] == UInt8(ascii: "+") { return low }
        return hexadecimalDigit(token[3]).map { $0 << 4 | low }
    }

    static func replacing(_ pattern: TextPattern, with content: [UInt8], in token: [UInt8]) -> [UInt8] {
        var output: [UInt8] = []
        token.withUnsafeBufferPointer { bytes in
            var copied = 0
            // The reference does not look for anything in nothing, not even for nothing.
            guard !bytes.isEmpty else { return }
            pattern.forEachMatch(in: bytes) { start, end in
                output.append(contentsOf: bytes[copied..<start])
                output.append(contentsOf: content)
                copied = end
            }
            output.append(contentsOf: bytes[copied...])
        }
        return output
    }

    /// `mark` becomes `byte`, or nothing.
    static func replacing(_ mark: Unicode.Scalar, with byte: UInt8?, in token: [UInt8]) -> [UInt8] {
        var output: [UInt8] = []
        output.reserveCapacity(token.count)
        token.withUnsafeBufferPointer { bytes in
            var at = 0
            while at < bytes.count {
                let end = at + utf8Length(bytes[at])
                if utf8Scalar(bytes, at: at) != mark { output.append(contentsOf: bytes[at..<end]) } else if let byte { output.append(byte) }
                at = end
            }
        }
        return output
    }

    private static func stripping(_ scalar: Unicode.Scalar, _ start: Int, _ end: Int, from token: [UInt8]) -> [UInt8] {
        let mark = Array(UTF8.encode(scalar)!)
        var token = token[...]
        for _ in 0..<start where token.starts(with: mark) { token.removeFirst(mark.count) }
        for _ in 0..<end where token.suffix(mark.count).elementsEqual(mark) { token.removeLast(mark.count) }
        return Array(token)
    }
}
