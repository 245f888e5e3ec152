// Everything that can go wrong between a program and the daemon.

/// Why a call failed.
public enum BerthClientError: Error, Sendable, Equatable {
    /// Nobody answers at the socket: no daemon, no permission, a wrong path.
    case unreachable(socket: String, reason: String)
    /// The connection broke before the answer was complete.
    case connectionLost(String)
    /// The daemon refused the request.
    case refused(Refusal)
    /// The daemon's answer was not understood: another program listens there, or the versions do not fit.
    case unexpectedAnswer(String)
    /// The task was cancelled; the daemon stops the generation when it notices the closed connection.
    case cancelled

    /// The daemon's own words, in OpenAI's error shape.
    public struct Refusal: Sendable, Equatable {
        /// The HTTP status.
        public var status: Int
        public var message: String
        /// OpenAI's class of the error, such as `invalid_request_error`.
        public var type: String?
        /// The field of the request at fault.
        public var parameter: String?
        /// A stable name of the error, such as `model_not_found`.
        public var code: String?
        /// Seconds after which a retry makes sense (429, 503).
        public var retryAfterSeconds: Int?

        public init(status: Int, message: String, type: String? = nil, parameter: String? = nil, code: String? = nil, retryAfterSeconds: Int? = nil) {
            self.status = status
            self.message = message
            self.type = type
            self.parameter = parameter
            self.code = code
            self.retryAfterSeconds = retryAfterSeconds
        }
    }
}

extension BerthClientError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .unreachable(let socket, let reason): "no daemon at \(socket): \(reason)"
        case .connectionLost(let reason): "the connection broke: \(reason)"
        case .refused(let refusal): refusal.message
        case .unexpectedAnswer(let reason): "an answer that is not understood: \(reason)"
        case .cancelled: "cancelled"
        }
    }
}
