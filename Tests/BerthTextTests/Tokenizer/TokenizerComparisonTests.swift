// Two tokenizers that say the same in other words, and two that do not.

import BerthCore
import Testing

@testable import BerthText

@Suite struct TokenizerComparisonTests {
    private static let base = #"{"version":"1.0","model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":2,"ba":3},"merges":["a b","b a"]},"added_tokens":[{"id":4,"content":"<x>","special":true}]}"#

    private func tokenizer(_ text: String) throws -> Tokenizer { try Tokenizer(parsing: Array(text.utf8)) }

    private func difference(_ from: String, _ to: String) throws -> String? {
        #expect(Self.base.contains(from))
        return try tokenizer(Self.base).difference(to: tokenizer(Self.base.replacing(from, with: to)))
    }

    @Test func otherWords() throws {
        #expect(try difference("\"a b\",\"b a\"", "[\"a\", \"b\"], [\"b\", \"a\"]") == nil)
        #expect(try difference("{\"version\"", "{\"padding\":{\"length\":3},\"truncation\":null,\"version\"") == nil)
        #expect(try difference("\"a\":0,\"b\":1", "\"b\":1,\"a\":0") == nil)
    }

    @Test func otherTokens() throws {
        #expect(try difference("<x>", "<y>") == "token 4 is '<y>' there and '<x>' here")
        #expect(try difference("\"a\":0,\"b\":1", "\"a\":1,\"b\":0") == "token 0 is 'b' there and 'a' here")
        #expect(try difference("}]}", "},{\"id\":5,\"content\":\"<y>\",\"special\":true}]}") == "token 5 is '<y>' there and none here")
        #expect(try difference("\"special\":true", "\"special\":false") == "token 4, '<x>', is a control token in only one of them")
    }

    @Test func otherCuts() throws {
        let normalizer = "\"normalizer\":{\"type\":\"Lowercase\"},"
        #expect(try difference("\"model\"", normalizer + "\"model\"") == "it has the same tokens and cuts text otherwise")
    }
}
