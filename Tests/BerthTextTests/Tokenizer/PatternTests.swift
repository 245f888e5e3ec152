// Patterns: where Oniguruma and PCRE2 differ, and that searching has an end.

import BerthCore
import Testing

@testable import BerthText

@Suite struct PatternTests {
    private func matches(_ pattern: String, _ text: String) throws -> [String] {
        let compiled = try TextPattern(oniguruma: pattern, at: "test")
        var found: [String] = []
        Array(text.utf8).withUnsafeBufferPointer { bytes in
            compiled.forEachMatch(in: bytes) { found.append(String(decoding: bytes[$0..<$1], as: UTF8.self)) }
        }
        return found
    }

    /// The expected matches are those of Oniguruma 6.9.10, as the reference package reports them.
    @Test(arguments: [
        (#"^a"#, "a\na", ["a", "a"]),
        (#"a$"#, "a\na", ["a", "a"]),
        (#"(?m)a.b"#, "a\nb", ["a\nb"]),
        (#"a.b"#, "a\nb", []),
        (#"\h+"#, "xAf09g", ["Af09"]),
        (#"\v"#, "\u{0B}\n\u{2028}", ["\u{0B}"]),
        (#"a{,2}b"#, "aaab", ["aab"]),
        (#"a{1,2}+"#, "aaaaa", ["aaaaa"]),
        (#"a{2}?"#, "aaa", ["aa", ""]),
        (#"a++a"#, "aaa", []),
        (#"[a-z&&[^aeiou]]+"#, "abcde", ["bcd"]),
        (#"[a-c[x-z]]+"#, "abxyq", ["abxy"]),
        (#"[^a-c[x-z]]+"#, "abqxw", ["q", "w"]),
        (#"[^a-z&&[^aeiou]]+"#, "abcdE", ["a", "E"]),
        (#"[[:alpha:]]+"#, "ab1é", ["ab", "é"]),
        (#"[[:punct:]]+"#, "a+b.c", ["+", "."]),
        (#"\s+"#, "a\u{180E}\u{A0}\u{3000}\u{85}b", ["\u{A0}\u{3000}\u{85}"]),
        (#"\w+"#, "½²a_\u{24B6}-", ["½²a_\u{24B6}"]),
        (#"[\w]+"#, "½a", ["a"]),
        (#"[^\W\d_]+"#, "½a1b_c", ["a", "b", "c"]),
        (#"\p{^L}+"#, "ab1 c", ["1 "]),
        (#"\P{L}+"#, "ab1 c", ["1 "]),
        (#"\p{Letter}+"#, "é1", ["é"]),
        (#"\p{Lowercase_Letter}+"#, "aB", ["a"]),
        (#"\p{Han}+"#, "北京a\u{31350}、", ["北京", "\u{31350}"]),
        (#"\p{L}+"#, "\u{1C89}\u{A7CB}1", ["\u{1C89}\u{A7CB}"]),
        (#"(?i:'s|'ll)"#, "'S 'ſ 'lL", ["'S", "'ſ", "'lL"]),
        (#"x(?i)a|B"#, "xA xb b B", ["xA", "xb"]),
        (#"(?i:a)b"#, "Ab AB", ["Ab"]),
        (#"\x{e9}|\u00e8|\x61"#, "éèça", ["é", "è", "a"]),
        (#"(a)(b)?"#, "aba", ["ab", "a"]),
        (#"(?:ab){2}{2}"#, "abababab", ["abababab"]),
        (#"a**b"#, "aab", ["aab"]),
        (#"(?<n>a)\k<n>"#, "aab", ["aa"]),
        (#"a(?#note)b"#, "ab", ["ab"]),
        (#"(?>a+)b"#, "aab", ["aab"]),
        (#"(?<!a)b"#, "ab b", ["b"]),
        (#"\bfoo\b"#, "foo foobar é·foo", ["foo", "foo"]),
        (#"[\]\-^]"#, "]-^", ["]", "-", "^"]),
        (#"[-a]+"#, "a-b", ["a-"]),
        (#"a{"#, "a{", ["a{"]),
        (#"x*"#, "axb", ["", "x", ""]),
    ])
    func meansWhatOnigurumaMeans(_ pattern: String, _ text: String, _ expected: [String]) throws {
        #expect(try matches(pattern, text) == expected, "\(pattern)")
    }

    @Test(arguments: [#"(?~a)"#, #"\X"#, #"(?x)a b"#, #"a)"#, #"[a"#, #"\p{L"#, #"\"#, #"[z-a]"#, #"\x{110000}"#, #"\xe9"#, #"(?<n"#])
    func refusesWhatHasNoCounterpart(_ pattern: String) {
        #expect(throws: TextError.self) { try TextPattern(oniguruma: pattern, at: "test") }
    }

    @Test func anEndlessSearchEnds() throws {
        // (a|aa)+ has exponentially many ways to fail: the search gives up, and the text counts as not matching.
        let text = String(repeating: "a", count: 200)
        let clock = ContinuousClock()
        var found: [String]?
        let duration = clock.measure { found = try? matches(#"(?:a|aa)+b"#, text) }
        #expect(found == [])
        #expect(duration < .seconds(60))
    }

    @Test func deepRecursionDoesNotOverflow() throws {
        let text = String(repeating: "ab", count: 100_000)
        #expect(try matches(#"(?:a|b)+c|(?:(?:a)(?:b))+"#, text).joined().utf8.count <= text.utf8.count)
    }

    @Test func literalsDoNotOverlap() throws {
        let literal = try TextPattern(literal: "aa", at: "test")
        var found: [Int] = []
        Array("aaaaa".utf8).withUnsafeBufferPointer { literal.forEachMatch(in: $0) { start, _ in found.append(start) } }
        #expect(found == [0, 2])
    }
}
