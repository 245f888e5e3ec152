// Header fields: the lines between a start line and the empty line, and what they say about the message.
//
// Strict after RFC 9112: every form that some parser reads differently (folded lines, spaces before the colon, bare CR,
// repeated or listed Content-Length, Content-Length beside Transfer-Encoding) is refused rather than repaired, because the
// difference is what request smuggling lives on.

import BerthCore
import HTTPTypes

/// How the end of a body is found.
public enum BodyFraming: Sendable, Equatable {
    case none
    /// Content-Length.
    case length(Int)
    /// Transfer-Encoding: chunked.
    case chunked
    /// The end of the connection; only in responses.
    case untilClose
}

/// The fields of one message while they arrive.
struct FieldSection {
    private(set) var fields = HTTPFields()
    private var count = 0

    /// Takes one line. The empty line, which ends the section, is not given here.
    mutating func add(line: ArraySlice<UInt8>) throws(HTTPError) {
        count += 1
        if count > Limits.headerFields {
            throw HTTPError(.headTooLarge, "More than \(Limits.headerFields) header fields.")
        }
        if let first = line.first, first == 0x20 || first == 0x09 {
            throw HTTPError(.malformed, "A header field is folded over several lines.")
        }
        guard let colon = line.firstIndex(of: UInt8(ascii: ":")) else {
            throw HTTPError(.malformed, "A header field has no colon.")
        }
        let nameBytes = line[..<colon]
        guard !nameBytes.isEmpty, nameBytes.allSatisfy(isTokenByte),
            let name = HTTPField.Name(String(decoding: nameBytes, as: UTF8.self))
        else { throw HTTPError(.malformed, "The name of a header field is not a token.") }
        let value = trimmingSpace(line[(colon + 1)...])
        guard value.allSatisfy(isFieldValueByte) else {
            throw HTTPError(.malformed, "The header field \(name.canonicalName) contains a control character.")
        }
        fields.append(HTTPField(name: name, value: value))
    }

    /// What Content-Length and Transfer-Encoding say; nil where neither is present.
    func framing(minorVersion: Int) throws(HTTPError) -> BodyFraming? {
        let lengths = fields[values: .contentLength]
        let codings = fields[values: .transferEncoding]
        if !codings.isEmpty {
            guard lengths.isEmpty else { throw HTTPError(.malformed, "Both Content-Length and Transfer-Encoding.") }
            guard minorVersion >= 1 else { throw HTTPError(.malformed, "Transfer-Encoding in an HTTP/1.0 message.") }
            let names = codings.flatMap { listMembers($0) }
            if names == ["chunked"] { return .chunked }
            guard let last = names.last, names.filter({ $0 == "chunked" }).count == 1, last == "chunked" else {
                throw HTTPError(.malformed, "Transfer-Encoding does not end with chunked.")
            }
            throw HTTPError(.unsupportedCoding, "Only the transfer coding chunked is supported.")
        }
        guard let text = lengths.first else { return nil }
        guard lengths.count == 1 else { throw HTTPError(.malformed, "More than one Content-Length.") }
        guard !text.isEmpty, text.utf8.count <= 18, text.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }), let length = Int(text) else {
            throw HTTPError(.malformed, "Content-Length is not a number of bytes.")
        }
        return .length(length)
    }

    /// Whether the connection may carry another message after this one.
    func keepsAlive(minorVersion: Int) -> Bool {
        let options = fields[values: .connection].flatMap { listMembers($0) }
        if options.contains("close") { return false }
        return minorVersion >= 1 || options.contains("keep-alive")
    }
}

/// The members of a comma-separated list, in lower case, without empty ones.
func listMembers(_ value: String) -> [String] {
    value.utf8.split(separator: UInt8(ascii: ",")).compactMap { part in
        let trimmed = trimmingSpace(ArraySlice(part))
        return trimmed.isEmpty ? nil : String(decoding: trimmed, as: UTF8.self).lowercased()
    }
}

func trimmingSpace(_ bytes: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
    var bytes = bytes
    while let first = bytes.first, first == 0x20 || first == 0x09 { bytes.removeFirst() }
    while let last = bytes.last, last == 0x20 || last == 0x09 { bytes.removeLast() }
    return bytes
}

/// `tchar` of RFC 9110, section 5.6.2.
func isTokenByte(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
    case UInt8(ascii: "!"), UInt8(ascii: "#"), UInt8(ascii: "$"), UInt8(ascii: "%"), UInt8(ascii: "&"), UInt8(ascii: "'"),
        UInt8(ascii: "*"), UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "^"), UInt8(ascii: "_"),
        UInt8(ascii: "`"), UInt8(ascii: "|"), UInt8(ascii: "~"):
        true
    default: false
    }
}

/// Visible characters, space, tab and the historic bytes from 0x80.
func isFieldValueByte(_ byte: UInt8) -> Bool { byte >= 0x20 && byte != 0x7F || byte == 0x09 }
