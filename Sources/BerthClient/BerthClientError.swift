// Everything that can go wrong between a program and the daemon.

/// Why a call failed.
public enum BerthClientError: Error, Sendable, Equatable {
    /// Nobody answers at the socket.
    case unreachable(socket: String, Unreachable)
    /// The connection broke before the answer was complete.
    case connectionLost(String)
    /// The daemon refused the request.
    case refused(Refusal)
    /// The daemon's answer was not understood: another program listens there, or the versions do not fit.
    case unexpectedAnswer(String)
    /// A file of this machine cannot be read or written.
    case localFile(String, reason: String)
    /// The task was cancelled; the daemon stops the generation when it notices the closed connection.
    case cancelled

    /// Why nobody answers at a socket.
    public enum Unreachable: Sendable, Equatable {
        /// There is nothing at its path.
        case missing
        /// What is at its path is no socket.
        case notASocket
        /// The socket is there, but its daemon has ended.
        case nobodyListens
        /// This user may not open it.
        case notPermitted
        /// The daemon is there and takes no more connections.
        case busy
        /// The path is too long for a socket.
        case pathTooLong(limit: Int)
        /// Anything else, in the system's words.
        case other(String)
    }

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
        /// The tenant's limit that is reached, as the daemon's configuration calls it (429).
        public var limit: String?

        public init(
            status: Int, message: String, type: String? = nil, parameter: String? = nil, code: String? = nil, retryAfterSeconds: Int? = nil, limit: String? = nil
        ) {
            self.limit = limit
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
        case .unexpectedAnswer(let reason): "an answer that is not understood: \(reason). Either another program listens at this socket, or a Berth of another version."
        case .localFile(let path, let reason): "\(path): \(reason)"
        case .cancelled: "cancelled"
        }
    }
}

extension BerthClientError.Unreachable: CustomStringConvertible {
    /// What is wrong and what to do next.
    public var description: String {
        switch self {
        case .missing: "there is no such socket. \(Self.start), or set BERTH_SOCKET (for administration BERTH_ADMIN_SOCKET) to where one listens."
        case .notASocket: "that is no socket. Set BERTH_SOCKET (for administration BERTH_ADMIN_SOCKET) to where a daemon listens."
        case .nobodyListens: "the socket is there, but the daemon behind it has ended. \(Self.start)."
        case .notPermitted: "this user may not open it. Become the user that runs the daemon, or let that one's group have the socket; the admin socket is its owner's alone."
        case .busy: "it takes no more connections now. Try again in a moment."
        case .pathTooLong(let limit): "a socket's path has at most \(limit) bytes. Use a shorter one, for both sides."
        case .other(let reason): reason
        }
    }

    private static let start = "Start one with 'berthd --model DIRECTORY'"
}
