// Stop strings in streamed text.
//
// Text passes through until it might be the start of a stop string; then it is held back until it is known. The stop string
// that is complete first wins (among those that end at the same byte, the one that began first), so the result does not
// depend on how the text was cut into pieces. All in UTF-8 bytes: a stop string begins with a leading byte, so a cut before
// one never splits a character.

struct StopMatcher {
    private let stops: [[UInt8]]
    /// The stop string that was found is part of the text.
    private let includesStop: Bool
    /// Text that may be the beginning of a stop string: shorter than the longest of them.
    private var held: [UInt8] = []

    /// Empty strings are ignored.
    init(_ strings: [String], includesStop: Bool = false) {
        stops = strings.map { Array($0.utf8) }.filter { !$0.isEmpty }
        self.includesStop = includesStop
    }

    /// The text that is certain now, and whether a stop string was found behind it.
    mutating func append(_ text: String) -> (text: String, isStopped: Bool) {
        guard !stops.isEmpty else { return (text, false) }
        guard !text.isEmpty else { return ("", false) }
        let known = held.count
        held.append(contentsOf: text.utf8)
        for end in known + 1...held.count {
            guard let longest = stops.filter({ held[..<end].ends(with: $0) }).map(\.count).max() else { continue }
            let certain = String(decoding: held[..<(includesStop ? end : end - longest)], as: UTF8.self)
            held = []
            return (certain, true)
        }
        let keep = stops.map { Self.overlap(of: held, with: $0) }.max() ?? 0
        let certain = String(decoding: held[..<(held.count - keep)], as: UTF8.self)
        held.removeFirst(held.count - keep)
        return (certain, false)
    }

    /// What is still held, when no more text will come.
    mutating func finish() -> String {
        defer { held = [] }
        return String(decoding: held, as: UTF8.self)
    }

    /// The length of the longest proper prefix of `stop` that `text` ends with.
    private static func overlap(of text: [UInt8], with stop: [UInt8]) -> Int {
        var length = min(text.count, stop.count - 1)
        while length > 0, !text.ends(with: stop[..<length]) { length -= 1 }
        return length
    }
}

extension Collection where Element: Equatable, Self: BidirectionalCollection {
    fileprivate func ends(with tail: some BidirectionalCollection<Element>) -> Bool {
        guard count >= tail.count else { return false }
        return zip(reversed(), tail.reversed()).allSatisfy { $0 == $1 }
    }
}
