// Text that comes token by token.

import BerthCore
import Testing

@testable import BerthText

@Suite struct DetokenizerTests {
    /// Whatever the ids, what was sent is a prefix of what decoding everything gives, and nothing sent is taken back.
    @Test(arguments: TokenizerFixture.committed)
    func streamsWhatDecodes(_ fixture: TokenizerFixture) throws {
        let tokenizer = try fixture.tokenizer()
        for seed in 0..<20 as Range<UInt64> {
            var random = RandomSource(seed: seed)
            let ids = (0..<40).map { _ in Int32.random(in: -1...Int32(tokenizer.vocabularySize), using: &random) }
            let whole = Array(tokenizer.decode(ids, skipSpecialTokens: seed % 2 == 0).utf8)
            var stream = tokenizer.detokenizer(skipSpecialTokens: seed % 2 == 0)
            var sent: [UInt8] = []
            for id in ids {
                sent += stream.append(id).utf8
                #expect(whole.starts(with: sent), "\(fixture.name), seed \(seed)")
            }
            sent += stream.finish().utf8
            #expect(sent == whole, "\(fixture.name), seed \(seed)")
        }
    }

    @Test func charactersAreNeverCut() throws {
        let tokenizer = try TokenizerFixture.named("llama3").tokenizer()
        let text = "👩‍💻 北京 é"
        let ids = tokenizer.encode(text, addSpecialTokens: false)
        #expect(ids.count > 10)
        var stream = tokenizer.detokenizer(skipSpecialTokens: false)
        for id in ids { #expect(!stream.append(id).unicodeScalars.contains("\u{FFFD}")) }
        #expect(stream.finish().isEmpty)
        // The same, cut off in the middle of a character.
        stream = tokenizer.detokenizer(skipSpecialTokens: false)
        var sent = ""
        for id in ids.prefix(2) { sent += stream.append(id) }
        #expect(sent.isEmpty && stream.finish() == "\u{FFFD}")
    }

    @Test func bytesOfTokensJoinToTheText() throws {
        for name in ["llama3", "spm-added"] {
            let tokenizer = try TokenizerFixture.named(name).tokenizer()
            let text = "naïve 北京 🙂 test"
            let bytes = tokenizer.encode(text, addSpecialTokens: false).flatMap { tokenizer.bytes(of: $0) }
            #expect(String(decoding: bytes, as: UTF8.self) == (name == "spm-added" ? " " : "") + text)
            #expect(tokenizer.bytes(of: -1).isEmpty && tokenizer.bytes(of: .max).isEmpty)
        }
    }

    @Test func lossyTextIsTheStandards() {
        for seed in 0..<200 as Range<UInt64> {
            var random = RandomSource(seed: seed)
            // Bytes that are often the start or the middle of something.
            let choices: [UInt8] = [0x41, 0x80, 0xBF, 0xC2, 0xC3, 0xE0, 0xA0, 0xE2, 0x82, 0xAC, 0xED, 0x9F, 0xF0, 0x9F, 0x99, 0xF4, 0x8F, 0xF5, 0xFF]
            let bytes = (0..<30).map { _ in choices.randomElement(using: &random)! }
            var lossy = LossyUTF8()
            var output: [UInt8] = []
            var at = 0
            while at < bytes.count {
                let end = min(bytes.count, at + Int.random(in: 0...4, using: &random))
                Array(bytes[at..<end]).withUnsafeBufferPointer { lossy.feed($0, into: &output) }
                at = end
            }
            lossy.finish(into: &output)
            #expect(output == Array(String(decoding: bytes, as: UTF8.self).utf8), "seed \(seed)")
        }
    }
}
