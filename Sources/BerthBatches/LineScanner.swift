// The lines of a file, with their places, however long they are.

import BerthCore
import Glibc

/// Reads on from a place. A line that is longer than a request may be is counted and not kept.
struct LineScanner {
    struct Line {
        var place: Int
        /// Without the line break.
        var bytes: Int
        /// Nil where the line is too long.
        var content: [UInt8]?
        /// Where the next line begins.
        var next: Int
    }

    static let longestLine = Limits.bodyBytes + Limits.batchLineExtraBytes

    private let reader: ContentReader
    private var buffer: [UInt8] = []
    /// Of the buffer: where the line begins, and up to where no line break is.
    private var begin = 0
    private var searched = 0
    /// Of the file: where the buffer begins, and the line.
    private var bufferPlace: Int
    private var linePlace: Int
    private var isTooLong = false
    private var isAtEnd = false

    init(_ reader: ContentReader, from place: Int) throws(BatchError) {
        self.reader = reader
        (bufferPlace, linePlace) = (place, place)
        // Some programs begin a file with a byte order mark.
        if place == 0, try reader.read(at: 0, count: 3) == [0xEF, 0xBB, 0xBF] { (bufferPlace, linePlace) = (3, 3) }
    }

    /// The next line; nil at the end of the file. The last one may lack its line break.
    mutating func next() throws(BatchError) -> Line? {
        while true {
            if let end = lineBreak() { return take(to: end, over: 1) }
            if isAtEnd {
                guard buffer.count > begin || isTooLong else { return nil }
                return take(to: buffer.count, over: 0)
            }
            if buffer.count - begin > Self.longestLine {
                isTooLong = true
                begin = buffer.count
            }
            buffer.removeFirst(begin)
            bufferPlace += begin
            begin = 0
            searched = buffer.count
            let more = try reader.read(at: bufferPlace + buffer.count, count: Limits.filePieceBytes)
            isAtEnd = more.count < Limits.filePieceBytes
            buffer += more
        }
    }

    private mutating func lineBreak() -> Int? {
        let found = buffer.withUnsafeBytes { bytes -> Int? in
            guard bytes.count > searched, let hit = memchr(bytes.baseAddress! + searched, 0x0A, bytes.count - searched) else { return nil }
            return UnsafeRawPointer(hit) - bytes.baseAddress!
        }
        searched = found ?? buffer.count
        return found
    }

    private mutating func take(to end: Int, over lineBreak: Int) -> Line {
        let isLong = isTooLong || end - begin > Self.longestLine
        let next = bufferPlace + end + lineBreak
        let line = Line(place: linePlace, bytes: bufferPlace + end - linePlace, content: isLong ? nil : Array(buffer[begin..<end]), next: next)
        begin = end + lineBreak
        searched = begin
        linePlace = next
        isTooLong = false
        return line
    }
}
