// HTTP/1.1 responses from bytes: the client library's side of the wire. The mirror of `RequestParser`.
//
//     var parser = ResponseParser()
//     parser.expectResponse(to: .get)
//     parser.feed(bytes)
//     while let event = try parser.next() { … }        // nil: feed more
//     try parser.finish()                              // the peer closed: `.end` or an error
//
// Interim responses (1xx) are skipped.

import BerthCore
import HTTPTypes

/// The status line and the fields of a response.
public struct ResponseHead: Sendable, Equatable {
    public var status: HTTPResponse.Status
    public var fields: HTTPFields
    public var framing: BodyFraming
    /// The server will take another request on this connection.
    public var keepsAlive: Bool
}

/// Parses the responses of one connection.
public struct ResponseParser: Sendable {
    public enum Event: Sendable, Equatable {
        case head(ResponseHead)
        /// A piece of the body, never empty.
        case body([UInt8])
        /// The response is complete.
        case end
    }

    private enum State {
        case statusLine
        case fields(HTTPResponse.Status, minorVersion: Int, FieldSection)
        case body(BodyDecoder)
        case failed(HTTPError)
    }

    private var input = InputBuffer()
    private var state = State.statusLine
    private var headBytesLeft = Limits.headerBytes
    private var method = HTTPRequest.Method.get
    private let bodyLimit: Int

    /// - Parameter bodyLimit: the largest acceptable body in bytes.
    public init(bodyLimit: Int = Int.max) { self.bodyLimit = bodyLimit }

    /// Says which method the next response answers: a response to HEAD has no body whatever its fields say.
    public mutating func expectResponse(to method: HTTPRequest.Method) { self.method = method }

    /// Takes bytes from the peer.
    public mutating func feed(_ bytes: some Collection<UInt8>) { input.append(bytes) }

    /// The next event, or nil while more input is needed.
    public mutating func next() throws(HTTPError) -> Event? {
        do {
            return try advance()
        } catch {
            state = .failed(error)
            throw error
        }
    }

    /// The peer closed the connection: completes a body that lasts until then. Pull all events first.
    /// - Returns: `.end` where that completed a response, nil where none was under way.
    /// - Throws: `.truncated` where the connection ended inside a response.
    public mutating func finish() throws(HTTPError) -> Event? {
        switch state {
        case .statusLine where input.count == 0: return nil
        case .body(let decoder) where decoder.mayEndWithConnection:
            reset()
            return .end
        case .failed(let error): throw error
        default:
            let error = HTTPError(.truncated, "The connection ended inside a response.")
            state = .failed(error)
            throw error
        }
    }

    private mutating func reset() {
        state = .statusLine
        headBytesLeft = Limits.headerBytes
    }

    private mutating func advance() throws(HTTPError) -> Event? {
        while true {
            switch state {
            case .failed(let error): throw error
            case .statusLine:
                guard let line = try takeHeadLine() else { return nil }
                let (status, minorVersion) = try Self.statusLine(line)
                state = .fields(status, minorVersion: minorVersion, FieldSection())
            case .fields(let status, let minorVersion, var section):
                guard let line = try takeHeadLine() else { return nil }
                guard line.isEmpty else {
                    try section.add(line: line)
                    state = .fields(status, minorVersion: minorVersion, section)
                    continue
                }
                if status.code < 200, status.code != 101 {
                    reset()
                    continue
                }
                var framing = try section.framing(minorVersion: minorVersion) ?? .untilClose
                if method == .head || status.code == 204 || status.code == 304 || status.code == 101 { framing = .none }
                state = .body(try BodyDecoder(framing: framing, limit: bodyLimit))
                let keepsAlive = framing != .untilClose && section.keepsAlive(minorVersion: minorVersion)
                return .head(ResponseHead(status: status, fields: section.fields, framing: framing, keepsAlive: keepsAlive))
            case .body(var decoder):
                let output = try decoder.next(&input)
                state = .body(decoder)
                switch output {
                case nil: return nil
                case .bytes(let bytes): return .body(bytes)
                case .end:
                    reset()
                    return .end
                }
            }
        }
    }

    private mutating func takeHeadLine() throws(HTTPError) -> ArraySlice<UInt8>? {
        let line = try input.takeLine(limit: headBytesLeft, tooLong: HTTPError(.headTooLarge, "The header is larger than \(Limits.headerBytes) bytes."))
        headBytesLeft -= line.map { $0.count + 2 } ?? 0
        return line
    }

    /// `HTTP-version SP status-code SP [ reason-phrase ]`, RFC 9112 section 4.
    private static func statusLine(_ line: ArraySlice<UInt8>) throws(HTTPError) -> (HTTPResponse.Status, minorVersion: Int) {
        let malformed = HTTPError(.malformed, "The answer is not an HTTP/1.1 response.")
        let parts = line.split(separator: 0x20, maxSplits: 2, omittingEmptySubsequences: false)
        guard parts.count >= 2 else { throw malformed }
        let version = String(decoding: parts[0], as: UTF8.self)
        guard version == "HTTP/1.1" || version == "HTTP/1.0" else { throw malformed }
        guard parts[1].count == 3, parts[1].allSatisfy({ (0x30...0x39).contains($0) }),
            let code = Int(String(decoding: parts[1], as: UTF8.self)), code >= 100
        else { throw malformed }
        let reason = parts.count == 3 ? parts[2] : []
        guard reason.allSatisfy(isFieldValueByte) else { throw malformed }
        return (HTTPResponse.Status(code: code, reasonPhrase: String(decoding: reason, as: UTF8.self)), version == "HTTP/1.1" ? 1 : 0)
    }
}
