// Pre-tokenizers: how a text is cut into the pieces that the model encodes one by one.
//
// The component tree of tokenizer.json becomes a flat list of steps. Each step takes the pieces of the one before it.

import BerthCore

/// The pre-tokenizer of a tokenizer.
struct PreTokenizer: Sendable {
    private enum Step: Sendable {
        case split(TextPattern, SplitBehavior, isInverted: Bool)
        case splitScalars(ScalarClass, SplitBehavior)
        case metaspace(Metaspace)
        /// `pattern` cuts, then each byte becomes its character of `ByteAlphabet`.
        case byteLevel(addsPrefixSpace: Bool, pattern: TextPattern?)
    }

    private enum ScalarClass: Sendable {
        case numeric, punctuation, whiteSpace, words
        case scalar(Unicode.Scalar)
    }

    private var steps: [Step] = []
    /// The last step is byte-level. Its pieces stay raw bytes, and the model maps them on the fly.
    var isByteLevel: Bool {
        if case .byteLevel = steps.last { return true }
        return false
    }

    /// GPT-2's way of cutting (Radford et al. 2019, `encoder.py`).
    private static let gpt2 = #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#

    /// No pre-tokenizer: the text is one piece.
    init() {}

    init(_ reader: ComponentReader) throws(TextError) { try append(reader) }

    private mutating func append(_ reader: ComponentReader) throws(TextError) {
        let type = try reader.string("type")
        switch type {
        case "Sequence": for part in try reader.components("pretokenizers") { try append(part) }
        case "Split":
            steps.append(.split(try reader.pattern("pattern"), try Self.behavior(reader), isInverted: try reader.bool("invert")))
        case "ByteLevel":
            let usesPattern = try reader.bool("use_regex", default: true)
            steps.append(.byteLevel(
                addsPrefixSpace: try reader.bool("add_prefix_space"),
                pattern: usesPattern ? try TextPattern(oniguruma: Self.gpt2, at: reader.path) : nil))
        case "Metaspace": steps.append(.metaspace(try Metaspace(reader)))
        case "Digits":
            steps.append(.splitScalars(.numeric, try reader.bool("individual_digits") ? .isolated : .contiguous))
        case "Punctuation":
            steps.append(.splitScalars(.punctuation, reader.value("behavior") == nil ? .isolated : try Self.behavior(reader)))
        case "Whitespace":
            // Runs of word characters and runs of other characters that are no white space; the rest vanishes.
            steps.append(.splitScalars(.whiteSpace, .removed))
            steps.append(.splitScalars(.words, .contiguous))
        case "WhitespaceSplit": steps.append(.splitScalars(.whiteSpace, .removed))
        case "BertPreTokenizer":
            steps.append(.splitScalars(.whiteSpace, .removed))
            steps.append(.splitScalars(.punctuation, .isolated))
        case "CharDelimiterSplit", "Delimiter":
            steps.append(.splitScalars(.scalar(try reader.scalar("delimiter")), .removed))
        default: throw reader.error(.unsupported, "type", "no such pre-tokenizer: '\(type)'")
        }
        guard steps.count <= Limits.tokenizerSteps else { throw TextError(.tooLarge, "\(reader.path): more than \(Limits.tokenizerSteps) steps") }
    }

    private static func behavior(_ reader: ComponentReader) throws(TextError) -> SplitBehavior {
        let name = try reader.string("behavior")
        guard let behavior = SplitBehavior(rawValue: name) else { throw reader.error(.unsupported, "behavior", "no such behavior: '\(name)'") }
        return behavior
    }

    // MARK: running

    /// Cuts the pieces of `text` further.
    func cut(_ text: inout Pieces) {
        for (index, step) in steps.enumerated() {
            switch step {
            case .split(let pattern, let behavior, let isInverted): Self.split(&text, by: pattern, behavior, isInverted)
            case .splitScalars(let scalars, let behavior): Self.split(&text, by: scalars, behavior)
            case .metaspace(let metaspace): metaspace.cut(&text)
            case .byteLevel(let addsPrefixSpace, let pattern):
                if addsPrefixSpace { Self.rewrite(&text) { piece, output in
                    if piece.first != UInt8(ascii: " ") { output.append(UInt8(ascii: " ")) }
                    output.append(contentsOf: piece)
                } }
                if let pattern { Self.split(&text, by: pattern, .isolated, false) }
                if index < steps.count - 1 { Self.rewrite(&text) { piece, output in ByteAlphabet.encode(piece, into: &output) } }
            }
        }
    }

    static func split(_ text: inout Pieces, by pattern: TextPattern, _ behavior: SplitBehavior, _ isInverted: Bool) {
        var pieces: [Pieces.Piece] = []
        pieces.reserveCapacity(text.pieces.count)
        var splitter = Splitter()
        text.bytes.withUnsafeBufferPointer { bytes in
            for piece in text.pieces {
                pattern.forEachMatch(in: UnsafeBufferPointer(rebasing: bytes[piece.start..<piece.end])) { splitter.add($0, $1) }
                splitter.append(piece: piece, behavior: behavior, isInverted: isInverted, to: &pieces)
            }
        }
        text.pieces = pieces
    }

