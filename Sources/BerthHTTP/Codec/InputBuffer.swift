// Bytes that arrived and are not parsed yet.
//
// Both parsers own one. It grows by what the socket delivers and shrinks from the front as lines and body pieces are
// taken; the front is cut off lazily, so that taking is O(1) amortised. The parsers bound how much may wait here for a
// line; the connection bounds how much it feeds while a response is under way.

import Glibc

struct InputBuffer {
    private var bytes: [UInt8] = []
    private var start = 0
    /// Bytes after `start` that are known to hold no line feed, so that a line that trickles in costs linear time.
    private var scanned = 0

    var count: Int { bytes.count - start }

    var first: UInt8? { count > 0 ? bytes[start] : nil }

    mutating func append(_ new: some Collection<UInt8>) {
        if start == bytes.count {
            bytes.removeAll(keepingCapacity: true)
            start = 0
        } else if start > 4096, start > bytes.count / 2 {
            bytes.removeFirst(start)
            start = 0
        }
        bytes.append(contentsOf: new)
    }

    /// The next line without its CR LF, or nil while it is unfinished.
    ///
    /// The verdict depends on the bytes alone, not on how they were cut: a line that takes more than `limit` bytes with
    /// its end is refused whether or not the end has arrived.
    mutating func takeLine(limit: Int, tooLong: @autoclosure () -> HTTPError) throws(HTTPError) -> ArraySlice<UInt8>? {
        guard let length = lengthToLineFeed() else {
            if count >= limit { throw tooLong() }
            scanned = count
            return nil
        }
        if length + 1 > limit { throw tooLong() }
        let line = bytes[start..<start + length]
        guard line.last == UInt8(ascii: "\r") else { throw HTTPError(.malformed, "A line ends without a carriage return.") }
        skip(length + 1)
        return line.dropLast()
    }

    /// Up to `limit` bytes.
    mutating func take(upTo limit: Int) -> [UInt8] {
        let taken = min(limit, count)
        let result = Array(bytes[start..<start + taken])
        skip(taken)
        return result
    }

    mutating func skip(_ amount: Int) {
        start += amount
        scanned = 0
    }

    private func lengthToLineFeed() -> Int? {
        bytes.withUnsafeBytes { buffer in
            guard count > scanned, let base = buffer.baseAddress else { return nil }
            guard let found = memchr(base + start + scanned, 0x0A, count - scanned) else { return nil }
            return UnsafeRawPointer(found) - (base + start)
        }
    }
}
