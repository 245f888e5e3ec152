// Python's `str`: a sequence of code points.
//
// Swift's String is a sequence of grapheme clusters that compares by canonical equivalence ("\r\n" is one Character, two
// spellings of "é" are equal); a template's author meant neither. Text is UTF-8 with byte equality. Searching and
// splitting work on bytes (UTF-8 never matches across characters); only indices walk the code points.

import Glibc

extension Jinja {
    /// A string of code points. Value semantics; valid UTF-8 always.
    struct Text: Hashable, Sendable, ExpressibleByStringLiteral {
        var bytes: [UInt8]

        init(bytes: [UInt8] = []) { self.bytes = bytes }
        init(bytes: ArraySlice<UInt8>) { self.bytes = Array(bytes) }
        init(_ string: String) { bytes = Array(string.utf8) }
        init(stringLiteral value: String) { self.init(value) }

        init(scalars: some Sequence<Unicode.Scalar>) {
            bytes = []
            for scalar in scalars { append(scalar: scalar) }
        }

        var string: String { String(decoding: bytes, as: UTF8.self) }
        var isEmpty: Bool { bytes.isEmpty }

        /// The number of code points. O(bytes).
        var count: Int {
            bytes.withUnsafeBufferPointer { buffer in
                var count = 0
                for byte in buffer where byte & 0xC0 != 0x80 { count += 1 }
                return count
            }
        }

        var scalars: [Unicode.Scalar] { Array(string.unicodeScalars) }

        mutating func append(scalar: Unicode.Scalar) { bytes.append(contentsOf: UTF8.encode(scalar)!) }
        mutating func append(_ other: Text) { bytes.append(contentsOf: other.bytes) }

        static func + (left: Text, right: Text) -> Text { Text(bytes: left.bytes + right.bytes) }

        /// Order by code point, which is the order of the bytes.
        static func < (left: Text, right: Text) -> Bool { left.bytes.lexicographicallyPrecedes(right.bytes) }

        /// The byte offset of code point `index`; the end where there are not so many.
        func offset(ofScalar index: Int) -> Int {
            var remaining = index
            var offset = 0
            while offset < bytes.count, remaining > 0 {
                offset = self.offset(after: offset)
                remaining -= 1
            }
            return offset
        }

        func offset(after offset: Int) -> Int {
            var next = offset + 1
            while next < bytes.count, bytes[next] & 0xC0 == 0x80 { next += 1 }
            return next
        }

        func offset(before offset: Int) -> Int {
            var previous = offset - 1
            while previous > 0, bytes[previous] & 0xC0 == 0x80 { previous -= 1 }
            return previous
        }

        /// The code point that starts at byte `offset`.
        func scalar(at offset: Int) -> Unicode.Scalar {
            let byte = bytes[offset]
            if byte < 0x80 { return Unicode.Scalar(byte) }
            return String(decoding: bytes[offset..<self.offset(after: offset)], as: UTF8.self).unicodeScalars.first!
        }

        /// Code points `range`, which must lie within the text.
        func slice(_ range: Range<Int>) -> Text {
            let start = offset(ofScalar: range.lowerBound)
            var end = start
            for _ in 0..<range.count { end = offset(after: end) }
            return Text(bytes: bytes[start..<end])
        }

        func hasPrefix(_ prefix: Text) -> Bool { bytes.starts(with: prefix.bytes) }
        func hasSuffix(_ suffix: Text) -> Bool {
            bytes.count >= suffix.bytes.count && bytes[(bytes.count - suffix.bytes.count)...] == suffix.bytes[...]
        }

        /// The byte offset of the first `needle` at or after byte `start`. Linear in the bytes, whatever they are.
        func firstOffset(of needle: Text, from start: Int = 0) -> Int? {
            let size = needle.bytes.count
            guard start + size <= bytes.count else { return nil }
            guard size > 0 else { return start }
            if size > 32 { return firstOffsetByTable(of: needle, from: start) }
            return bytes.withUnsafeBytes { haystack in
                needle.bytes.withUnsafeBytes { pattern in
                    var at = start
                    while at + size <= haystack.count {
                        // The pointer stays inside the buffer: memchr looks at no more than the bytes that remain.
                        guard let hit = memchr(haystack.baseAddress! + at, Int32(pattern[0]), haystack.count - size - at + 1) else {
                            return nil
                        }
                        at = UnsafeRawPointer(hit) - haystack.baseAddress!
                        if memcmp(hit, pattern.baseAddress!, size) == 0 { return at }
                        at += 1
                    }
                    return nil
                }
            }
        }

        /// Knuth, Morris and Pratt: no needle makes it slower than linear.
        private func firstOffsetByTable(of needle: Text, from start: Int) -> Int? {
            let pattern = needle.bytes
            var fallback = [Int](repeating: 0, count: pattern.count)
            var length = 0
            for index in 1..<pattern.count {
                while length > 0, pattern[index] != pattern[length] { length = fallback[length - 1] }
                if pattern[index] == pattern[length] { length += 1 }
                fallback[index] = length
            }
            length = 0
            for index in start..<bytes.count {
                while length > 0, bytes[index] != pattern[length] { length = fallback[length - 1] }
                if bytes[index] == pattern[length] { length += 1 }
                if length == pattern.count { return index + 1 - length }
            }
            return nil
        }

        /// The byte offsets of the non-overlapping occurrences of `needle` (not empty), from the left, at most `limit`.
        func offsets(of needle: Text, limit: Int = .max) -> [Int] {
            var result: [Int] = []
            var at = 0
            while result.count < limit, let hit = firstOffset(of: needle, from: at) {
                result.append(hit)
                at = hit + needle.bytes.count
            }
            return result
        }

        /// The same from the right, in falling order.
        func offsetsFromEnd(of needle: Text, limit: Int = .max) -> [Int] {
            let mirrored = Text(bytes: Array(bytes.reversed()))
            let size = needle.bytes.count
            return mirrored.offsets(of: Text(bytes: Array(needle.bytes.reversed())), limit: limit).map { bytes.count - $0 - size }
        }
    }
}