    private static func split(_ text: inout Pieces, by scalars: ScalarClass, _ behavior: SplitBehavior) {
        switch scalars {
        case .numeric: split(&text, where: CharacterSet.isNumeric, behavior)
        case .punctuation: split(&text, where: CharacterSet.isPunctuation, behavior)
        case .whiteSpace: split(&text, where: CharacterSet.isWhiteSpace, behavior)
        case .words: split(&text, where: CharacterSet.isWord, behavior)
        case .scalar(let scalar): split(&text, where: { $0 == scalar }, behavior)
        }
    }

    /// Cuts by single characters: each one of the set is a match.
    static func split(_ text: inout Pieces, where isMatch: (Unicode.Scalar) -> Bool, _ behavior: SplitBehavior) {
        var pieces: [Pieces.Piece] = []
        pieces.reserveCapacity(text.pieces.count)
        var splitter = Splitter()
        text.bytes.withUnsafeBufferPointer { bytes in
            for piece in text.pieces {
                var at = piece.start
                while at < piece.end {
                    let end = at + utf8Length(bytes[at])
                    if isMatch(utf8Scalar(bytes, at: at)) { splitter.add(at - piece.start, end - piece.start) }
                    at = end
                }
                splitter.append(piece: piece, behavior: behavior, isInverted: false, to: &pieces)
            }
        }
        text.pieces = pieces
    }

    /// Replaces each piece by what `change` appends for it.
    static func rewrite(_ text: inout Pieces, _ change: (UnsafeBufferPointer<UInt8>, inout [UInt8]) -> Void) {
        var output: [UInt8] = []
        output.reserveCapacity(text.bytes.count + text.pieces.count)
        text.bytes.withUnsafeBufferPointer { bytes in
            for index in text.pieces.indices {
                let piece = text.pieces[index]
                let start = output.count
                change(UnsafeBufferPointer(rebasing: bytes[piece.start..<piece.end]), &output)
                let growth = output.count - start - (piece.end - piece.start)
                text.pieces[index] = Pieces.Piece(start: start, end: output.count, fromFirst: piece.fromFirst > 0 ? piece.fromFirst + growth : 0)
            }
        }
        text.bytes = output
    }
}

/// SentencePiece's way with spaces: they become a visible character, which belongs to the word after it.
struct Metaspace: Sendable {
    enum PrependScheme: String { case always, first, never }

    let replacement: Unicode.Scalar
    let scheme: PrependScheme
    private let cutsWords: Bool

    /// Reads the pre-tokenizer or the decoder of this name; older files say `add_prefix_space` for the scheme.
    init(_ reader: ComponentReader) throws(TextError) {
        replacement = try reader.scalar("replacement")
        let name = try reader.string("prepend_scheme", default: "always")
        guard let scheme = PrependScheme(rawValue: name) else { throw reader.error(.unsupported, "prepend_scheme", "no such scheme: '\(name)'") }
        if try reader.bool("add_prefix_space", default: true) {
            self.scheme = scheme
        } else {
            guard scheme == .never || reader.value("prepend_scheme") == nil else {
                throw reader.error(.inconsistent, "add_prefix_space", "contradicts prepend_scheme '\(name)'")
            }
            self.scheme = .never
        }
        cutsWords = try reader.bool("split", default: true)
    }

    func cut(_ text: inout Pieces) {
        let mark = Array(UTF8.encode(replacement)!)
        var output: [UInt8] = []
        output.reserveCapacity(text.bytes.count + text.bytes.count / 4)
        text.bytes.withUnsafeBufferPointer { bytes in
            for index in text.pieces.indices {
                let piece = text.pieces[index]
                let start = output.count
                var fromFirst = 0
                let startsMarked = bytes[piece.start] == UInt8(ascii: " ") || bytes[piece.start..<piece.end].starts(with: mark)
                if !startsMarked, scheme == .always || (scheme == .first && piece.fromFirst > 0) {
                    output.append(contentsOf: mark)
                    if piece.fromFirst > 0 { fromFirst = mark.count }
                }
                for at in piece.start..<piece.end {
                    let before = output.count
                    if bytes[at] == UInt8(ascii: " ") { output.append(contentsOf: mark) } else { output.append(bytes[at]) }
                    if at - piece.start < piece.fromFirst { fromFirst += output.count - before }
                }
                text.pieces[index] = Pieces.Piece(start: start, end: output.count, fromFirst: fromFirst)
            }
        }
        text.bytes = output
        guard cutsWords else { return }
        PreTokenizer.split(&text, where: { $0 == replacement }, .mergedWithNext)
    }
}
