// Stop strings: against a matcher that sees one byte at a time, whatever the pieces.

import BerthCore
import Testing

@testable import BerthEngine

@Suite struct StopMatcherTests {
    /// What text must come out: up to the stop string that is complete first.
    static func reference(_ text: String, _ stops: [String]) -> (text: String, isStopped: Bool) {
        let bytes = Array(text.utf8)
        let patterns = stops.map { Array($0.utf8) }.filter { !$0.isEmpty }
        for end in 0...bytes.count {
            let found = patterns.filter { $0.count <= end && Array(bytes[(end - $0.count)..<end]) == $0 }.map(\.count).max()
            if let found { return (String(decoding: bytes[..<(end - found)], as: UTF8.self), true) }
        }
        return (text, false)
    }

    @Test(arguments: 1...200 as ClosedRange<UInt64>)
    func agreesWithTheReferenceHoweverTheTextIsCut(seed: UInt64) {
        var random = RandomSource(seed: seed)
        let letters = ["a", "b", "é", "\u{1F600}", "\n"]
        func word(_ length: ClosedRange<Int>) -> String { (0..<Int.random(in: length, using: &random)).map { _ in letters.randomElement(using: &random)! }.joined() }
        let stops = (0..<Int.random(in: 0...3, using: &random)).map { _ in word(0...4) }
        let pieces = (0..<Int.random(in: 0...12, using: &random)).map { _ in word(0...3) }
        var matcher = StopMatcher(stops)
        var text = ""
        var isStopped = false
        for piece in pieces where !isStopped {
            let result = matcher.append(piece)
            text += result.text
            isStopped = result.isStopped
            // Nothing is held back that could not be the beginning of a stop string.
            if stops.allSatisfy(\.isEmpty) { #expect(result.text == piece) }
        }
        if !isStopped { text += matcher.finish() }
        let expected = Self.reference(pieces.joined(), stops)
        #expect(Array(text.utf8) == Array(expected.text.utf8) && isStopped == expected.isStopped, "seed \(seed): \(pieces) \(stops)")
    }

    @Test func holdsBackOnlyWhatMayBecomeAStop() {
        var matcher = StopMatcher(["END"])
        #expect(matcher.append("the E") == ("the ", false))
        #expect(matcher.append("N") == ("", false))
        #expect(matcher.append("tity") == ("ENtity", false))
        #expect(matcher.append(" E") == (" ", false))
        #expect(matcher.append("ND and more") == ("", true))
    }

    @Test func aStopInsideAPieceCutsIt() {
        var matcher = StopMatcher(["\n\n", "User:"])
        #expect(matcher.append("one\ntwo\n\nthree User:") == ("one\ntwo", true))
    }
}
