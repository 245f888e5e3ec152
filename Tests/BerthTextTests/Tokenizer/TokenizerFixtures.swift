// The comparison with the reference: tokenizers of many kinds and what the `tokenizers` package made of strange texts.
//
// Scripts/make-tokenizer-fixtures writes both; a few hundred cases of the usual kinds are committed. With
// BERTH_TOKENIZER_CASES=FOLDER in the environment the same comparison runs over a folder that the script wrote.

import BerthCore
import Glibc
import Testing

@testable import BerthText

/// One kind of tokenizer and its cases.
struct TokenizerFixture: CustomStringConvertible, Sendable {
    let name: String
    let folder: String
    var description: String { name }

    static let committedFolder = String(#filePath.prefix(upTo: #filePath.range(of: "/Tokenizer/TokenizerFixtures.swift")!)) + "/Fixtures/Tokenizers"

    static let committed = all(in: committedFolder)

    /// What BERTH_TOKENIZER_CASES names; usually nothing.
    static let requested = getenv("BERTH_TOKENIZER_CASES").map { all(in: String(cString: $0)) } ?? []

    static func named(_ name: String) -> TokenizerFixture { TokenizerFixture(name: name, folder: committedFolder) }

    private static func all(in folder: String) -> [TokenizerFixture] {
        guard let directory = opendir(folder) else { return [] }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) } }
            if name.hasSuffix(".cases.json") { names.append(String(name.dropLast(".cases.json".count))) }
        }
        return names.sorted().map { TokenizerFixture(name: $0, folder: folder) }
    }

    func fileBytes() throws -> [UInt8] {
        try #require(try FileBytes.readIfPresent("\(folder)/\(name).json", limit: Limits.tokenizerFileBytes))
    }

    func tokenizer() throws -> Tokenizer { try Tokenizer(parsing: try fileBytes()) }

    func cases() throws -> JSON {
        try JSON(parsing: try #require(try FileBytes.readIfPresent("\(folder)/\(name).cases.json", limit: 1 << 30)))
    }

    /// Ids as the cases spell them: decimal, with spaces.
    static func ids(_ json: JSON) throws -> [Int32] {
        try #require(json.string).split(separator: " ").map { try #require(Int32($0)) }
    }

    /// Compares everything; returns how many comparisons were made. Records at most a few differences.
    func compare() throws -> Int {
        let tokenizer = try tokenizer()
        let cases = try cases()
        var comparisons = 0
        var differences = 0
        func differ(_ what: String) {
            differences += 1
            if differences <= 3 { Issue.record("\(name): \(what)") }
        }
        for element in try #require(cases["encode"]?.array) {
            let fields = try #require(element.array)
            let text = try #require(fields[0].string)
            for (index, addSpecialTokens) in [(1, false), (2, true)] where index < fields.count {
                let ids = tokenizer.encode(text, addSpecialTokens: addSpecialTokens)
                comparisons += 1
                if try ids != Self.ids(fields[index]) { differ("\(JSON.string(text).text) gives \(ids) instead of \(fields[index].text)") }
            }
        }
        for element in try #require(cases["decode"]?.array) {
            let fields = try #require(element.array)
            let ids = try Self.ids(fields[0])
            let skip = try #require(fields[1].bool)
            let text = tokenizer.decode(ids, skipSpecialTokens: skip)
            var stream = tokenizer.detokenizer(skipSpecialTokens: skip)
            var streamed = ""
            for id in ids { streamed += stream.append(id) }
            streamed += stream.finish()
            let expected = try #require(fields[2].string)
            comparisons += 2
            // Bytes, because Swift's strings are equal when they are canonically equivalent.
            if Array(text.utf8) != Array(expected.utf8) { differ("\(ids) gives \(JSON.string(text).text) instead of \(fields[2].text)") }
            if Array(streamed.utf8) != Array(text.utf8) { differ("\(ids), one by one, gives \(JSON.string(streamed).text) instead of \(JSON.string(text).text)") }
        }
        return comparisons
    }
}

extension String {
    /// The range of the first occurrence of `text`; fixtures need no more than this of Foundation.
    func range(of text: String) -> Range<String.Index>? {
        var start = startIndex
        while start < endIndex {
            if self[start...].hasPrefix(text) { return start..<index(start, offsetBy: text.count) }
            start = index(after: start)
        }
        return nil
    }

    func prefix(upTo range: Range<String.Index>) -> Substring { self[..<range.lowerBound] }
}

@Suite struct TokenizerDifferential {
    @Test(arguments: TokenizerFixture.committed)
    func agreesWithTheReference(_ fixture: TokenizerFixture) throws {
        #expect(try fixture.compare() > 300)
    }

    @Test func fixturesAreThere() { #expect(TokenizerFixture.committed.count >= 16) }

    @Test(.enabled(if: !TokenizerFixture.requested.isEmpty), arguments: TokenizerFixture.requested)
    func agreesOnRequestedCases(_ fixture: TokenizerFixture) throws {
        #expect(try fixture.compare() > 0)
    }
}
