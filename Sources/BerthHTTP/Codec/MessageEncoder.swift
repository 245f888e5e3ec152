// Messages to bytes, for both sides. Pure functions; whoever calls them counts what it queues.

import BerthCore
import HTTPTypes

/// Encodes what a server sends.
public enum ResponseEncoder {
    /// A whole response with its body. For an answer to HEAD pass `omitsBody`: the length is announced, the body is not sent.
    public static func response(
        status: HTTPResponse.Status, fields: HTTPFields, body: [UInt8], keepsAlive: Bool, omitsBody: Bool = false
    ) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(256 + body.count)
        head(status: status, fields: fields, framing: .length(body.count), keepsAlive: keepsAlive, to: &bytes)
        if !omitsBody { bytes.append(contentsOf: body) }
        return bytes
    }

    /// A head whose body follows: `.chunked` (each piece through `chunk`, then `lastChunk`) or `.untilClose` for HTTP/1.0 clients.
    public static func head(status: HTTPResponse.Status, fields: HTTPFields, framing: BodyFraming, keepsAlive: Bool) -> [UInt8] {
        var bytes: [UInt8] = []
        head(status: status, fields: fields, framing: framing, keepsAlive: keepsAlive, to: &bytes)
        return bytes
    }

    private static func head(status: HTTPResponse.Status, fields: HTTPFields, framing: BodyFraming, keepsAlive: Bool, to bytes: inout [UInt8]) {
        bytes.append(contentsOf: "HTTP/1.1 \(status.code) \(status.reasonPhrase)\r\n".utf8)
        write(fields, to: &bytes)
        switch framing {
        case .none: break
        case .length(let length): bytes.append(contentsOf: "Content-Length: \(length)\r\n".utf8)
        case .chunked: bytes.append(contentsOf: "Transfer-Encoding: chunked\r\n".utf8)
        case .untilClose: break
        }
        bytes.append(contentsOf: (keepsAlive && framing != .untilClose ? "Connection: keep-alive\r\n\r\n" : "Connection: close\r\n\r\n").utf8)
    }

    /// One chunk of a chunked body. `bytes` must not be empty: the empty chunk ends the body.
    public static func chunk(_ bytes: [UInt8]) -> [UInt8] {
        precondition(!bytes.isEmpty)
        var result = Array(String(bytes.count, radix: 16).utf8)
        result.reserveCapacity(bytes.count + 12)
        result.append(contentsOf: [0x0D, 0x0A])
        result.append(contentsOf: bytes)
        result.append(contentsOf: [0x0D, 0x0A])
        return result
    }

    /// Ends a chunked body.
    public static let lastChunk = Array("0\r\n\r\n".utf8)

    /// The interim response to `Expect: 100-continue`.
    public static let `continue` = Array("HTTP/1.1 100 Continue\r\n\r\n".utf8)
}

/// Encodes what a client sends.
public enum RequestEncoder {
    /// A whole request. `fields` need not name Host, Content-Length or Connection.
    /// - Parameter target: the path and query, percent-encoded, starting with "/".
    public static func request(
        method: HTTPRequest.Method, target: String, host: String = "berth", fields: HTTPFields = [:], body: [UInt8]? = nil, keepsAlive: Bool = true
    ) -> [UInt8] {
        var bytes = Array("\(method.rawValue) \(target) HTTP/1.1\r\nHost: \(host)\r\n".utf8)
        write(fields, to: &bytes)
        if let body { bytes.append(contentsOf: "Content-Length: \(body.count)\r\n".utf8) }
        if !keepsAlive { bytes.append(contentsOf: "Connection: close\r\n".utf8) }
        bytes.append(contentsOf: [0x0D, 0x0A])
        if let body { bytes.append(contentsOf: body) }
        return bytes
    }
}

/// `HTTPField` has already refused line breaks in names and values, so nothing can be injected here.
private func write(_ fields: HTTPFields, to bytes: inout [UInt8]) {
    for field in fields {
        bytes.append(contentsOf: field.name.rawName.utf8)
        bytes.append(contentsOf: [UInt8(ascii: ":"), 0x20])
        bytes.append(contentsOf: field.value.utf8)
        bytes.append(contentsOf: [0x0D, 0x0A])
    }
}
