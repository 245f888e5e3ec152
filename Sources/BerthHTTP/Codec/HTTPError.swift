// What can be wrong with an HTTP message, as the one error type of this module's codecs.

import HTTPTypes

/// Why bytes are not a message we accept. The connection that sent them cannot be resynchronised and has to be closed.
public struct HTTPError: Error, Sendable, Equatable, CustomStringConvertible {
    public enum Code: Sendable, Hashable {
        /// Not HTTP/1.x, or HTTP in a form that two parsers might read differently.
        case malformed
        /// The request line and the fields exceed `Limits.headerBytes` or `Limits.headerFields`.
        case headTooLarge
        /// The body exceeds the parser's bound.
        case bodyTooLarge
        case unsupportedVersion
        /// A transfer coding other than `chunked`.
        case unsupportedCoding
        case unsupportedExpectation
        /// The peer closed the connection inside a message.
        case truncated
    }

    public let code: Code
    /// A sentence for the peer.
    public let message: String

    public init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    /// What a server answers.
    public var status: HTTPResponse.Status {
        switch code {
        case .malformed, .truncated: .badRequest
        case .headTooLarge: .requestHeaderFieldsTooLarge
        case .bodyTooLarge: .contentTooLarge
        case .unsupportedVersion: .init(code: 505, reasonPhrase: "HTTP Version Not Supported")
        case .unsupportedCoding: .notImplemented
        case .unsupportedExpectation: .expectationFailed
        }
    }

    public var description: String { message }
}
