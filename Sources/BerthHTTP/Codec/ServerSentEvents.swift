// Server-sent events (WHATWG HTML, section 9.2): how tokens are streamed.
//
// The daemon writes with `SSEEncoder`, the client library reads with `SSEParser`; both are pure functions of bytes.

import BerthCore

/// Writes events.
public enum SSEEncoder {
    /// One `data:` event holding compact JSON, which never contains a line break.
    public static func event(_ data: JSON) -> [UInt8] {
        var bytes = Array("data: ".utf8)
        data.write(to: &bytes)
        bytes.append(contentsOf: [0x0A, 0x0A])
        return bytes
    }

    /// One event of any text; each line of it becomes a `data:` line.
    public static func event(_ text: String) -> [UInt8] {
        var bytes: [UInt8] = []
        for line in text.split(separator: "\n", omittingEmptySubsequences: false) { bytes.append(contentsOf: "data: \(line)\n".utf8) }
        bytes.append(0x0A)
        return bytes
    }

    /// The end of a stream, as OpenAI's clients expect it.
    public static let done = Array("data: [DONE]\n\n".utf8)
}

/// One event.
public struct ServerSentEvent: Sendable, Equatable {
    /// The value of `event:`, "message" where absent.
    public var name: String
    /// The `data:` lines, joined with line feeds.
    public var data: String

    public init(name: String = "message", data: String) {
        self.name = name
        self.data = data
    }
}

/// Reads events. Feed it the decoded body of a response of type `text/event-stream`.
///
///     var parser = SSEParser()
///     for event in try parser.feed(bytes) { … }
///
/// Lines may end in LF, CR or CR LF. An event that the stream ends in the middle of is dropped, as the standard says.
public struct SSEParser: Sendable {
    private var line: [UInt8] = []
    private var data: [UInt8] = []
    private var hasData = false
    private var name = ""
    /// The last byte was a CR: a LF that follows belongs to it.
    private var skipsLineFeed = false
    private var isFirstLine = true

    public init() {}

    /// Takes bytes; returns the events they complete.
    /// - Throws: `.bodyTooLarge` where one event exceeds `Limits.eventBytes`.
    public mutating func feed(_ bytes: some Collection<UInt8>) throws(HTTPError) -> [ServerSentEvent] {
        var events: [ServerSentEvent] = []
        for byte in bytes {
            let skips = skipsLineFeed
            skipsLineFeed = byte == 0x0D
            switch byte {
            case 0x0A where skips: break
            case 0x0A, 0x0D: endLine(&events)
            default:
                line.append(byte)
                if line.count + data.count > Limits.eventBytes { throw HTTPError(.bodyTooLarge, "An event of the stream is too large.") }
            }
        }
        return events
    }

    private mutating func endLine(_ events: inout [ServerSentEvent]) {
        if isFirstLine, line.starts(with: [0xEF, 0xBB, 0xBF]) { line.removeFirst(3) }
        isFirstLine = false
        defer { line.removeAll(keepingCapacity: true) }
        guard !line.isEmpty else {
            if hasData { events.append(ServerSentEvent(name: name.isEmpty ? "message" : name, data: String(decoding: data, as: UTF8.self))) }
            data.removeAll(keepingCapacity: true)
            hasData = false
            name = ""
            return
        }
        let field = line.prefix { $0 != UInt8(ascii: ":") }
        var value = line[field.endIndex...].dropFirst()
        if value.first == 0x20 { value.removeFirst() }
        if field.elementsEqual("data".utf8) {
            if hasData { data.append(0x0A) }
            data.append(contentsOf: value)
            hasData = true
        } else if field.elementsEqual("event".utf8) {
            name = String(decoding: value, as: UTF8.self)
        }
        // Comments (an empty field name), `id` and `retry` have no use here: a generation cannot be resumed.
    }
}
