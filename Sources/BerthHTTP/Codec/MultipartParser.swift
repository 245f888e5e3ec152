// `multipart/form-data` (RFC 7578) from bytes: what browsers and API clients send files in.
//
// A pure function of the bytes fed so far, which gives the same parts however the input was cut. A part's data is given out as it comes, so that a
// file of any size passes through; what is kept is bounded by `Limits.partHeaderBytes` and the length of the boundary.

import BerthCore
import Glibc

public struct MultipartParser: Sendable {
    public enum Event: Sendable, Equatable {
        /// A part begins. A file has a name of its own.
        case part(name: String, fileName: String?)
        /// A piece of the part, never empty.
        case data([UInt8])
        case partEnd
        /// All parts have come. What may follow means nothing.
        case end
    }

    private enum State {
        case preamble
        /// Right after a delimiter: the next part, or two hyphens and the end.
        case delimiter
        case header(PartHeader, left: Int)
        case data
        case done
    }

    private struct PartHeader {
        var name: String?
        var fileName: String?
    }

    private let delimiter: [UInt8]
    private var state = State.preamble
    /// Begins as if a line had ended, since the first delimiter may stand at the very beginning.
    private var bytes: [UInt8] = [0x0D, 0x0A]
    private var start = 0
    private var parts = 0

    /// - Throws: where the content type is another, or names no boundary.
    public init(contentType: String) throws(HTTPError) {
        let (type, parameters) = Self.parameters(contentType)
        guard type == "multipart/form-data" else { throw HTTPError(.malformed, "The body must be multipart/form-data.") }
        guard let boundary = parameters["boundary"], (1...70).contains(boundary.utf8.count) else {
            throw HTTPError(.malformed, "The content type names no boundary of 1 to 70 characters.")
        }
        delimiter = Array("\r\n--\(boundary)".utf8)
    }

    public mutating func feed(_ new: some Collection<UInt8>) {
        if case .done = state { return }
        bytes.removeFirst(start)
        start = 0
        bytes += new
    }

    /// The next event, or nil while more input is needed.
    public mutating func next() throws(HTTPError) -> Event? {
        while true {
            switch state {
            case .preamble:
                guard let end = findDelimiter() else {
                    start = max(start, bytes.count - delimiter.count + 1)
                    return nil
                }
                start = end + delimiter.count
                state = .delimiter
            case .delimiter:
                guard bytes.count - start >= 2 else { return nil }
                if bytes[start] == UInt8(ascii: "-"), bytes[start + 1] == UInt8(ascii: "-") {
                    state = .done
                    bytes = []
                    start = 0
                    return .end
                }
                guard let line = try takeLine(limit: Limits.partHeaderBytes) else { return nil }
                guard line.allSatisfy({ $0 == 0x20 || $0 == 0x09 }) else { throw HTTPError(.malformed, "A boundary is followed by something else.") }
                parts += 1
                guard parts <= Limits.uploadParts else { throw HTTPError(.malformed, "The body has more than \(Limits.uploadParts) parts.") }
                state = .header(PartHeader(), left: Limits.partHeaderBytes)
            case .header(var header, let left):
                guard let line = try takeLine(limit: left) else { return nil }
                if line.isEmpty {
                    guard let name = header.name else { throw HTTPError(.malformed, "A part has no name.") }
                    state = .data
                    return .part(name: name, fileName: header.fileName)
                }
                try Self.read(line, &header)
                state = .header(header, left: left - line.count - 2)
            case .data:
                if let piece = takeData() { return .data(piece) }
                guard let end = findDelimiter() else { return nil }
                start = end + delimiter.count
                state = .delimiter
                return .partEnd
            case .done: return nil
            }
        }
    }

    /// Bytes that are surely no part of a delimiter.
    private mutating func takeData() -> [UInt8]? {
        let end = findDelimiter() ?? max(start, bytes.count - delimiter.count + 1)
        guard end > start else { return nil }
        defer { start = end }
        return Array(bytes[start..<end])
    }

    private func findDelimiter() -> Int? {
        bytes.withUnsafeBytes { buffer in
            var place = start
            while place + delimiter.count <= buffer.count {
                guard let hit = memchr(buffer.baseAddress! + place, 0x0D, buffer.count - delimiter.count + 1 - place) else { return nil }
                place = UnsafeRawPointer(hit) - buffer.baseAddress!
                if memcmp(buffer.baseAddress! + place, delimiter, delimiter.count) == 0 { return place }
                place += 1
            }
            return nil
        }
    }

    private mutating func takeLine(limit: Int) throws(HTTPError) -> ArraySlice<UInt8>? {
        guard let feed = bytes[start...].prefix(limit).firstIndex(of: 0x0A) else {
            if bytes.count - start >= limit { throw HTTPError(.malformed, "The header of a part is larger than \(Limits.partHeaderBytes) bytes.") }
            return nil
        }
        guard feed > start, bytes[feed - 1] == 0x0D else { throw HTTPError(.malformed, "A line in the header of a part ends without a carriage return.") }
        defer { start = feed + 1 }
        return bytes[start..<(feed - 1)]
    }

    /// Takes over what a field of a part's header says. Others than Content-Disposition mean nothing here.
    private static func read(_ line: ArraySlice<UInt8>, _ header: inout PartHeader) throws(HTTPError) {
        guard let text = String(validating: line, as: UTF8.self), let colon = text.firstIndex(of: ":") else {
            throw HTTPError(.malformed, "The header of a part is malformed.")
        }
        guard text[..<colon].lowercased() == "content-disposition" else { return }
        let (type, parameters) = parameters(String(text[text.index(after: colon)...]))
        guard type == "form-data" else { throw HTTPError(.malformed, "A part is no form data.") }
        header.name = parameters["name"]
        header.fileName = parameters["filename"]
    }

    /// `type; name=value; name="quoted"`. The first of equal names counts; what is malformed ends the list.
    private static func parameters(_ text: String) -> (type: String, parameters: [String: String]) {
        var rest = text[...]
        func trimmed(_ text: Substring) -> Substring {
            var text = text.drop { $0 == " " || $0 == "\t" }
            while text.last == " " || text.last == "\t" { text.removeLast() }
            return text
        }
        let type = trimmed(rest.prefix { $0 != ";" }).lowercased()
        rest = rest.drop { $0 != ";" }
        var parameters: [String: String] = [:]
        while rest.popFirst() == ";" {
            let name = trimmed(rest.prefix { $0 != "=" && $0 != ";" }).lowercased()
            rest = rest.drop { $0 != "=" && $0 != ";" }
            guard rest.first == "=" else { continue }
            rest = rest.dropFirst().drop { $0 == " " || $0 == "\t" }
            var value = ""
            if rest.first == "\"" {
                rest.removeFirst()
                while let character = rest.popFirst(), character != "\"" {
                    // Browsers write a quotation mark as %22; others escape it.
                    if character == "\\", let escaped = rest.first, escaped == "\"" || escaped == "\\" { value.append(rest.removeFirst()) } else { value.append(character) }
                }
                rest = rest.drop { $0 != ";" }
            } else {
                value = String(trimmed(rest.prefix { $0 != ";" }))
                rest = rest.drop { $0 != ";" }
            }
            if parameters[name] == nil { parameters[name] = value }
        }
        return (type, parameters)
    }
}
