// Added tokens: those that are found in the text as a whole, before the model sees it.
//
// Control tokens such as `<|im_start|>` and whatever a fine-tune added. Tokens that are not "normalized" are looked for in
// the text as the user wrote it, the others, in their normal form, in normalized text. At each place the longest token
// wins (leftmost-longest), found with a trie in time proportional to the text.

import BerthCore

/// One entry of `added_tokens`.
struct AddedToken: Sendable {
    let content: [UInt8]
    let id: Int32
    /// Found only between characters that are no part of words.
    let isSingleWord: Bool
    /// Takes the white space before it, or after it.
    let stripsLeft: Bool
    let stripsRight: Bool
    let isNormalized: Bool
    let isSpecial: Bool
}

/// Finds added tokens in text.
struct AddedTokenMatcher: Sendable {
    /// What a text falls into: a token, or text between tokens.
    enum Part {
        case token(Int32)
        case text(Range<Int>)
    }

    private let tokens: [AddedToken]
    private let trie: ByteTrie
    var isEmpty: Bool { tokens.isEmpty }

    /// - Parameter patterns: what each token looks like in the text.
    init(_ tokens: [AddedToken], patterns: [[UInt8]], path: String) throws(TextError) {
        self.tokens = tokens
        var trie = ByteTrie()
        for (index, pattern) in patterns.enumerated() {
            let name = String(decoding: tokens[index].content, as: UTF8.self)
            guard !pattern.isEmpty else { throw TextError(.inconsistent, "\(path): nothing is left of '\(name)' after normalizing") }
            guard trie.insert(pattern, value: Int32(index)) else {
                throw TextError(.inconsistent, "\(path): '\(name)' is the same as another token after normalizing")
            }
        }
        self.trie = trie
    }

    /// Appends the parts of `text`, in order.
    func split(_ text: UnsafeBufferPointer<UInt8>, into parts: inout [Part]) {
        var covered = 0
        var at = 0
        while let match = trie.firstMatch(in: text, from: at) {
            at = match.range.upperBound
            let token = tokens[Int(match.value)]
            var (start, end) = (match.range.lowerBound, match.range.upperBound)
            if token.isSingleWord, endsWithWord(text, start) || startsWithWord(text, end) { continue }
            if token.stripsLeft { start = max(startOfSpace(before: start, after: covered, in: text), covered) }
            if token.stripsRight { end = endOfSpace(from: end, in: text) }
            if covered < start { parts.append(.text(covered..<start)) }
            parts.append(.token(token.id))
            covered = end
        }
        if covered < text.count { parts.append(.text(covered..<text.count)) }
    }

    private func scalar(before end: Int, in text: UnsafeBufferPointer<UInt8>) -> (scalar: Unicode.Scalar, start: Int) {
        var start = end - 1
        while start > 0, text[start] & 0xC0 == 0x80 { start -= 1 }
        return (utf8Scalar(text, at: start), start)
    }

    private func endsWithWord(_ text: UnsafeBufferPointer<UInt8>, _ end: Int) -> Bool {
        end > 0 && CharacterSet.isWord(scalar(before: end, in: text).scalar)
    }

    private func startsWithWord(_ text: UnsafeBufferPointer<UInt8>, _ start: Int) -> Bool {
        start < text.count && CharacterSet.isWord(utf8Scalar(text, at: start))
    }

    private func startOfSpace(before end: Int, after limit: Int, in text: UnsafeBufferPointer<UInt8>) -> Int {
        var start = end
        while start > limit {
            let last = scalar(before: start, in: text)
            guard CharacterSet.isWhiteSpace(last.scalar) else { break }
            start = last.start
        }
        return start
    }

    private func endOfSpace(from start: Int, in text: UnsafeBufferPointer<UInt8>) -> Int {
        var end = start
        while end < text.count, CharacterSet.isWhiteSpace(utf8Scalar(text, at: end)) { end += utf8Length(text[end]) }
        return end
    }
}

/// A trie of byte strings: first children and next siblings in flat arrays, the root's children in a table.
struct ByteTrie: Sendable {
    private struct Node {
        var byte: UInt8
        /// Of the string that ends here, or -1.
        var value: Int32 = -1
        var firstChild: Int32 = -1
        var nextSibling: Int32 = -1
    }
    private var nodes: [Node] = []
    private var roots = [Int32](repeating: -1, count: 256)

    /// Adds `string`, which is not empty; false where it is there already.
    mutating func insert(_ string: [UInt8], value: Int32) -> Bool {
        var node = roots[Int(string[0])]
        if node < 0 {
            node = Int32(nodes.count)
            nodes.append(Node(byte: string[0]))
            roots[Int(string[0])] = node
        }
        for byte in string.dropFirst() {
            var child = self.child(of: node, byte)
            if child < 0 {
                child = Int32(nodes.count)
                nodes.append(Node(byte: byte, nextSibling: nodes[Int(node)].firstChild))
                nodes[Int(node)].firstChild = child
            }
            node = child
        }
        guard nodes[Int(node)].value < 0 else { return false }
        nodes[Int(node)].value = value
        return true
    }

    private func child(of node: Int32, _ byte: UInt8) -> Int32 {
        var child = nodes[Int(node)].firstChild
        while child >= 0, nodes[Int(child)].byte != byte { child = nodes[Int(child)].nextSibling }
        return child
    }

    /// The first place from `start` on at which a string of the trie stands, and the longest that stands there.
    func firstMatch(in text: UnsafeBufferPointer<UInt8>, from start: Int) -> (range: Range<Int>, value: Int32)? {
        guard !nodes.isEmpty else { return nil }
        return roots.withUnsafeBufferPointer { roots in
            var at = start
            while at < text.count {
                var node = roots[Int(text[at])]
                var found: (range: Range<Int>, value: Int32)?
                var end = at + 1
                while node >= 0 {
                    if nodes[Int(node)].value >= 0 { found = (at..<end, nodes[Int(node)].value) }
                    guard end < text.count else { break }
                    node = child(of: node, text[end])
                    end += 1
                }
                if let found { return found }
                at += 1
            }
            return nil
        }
    }
}
