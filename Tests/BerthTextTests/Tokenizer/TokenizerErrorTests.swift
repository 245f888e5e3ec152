// What is wrong with a file must be said, and no file may do more harm than that.

import BerthCore
import Testing

@testable import BerthText

@Suite struct TokenizerErrorTests {
    /// A small whole tokenizer, with parts of it replaced.
    private static func file(
        model: String = #"{"type":"BPE","vocab":{"a":0,"b":1,"ab":2},"merges":["a b"]}"#, _ more: String = ""
    ) -> String { #"{"version":"1.0","model":\#(model)\#(more)}"# }

    private func error(_ text: String) -> TextError? {
        do throws(TextError) {
            _ = try Tokenizer(parsing: Array(text.utf8))
            return nil
        } catch {
            return error
        }
    }

    @Test func theSmallFileIsFine() throws {
        let tokenizer = try Tokenizer(parsing: Array(Self.file().utf8))
        #expect(tokenizer.encode("abba", addSpecialTokens: true) == [2, 1, 0])
        #expect(tokenizer.decode([2, 1, 0], skipSpecialTokens: true) == "ab b a")
        #expect(tokenizer.vocabularySize == 3)
    }

    @Test(arguments: [
        (#"{"vocab":{"a":-1},"merges":[]}"#, TextError.Code.malformed, "model.vocab['a']: its id -1 is negative"),
        (#"{"vocab":{"a":4194304},"merges":[]}"#, .tooLarge, "model.vocab['a']: its id 4194304 is above 4194303"),
        (#"{"vocab":{"a":99999999999999999999},"merges":[]}"#, .malformed, "model.vocab['a']: its id is no small integer"),
        (#"{"vocab":{"a":1.5},"merges":[]}"#, .malformed, "model.vocab['a']: its id is no small integer"),
        (#"{"vocab":{"a":"0"},"merges":[]}"#, .malformed, "model.vocab['a']: its id is no small integer"),
        (#"{"vocab":{"a":0,"b":0},"merges":[]}"#, .inconsistent, "model.vocab['b']: its id 0 is the id of another token too"),
        (#"{"vocab":{"a":0,"a":1},"merges":[]}"#, .inconsistent, "model.vocab['a']: the token is there twice"),
        (#"{"vocab":["a"],"merges":[]}"#, .malformed, "model.vocab: expected an object"),
        (#"{"vocab":{"a":0},"merges":["a b"]}"#, .inconsistent, "model.merges[0]: the token 'b' is not in the vocabulary"),
        (#"{"vocab":{"a":0,"b":1},"merges":[["a","b"]]}"#, .inconsistent, "model.merges[0]: the token 'ab' is not in the vocabulary"),
        (#"{"vocab":{"a":0},"merges":["a"]}"#, .malformed, "model.merges[0]: expected two tokens"),
        (#"{"vocab":{"a":0},"merges":["a b c"]}"#, .malformed, "model.merges[0]: expected two tokens"),
        (#"{"vocab":{"a":0},"merges":[["a"]]}"#, .malformed, "model.merges[0]: one token, not two"),
        (#"{"vocab":{"a":0},"merges":[["a","a","a"]]}"#, .malformed, "model.merges[0]: more than two tokens"),
        (#"{"vocab":{"a":0,"aa":1},"merges":["a a",["a","a"]]}"#, .malformed, "model.merges[1]: expected a string"),
        (#"{"vocab":{"a":0}}"#, .malformed, "vocab or merges are missing"),
        (#"{"type":"Unigram","vocab":{"a":0},"merges":[]}"#, .unsupported, "model.type: no such model: 'Unigram'"),
        (#"{"dropout":0.1,"vocab":{"a":0},"merges":[]}"#, .unsupported, "model.dropout"),
        (#"{"byte_fallback":1,"vocab":{"a":0},"merges":[]}"#, .malformed, "model.byte_fallback: expected true or false, found a number"),
        (#"{"continuing_subword_prefix":"@@","vocab":{"a":0,"b":1},"merges":["a b"]}"#, .inconsistent, "lacks the continuing prefix"),
    ])
    func modelIsChecked(_ model: String, _ code: TextError.Code, _ message: String) {
        let error = error(Self.file(model: model))
        #expect(error?.code == code, "\(model): \(error?.message ?? "no error")")
        #expect(error?.message.contains(message) == true, "\(error?.message ?? "no error") should say '\(message)'")
        #expect(error?.message.hasPrefix("tokenizer.json: ") == true)
    }

    @Test(arguments: [
        (#","normalizer":{"type":"Precompiled","precompiled_charsmap":""}"#, TextError.Code.unsupported, "normalizer.type: no such normalizer: 'Precompiled'"),
        (#","normalizer":{"type":"Sequence","normalizers":[{"type":"NFC"},{"type":"Nmt"}]}"#, .unsupported, "normalizer.normalizers[1].type: no such normalizer: 'Nmt'"),
        (#","normalizer":[]"#, .malformed, "normalizer: expected an object, found an array"),
        (#","pre_tokenizer":{"type":"UnicodeScripts"}"#, .unsupported, "pre_tokenizer.type: no such pre-tokenizer: 'UnicodeScripts'"),
        (#","pre_tokenizer":{"type":"Split","pattern":{"Regex":"("},"behavior":"Isolated","invert":false}"#, .unsupported, "pre_tokenizer.pattern: a missing ')'"),
        (#","pre_tokenizer":{"type":"Split","pattern":{"Regex":"a**"},"behavior":"Sideways","invert":false}"#, .unsupported, "pre_tokenizer.behavior: no such behavior: 'Sideways'"),
        (#","pre_tokenizer":{"type":"Split","pattern":{"Regex":"(?<=a+)b"},"behavior":"Isolated","invert":false}"#, .malformed, "in the regular expression"),
        (#","pre_tokenizer":{"type":"Split","pattern":{"Regex":"\\p{Nonsense}"},"behavior":"Isolated","invert":false}"#, .malformed, "in the regular expression"),
        (#","pre_tokenizer":{"type":"Split","pattern":{"Word":"a"},"behavior":"Isolated","invert":false}"#, .malformed, "expected a String or a Regex"),
        (#","pre_tokenizer":{"type":"Split","pattern":{"Regex":"a"},"behavior":"Isolated"}"#, .malformed, "pre_tokenizer.invert: expected true or false, found nothing"),
        (#","pre_tokenizer":{"type":"Metaspace","replacement":"__"}"#, .malformed, "pre_tokenizer.replacement: expected one character"),
        (#","pre_tokenizer":{"type":"Metaspace","replacement":"_","prepend_scheme":"last"}"#, .unsupported, "no such scheme: 'last'"),
        (#","decoder":{"type":"WordPiece"}"#, .unsupported, "decoder.type: no such decoder: 'WordPiece'"),
        (#","decoder":{"type":"Strip","content":" ","start":-1,"stop":0}"#, .malformed, "decoder.start: -1 is outside"),
        (#","post_processor":{"type":"Nothing"}"#, .unsupported, "post_processor.type: no such post-processor: 'Nothing'"),
        (#","post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>"}}],"special_tokens":{}}"#, .inconsistent, "'<s>' is not among special_tokens"),
        (#","post_processor":{"type":"TemplateProcessing","single":[{"Sequence":{"id":"B"}}]}"#, .unsupported, "post_processor.single[0].Sequence.id"),
        (#","post_processor":{"type":"BertProcessing","cls":["a",-3],"sep":["b",1]}"#, .malformed, "post_processor.cls: -3 is no token id"),
        (#","added_tokens":{}"#, .malformed, "added_tokens: expected a list, found an object"),
        (#","added_tokens":[{"id":7}]"#, .malformed, "added_tokens[0].content: expected a string, found nothing"),
        (#","added_tokens":[{"id":-7,"content":"x"}]"#, .malformed, "added_tokens[0].id: -7 is outside"),
        (#","added_tokens":[{"id":3,"content":"x"},{"id":3,"content":"x"}]"#, .inconsistent, "added_tokens[1].content: the same token twice"),
        (#","normalizer":{"type":"Lowercase"},"added_tokens":[{"id":3,"content":"X"},{"id":4,"content":"x"}]"#, .inconsistent, "is the same as another token after normalizing"),
        (#","normalizer":{"type":"Strip","strip_left":true,"strip_right":true},"added_tokens":[{"id":3,"content":" "}]"#, .inconsistent, "nothing is left of ' '"),
        (#","version":"2.0""#, .unsupported, "version: no such version"),
    ])
    func componentsAreChecked(_ more: String, _ code: TextError.Code, _ message: String) {
        let error = error(Self.file(more))
        #expect(error?.code == code, "\(more): \(error?.message ?? "no error")")
        #expect(error?.message.contains(message) == true, "\(error?.message ?? "no error") should say '\(message)'")
    }

    @Test func depthAndSizeAreBounded() {
        let nested = String(repeating: #"{"type":"Sequence","normalizers":["#, count: 80) + String(repeating: "]}", count: 80)
        #expect(error(Self.file(#","normalizer":"# + nested))?.message.contains("nested deeper than") == true)
        let groups = String(repeating: "(", count: 100) + String(repeating: ")", count: 100)
        let deep = #","pre_tokenizer":{"type":"Split","pattern":{"Regex":"\#(groups)"},"behavior":"Isolated","invert":false}"#
        #expect(error(Self.file(deep))?.code == .tooLarge)
        let classes = String(repeating: "[", count: 100)
        #expect(error(Self.file(deep.replacing(groups, with: classes)))?.code == .tooLarge)
        let long = #","pre_tokenizer":{"type":"Split","pattern":{"Regex":"\#(String(repeating: "a", count: Limits.patternBytes + 1))"},"behavior":"Isolated","invert":false}"#
        #expect(error(Self.file(long))?.code == .tooLarge)
        let many = Array(repeating: #"{"type":"NFC"}"#, count: Limits.tokenizerSteps + 1).joined(separator: ",")
        #expect(error(Self.file(#","normalizer":{"type":"Sequence","normalizers":[\#(many)]}"#))?.code == .tooLarge)
    }

    @Test func anotherIDThanDeclaredIsAWarning() throws {
        let tokenizer = try Tokenizer(parsing: Array(Self.file(#","added_tokens":[{"id":9,"content":"x"}]"#).utf8))
        #expect(tokenizer.id(of: "x") == 3)
        #expect(tokenizer.warnings.count == 1)
    }

    /// Every prefix of a file is an error, never a crash, and never a tokenizer.
    @Test func cutFilesAreErrors() throws {
        let bytes = try TokenizerFixture.named("added-lower").fileBytes()
        for length in stride(from: 0, to: bytes.count, by: 61) {
            #expect(throws: TextError.self) { try Tokenizer(parsing: Array(bytes[..<length])) }
        }
    }

    /// Files with damaged bytes may still mean something; what they must not do is crash, now or when used.
    @Test func damagedFilesDoNotCrash() throws {
        var random = RandomSource(seed: 11)
        let bytes = try TokenizerFixture.named("spm-added").fileBytes()
        var loaded = 0
        for _ in 0..<150 {
            var damaged = bytes
            for _ in 0..<Int.random(in: 1...3, using: &random) {
                damaged[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
            }
            guard let tokenizer = try? Tokenizer(parsing: damaged) else { continue }
            loaded += 1
            let ids = tokenizer.encode("Hello <L> wörld\u{0} 北京", addSpecialTokens: true)
            _ = tokenizer.decode(ids + [-1, .max, .min], skipSpecialTokens: false)
        }
        #expect(loaded > 0)
    }
}
