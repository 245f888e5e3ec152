// Text from tokens as they are generated.

/// Decodes one sequence of ids, one at a time. What `append` and `finish` return, joined, is what `Tokenizer.decode` returns
/// for all the ids at once. O(1) per byte of a token, amortised.
public struct StreamingDetokenizer: Sendable {
    private let tokenizer: Tokenizer
    private var stream: DecoderStream
    private let skipsSpecialTokens: Bool

    init(_ tokenizer: Tokenizer, _ stream: DecoderStream, _ skipsSpecialTokens: Bool) {
        self.tokenizer = tokenizer
        self.stream = stream
        self.skipsSpecialTokens = skipsSpecialTokens
    }

    /// Takes the next id and returns the text that is certain now: never a part of a character, often a token behind.
    public mutating func append(_ id: Int32) -> String {
        guard let token = tokenizer.token(id, skipSpecialTokens: skipsSpecialTokens) else { return "" }
        var output: [UInt8] = []
        stream.push(token, into: &output)
        return String(decoding: output, as: UTF8.self)
    }

    /// There are no more ids: returns the rest of the text. Call once, last.
    public mutating func finish() -> String {
        var output: [UInt8] = []
        stream.finish(into: &output)
        return String(decoding: output, as: UTF8.self)
    }
}
