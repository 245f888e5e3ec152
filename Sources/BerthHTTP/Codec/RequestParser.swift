// HTTP/1.1 requests from bytes: the daemon's side of the wire.
//
// A pure function of the bytes fed so far: it performs no I/O, knows no time and gives the same events however the input
// was cut. One parser serves one connection for all its requests. After an error it stays failed.
//
//     var parser = RequestParser()
//     parser.feed(bytes)
//     while let event = try parser.next() { … }        // nil: feed more
//
// Events are pulled, so a connection that answers one request at a time simply stops pulling after `.end`; pipelined
// bytes wait inside (see `bufferedBytes`).

import BerthCore
import HTTPTypes

/// The request line and the fields of a request.
public struct RequestHead: Sendable, Equatable {
    public var method: HTTPRequest.Method
    /// The request target in origin form ("/v1/models?x=1"), or "*".
    public var target: String
    public var fields: HTTPFields
    /// 0 or 1, of HTTP/1.x.
    public var minorVersion: Int
    public var framing: BodyFraming
    /// The client allows another request on this connection.
    public var keepsAlive: Bool
    /// The client waits for "100 Continue" before it sends the body.
    public var expectsContinue: Bool

    /// The target up to the question mark, still percent-encoded.
    public var path: Substring { target.prefix { $0 != "?" } }
    /// What follows the question mark, still percent-encoded.
    public var query: Substring { target.drop { $0 != "?" }.dropFirst() }
}

/// Parses the requests of one connection.
public struct RequestParser: Sendable {
    public enum Event: Sendable, Equatable {
        case head(RequestHead)
        /// A piece of the body, never empty.
        case body([UInt8])
        /// The request is complete.
        case end
    }

    private enum State {
        /// One empty line before a request is skipped, as RFC 9112 section 2.2 advises.
        case requestLine(skippedEmptyLine: Bool)
        case fields(RequestLine, FieldSection)
        case body(BodyDecoder)
        case failed(HTTPError)
    }

    private struct RequestLine {
        var method: HTTPRequest.Method
        var target: String
        var minorVersion: Int
    }

    private var input = InputBuffer()
    private var state = State.requestLine(skippedEmptyLine: false)
    private var headBytesLeft = Limits.headerBytes
    private let bodyLimit: @Sendable (RequestHead) -> Int

    /// - Parameter bodyLimit: the largest acceptable body in bytes, checked against Content-Length before any of it is read.
    public init(bodyLimit: Int = Limits.bodyBytes) { self.init { _ in bodyLimit } }

    /// - Parameter bodyLimit: the same, for requests that may differ in it.
    public init(bodyLimit: @escaping @Sendable (RequestHead) -> Int) { self.bodyLimit = bodyLimit }

    /// Bytes fed and not parsed yet.
    public var bufferedBytes: Int { input.count }

    /// Whether a request has begun and is not complete: what a timeout should be measured for.
    public var isInsideRequest: Bool {
        switch state {
        case .requestLine: input.count > 0
        case .fields, .body: true
        case .failed: false
        }
    }

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

