// The body of one message: counted, chunked or until the end of the connection.

import BerthCore

/// Decodes one body. Lives from the end of a head to the end of its message.
struct BodyDecoder {
    enum Output: Equatable {
        case bytes([UInt8])
        case end
    }

    private enum State {
        case counted(remaining: Int)
        case untilClose
        case chunkSize
        case chunkData(remaining: Int)
        case chunkEnd
        case trailers(FieldSection, remaining: Int)
        case done
    }

    private var state: State
    /// How many more bytes of body are acceptable.
    private var allowance: Int
    private let limit: Int

    init(framing: BodyFraming, limit: Int) throws(HTTPError) {
        self.limit = limit
        allowance = limit
        switch framing {
        case .none: state = .done
        case .length(let length):
            state = .counted(remaining: length)
            try spend(length)
        case .chunked: state = .chunkSize
        case .untilClose: state = .untilClose
        }
    }

    /// The next piece of the body, or nil while more input is needed. After `.end` the decoder is not called again.
    mutating func next(_ input: inout InputBuffer) throws(HTTPError) -> Output? {
        while true {
            switch state {
            case .done: return .end
            case .counted(let remaining):
                if remaining == 0 { return .end }
                guard input.count > 0 else { return nil }
                let bytes = input.take(upTo: remaining)
                state = .counted(remaining: remaining - bytes.count)
                return .bytes(bytes)
            case .untilClose:
                guard input.count > 0 else { return nil }
                let bytes = input.take(upTo: Int.max)
                try spend(bytes.count)
                return .bytes(bytes)
            case .chunkSize:
                guard let line = try input.takeLine(limit: Limits.chunkLineBytes, tooLong: HTTPError(.malformed, "The line before a chunk is too long.")) else { return nil }
                let size = try Self.chunkSize(line)
                try spend(size)
                state = size == 0 ? .trailers(FieldSection(), remaining: Limits.headerBytes) : .chunkData(remaining: size)
            case .chunkData(let remaining):
                guard input.count > 0 else { return nil }
                let bytes = input.take(upTo: remaining)
                state = bytes.count == remaining ? .chunkEnd : .chunkData(remaining: remaining - bytes.count)
                return .bytes(bytes)
            case .chunkEnd:
                let wrong = HTTPError(.malformed, "A chunk is longer than its size says.")
                if let first = input.first, first != UInt8(ascii: "\r") { throw wrong }
                guard input.count >= 2 else { return nil }
                guard input.take(upTo: 2) == [0x0D, 0x0A] else { throw wrong }
                state = .chunkSize
            case .trailers(var section, let remaining):
                guard let line = try input.takeLine(limit: remaining, tooLong: HTTPError(.headTooLarge, "The trailer section is too large.")) else { return nil }
                if line.isEmpty {
                    state = .done
                } else {
                    // Checked like header fields, then dropped: nothing here has a use for trailers.
                    try section.add(line: line)
                    if section.fields.contains(.contentLength) || section.fields.contains(.transferEncoding) {
                        throw HTTPError(.malformed, "A trailer that belongs into the header.")
                    }
                    state = .trailers(section, remaining: remaining - line.count - 2)
                }
            }
        }
    }

    /// The connection ended. Only a body that lasts until then is complete.
    var mayEndWithConnection: Bool {
        switch state {
        case .untilClose, .done, .counted(remaining: 0): true
        default: false
        }
    }

    private mutating func spend(_ bytes: Int) throws(HTTPError) {
        guard bytes <= allowance else { throw HTTPError(.bodyTooLarge, "The body is larger than \(ByteSize(bytes: limit)).") }
        allowance -= bytes
    }

    /// `chunk-size [ chunk-ext ]`, RFC 9112 section 7.1. Extensions are checked and ignored.
    private static func chunkSize(_ line: ArraySlice<UInt8>) throws(HTTPError) -> Int {
        let digits = line.prefix { $0 != UInt8(ascii: ";") }
        guard !digits.isEmpty, digits.count <= 15 else { throw HTTPError(.malformed, "The size of a chunk is not a hexadecimal number.") }
        let extensions = line[digits.endIndex...].dropFirst()
        if digits.endIndex < line.endIndex {
            guard extensions.split(separator: UInt8(ascii: ";"), omittingEmptySubsequences: false).allSatisfy(isChunkExtension) else {
                throw HTTPError(.malformed, "A chunk extension is malformed.")
            }
        }
        var size = 0
        for byte in digits {
            let digit: UInt8
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = byte - UInt8(ascii: "0")
            case UInt8(ascii: "a")...UInt8(ascii: "f"): digit = byte - UInt8(ascii: "a") + 10
            case UInt8(ascii: "A")...UInt8(ascii: "F"): digit = byte - UInt8(ascii: "A") + 10
            default: throw HTTPError(.malformed, "The size of a chunk is not a hexadecimal number.")
            }
            size = size << 4 | Int(digit)
        }
        return size
    }

    /// `token [ "=" ( token / quoted-string ) ]`; quoted strings without escapes and semicolons.
    private static func isChunkExtension(_ bytes: ArraySlice<UInt8>) -> Bool {
        let name = bytes.prefix { $0 != UInt8(ascii: "=") }
        guard !name.isEmpty, name.allSatisfy(isTokenByte) else { return false }
        if name.count == bytes.count { return true }
        var value = bytes[name.endIndex...].dropFirst()
        guard value.first == UInt8(ascii: "\"") else { return !value.isEmpty && value.allSatisfy(isTokenByte) }
        value.removeFirst()
        guard value.popLast() == UInt8(ascii: "\"") else { return false }
        return value.allSatisfy { isFieldValueByte($0) && $0 != UInt8(ascii: "\"") && $0 != UInt8(ascii: "\\") }
    }
}
