// The one error of reading and writing model files.

import Glibc

/// Why a file could not be used.
///
/// `message` names the tensor or field and never a path, so that it can go to a client; `path` is beside it for the log.
public struct StoreError: Error, Sendable, CustomStringConvertible {
    public enum Code: String, Sendable, Hashable {
        /// The file or directory does not exist or may not be read.
        case unreadable
        /// Not a regular file (a directory, a pipe, a device).
        case notRegular
        /// Reading or writing failed half-way.
        case io
        /// The file ends before what it promises.
        case truncated
        /// The contents break the rules of the format.
        case malformed
        /// Well-formed, but something that is not supported (a pickle, a dtype).
        case unsupported
        /// A named bound of `Limits` is exceeded.
        case limit
        /// A tensor is absent, or in another file than the index says.
        case missing
        /// The file is not the one that was opened before.
        case changed
        /// The caller did not want to go on.
        case cancelled
    }

    public let code: Code
    /// One sentence that names the cause.
    public let message: String
    /// The file it is about. For the log, not for clients.
    public let path: String?
    public let cause: (any Error)?

    public init(_ code: Code, _ message: String, path: String? = nil, cause: (any Error)? = nil) {
        self.code = code
        self.message = message
        self.path = path
        self.cause = cause
    }

    /// For the log: the message with the path.
    public var description: String { path.map { "\($0): \(message)" } ?? message }

    /// A failed system call; reads `errno`, so it must follow the call at once.
    static func system(_ code: Code, _ what: String, path: String?) -> StoreError {
        let number = errno
        return StoreError(code, "\(what): \(String(cString: strerror(number)))", path: path)
    }

    func at(_ path: String) -> StoreError { StoreError(code, message, path: self.path ?? path, cause: cause) }
}

/// The last component of a path, which may stand in messages to clients.
func fileName(_ path: String) -> String {
    path.split(separator: "/").last.map(String.init) ?? path
}
