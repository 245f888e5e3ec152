// Real text as windows of tokens, which every engine that is compared runs from scratch.

import BerthText
import Glibc

/// Windows of equal length, one after another.
struct TokenWindows {
    /// Tokens of one window.
    let length: Int
    /// Of all windows; a multiple of `length`.
    let tokens: [Int32]

    var count: Int { tokens.count / length }
    subscript(window: Int) -> ArraySlice<Int32> { tokens[window * length..<(window + 1) * length] }

    /// Cuts each stream into windows, each after the tokens `begin`, with at most `most` tokens in all. What does not fill a window is left out.
    init(cutting streams: [[Int32]], begin: [Int32], length: Int, most: Int) throws {
        let fresh = length - begin.count
        guard fresh > 0 else { throw BenchError("a window of \(length) tokens is too short") }
        var tokens: [Int32] = []
        for stream in streams {
            for start in stride(from: 0, through: stream.count - fresh, by: fresh) where tokens.count + length <= max(most, length) {
                tokens += begin + stream[start..<start + fresh]
            }
        }
        guard !tokens.isEmpty else {
            throw BenchError("one window takes \(fresh) tokens and the text has only \(streams.map(\.count).max() ?? 0) in one piece")
        }
        self.length = length
        self.tokens = tokens
    }

    /// Windows of a text file in UTF-8; only as much of it is read as is wanted. With `isDocuments` an empty line ends a document, and no
    /// window spans two.
    init(text path: String, tokenizer: Tokenizer, length: Int, most: Int, isDocuments: Bool) throws {
        let text = try Self.prefix(of: path, bytes: max(most, length) * Self.bytesPerToken)
        // The token that stands before every text, where there is one.
        let around = tokenizer.encode("", addSpecialTokens: true)
        let documents = isDocuments ? Self.paragraphs(of: text) : [text]
        try self.init(
            cutting: documents.map { tokenizer.encode($0, addSpecialTokens: false) }, begin: Array(around.prefix(1)), length: length, most: most)
    }

    private static func paragraphs(of text: String) -> [String] {
        text.split(separator: "\n", omittingEmptySubsequences: false).split(separator: "").map { $0.joined(separator: "\n") }
    }

    /// More than a token of any language has on average.
    private static let bytesPerToken = 16

    private static func prefix(of path: String, bytes: Int) throws -> String {
        guard let file = fopen(path, "rb") else { throw BenchError("cannot open \(path): \(String(cString: strerror(errno)))") }
        defer { fclose(file) }
        var content = [UInt8](repeating: 0, count: bytes)
        let count = fread(&content, 1, bytes, file)
        guard ferror(file) == 0 else { throw BenchError("cannot read \(path): \(String(cString: strerror(errno)))") }
        return String(decoding: content.prefix(count), as: UTF8.self)
    }

    /// Writes all tokens as 32-bit little-endian integers.
    func write(to path: String) throws {
        guard let file = fopen(path, "wb") else { throw BenchError("cannot write \(path): \(String(cString: strerror(errno)))") }
        let written = tokens.map(\.littleEndian).withUnsafeBytes { fwrite($0.baseAddress, 1, $0.count, file) }
        guard fclose(file) == 0, written == tokens.count * 4 else { throw BenchError("cannot write \(path): \(String(cString: strerror(errno)))") }
    }
}