    private mutating func advance() throws(HTTPError) -> Event? {
        while true {
            switch state {
            case .failed(let error): throw error
            case .requestLine(let skipped):
                guard let line = try takeHeadLine() else { return nil }
                if line.isEmpty, !skipped {
                    state = .requestLine(skippedEmptyLine: true)
                } else {
                    state = .fields(try Self.requestLine(line), FieldSection())
                }
            case .fields(let start, var section):
                guard let line = try takeHeadLine() else { return nil }
                guard line.isEmpty else {
                    try section.add(line: line)
                    state = .fields(start, section)
                    continue
                }
                let head = try Self.head(start, section)
                state = .body(try BodyDecoder(framing: head.framing, limit: bodyLimit(head)))
                return .head(head)
            case .body(var decoder):
                let output = try decoder.next(&input)
                state = .body(decoder)
                switch output {
                case nil: return nil
                case .bytes(let bytes): return .body(bytes)
                case .end:
                    state = .requestLine(skippedEmptyLine: false)
                    headBytesLeft = Limits.headerBytes
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

    /// `method SP request-target SP HTTP-version`, RFC 9112 section 3.
    private static func requestLine(_ line: ArraySlice<UInt8>) throws(HTTPError) -> RequestLine {
        let parts = line.split(separator: 0x20, omittingEmptySubsequences: false)
        guard parts.count == 3 else { throw HTTPError(.malformed, "The request line is not a method, a target and a version.") }
        guard !parts[0].isEmpty, parts[0].allSatisfy(isTokenByte), let method = HTTPRequest.Method(String(decoding: parts[0], as: UTF8.self)) else {
            throw HTTPError(.malformed, "The method is not a token.")
        }
        let version = String(decoding: parts[2], as: UTF8.self)
        guard version.utf8.count == 8, version.hasPrefix("HTTP/"), version.utf8.dropFirst(6).first == UInt8(ascii: "."),
            let major = version.utf8.dropFirst(5).first, let minor = version.utf8.last, (0x30...0x39).contains(major), (0x30...0x39).contains(minor)
        else { throw HTTPError(.malformed, "The request line does not end with an HTTP version.") }
        guard major == UInt8(ascii: "1"), minor <= UInt8(ascii: "1") else {
            throw HTTPError(.unsupportedVersion, "Only HTTP/1.1 and HTTP/1.0 are supported.")
        }
        return RequestLine(method: method, target: try originForm(parts[1], method: method), minorVersion: Int(minor - 0x30))
    }

    /// Reduces the absolute form to the origin form and refuses everything else but "*" with OPTIONS.
    private static func originForm(_ bytes: ArraySlice<UInt8>, method: HTTPRequest.Method) throws(HTTPError) -> String {
        let malformed = HTTPError(.malformed, "The request target is not a path.")
        guard !bytes.isEmpty, bytes.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "#") }) else { throw malformed }
        let text = String(decoding: bytes, as: UTF8.self)
        if text.hasPrefix("/") { return text }
        if text == "*", method == .options { return text }
        let scheme = text.prefix { $0 != ":" }.lowercased()
        guard scheme == "http" || scheme == "https", text.dropFirst(scheme.count).hasPrefix("://") else { throw malformed }
        let afterScheme = text.dropFirst(scheme.count + 3)
        guard let first = afterScheme.first, first != "/", first != "?" else { throw malformed }
        let path = afterScheme.drop { $0 != "/" && $0 != "?" }
        return path.hasPrefix("/") ? String(path) : "/" + path
    }

    private static func head(_ start: RequestLine, _ section: FieldSection) throws(HTTPError) -> RequestHead {
        let hosts = section.fields[values: .host]
        guard hosts.count == 1 || hosts.isEmpty && start.minorVersion == 0 else {
            throw HTTPError(.malformed, hosts.isEmpty ? "The Host header field is missing." : "More than one Host.")
        }
        let framing = try section.framing(minorVersion: start.minorVersion) ?? .none
        var expectsContinue = false
        if start.minorVersion >= 1 {
            for expectation in section.fields[values: .expect] {
                guard expectation.lowercased() == "100-continue" else {
                    throw HTTPError(.unsupportedExpectation, "Only the expectation 100-continue is supported.")
                }
                expectsContinue = framing != .none
            }
        }
        return RequestHead(
            method: start.method, target: start.target, fields: section.fields, minorVersion: start.minorVersion, framing: framing,
            keepsAlive: section.keepsAlive(minorVersion: start.minorVersion), expectsContinue: expectsContinue)
    }
}

extension HTTPField.Name {
    /// HTTPTypes leaves Host out, because it models it as the authority of a request.
    public static let host = HTTPField.Name("Host")!
    /// In which a proxy says whose a request is.
    public static let berthTenant = HTTPField.Name("X-Berth-Tenant")!
    /// The limit that a refused request has reached.
    public static let berthLimit = HTTPField.Name("X-Berth-Limit")!
}
