// What this module refuses or cannot do.

import Glibc

public struct BatchError: Error, Sendable, Equatable, CustomStringConvertible {
    public enum Code: String, Sendable {
        /// There is no such file or batch.
        case notFound
        /// The call itself is at fault.
        case invalid
        /// Not while things are as they are: a file that a batch still reads, a batch that has ended.
        case conflict
        /// A file has more bytes than `Limits.uploadFileBytes`.
        case tooLarge
        /// Another named bound of `Limits` would be exceeded.
        case quota
        /// The disk or the database failed; nothing has changed.
        case storage
        /// Too much waits for the store; nothing has changed.
        case busy
    }

    public let code: Code
    /// A sentence for the client. Names no path.
    public let message: String
    /// The field at fault.
    public let parameter: String?
    /// For the log: what the operating system or SQLite said, and about which file.
    public let detail: String?
    /// With `.quota`: which of the tenant's own is exceeded; nil where it is one of the whole store.
    public let quota: Quota?

    public enum Quota: String, Sendable {
        case bytes, lines
        /// More would leave others less than this tenant has.
        case share
    }

    public init(_ code: Code, _ message: String, parameter: String? = nil, detail: String? = nil, quota: Quota? = nil) {
        self.quota = quota
        self.code = code
        self.message = message
        self.parameter = parameter
        self.detail = detail
    }

    public var description: String { detail.map { "\(message) (\($0))" } ?? message }

    /// A failed system call; reads `errno`, so it must follow the call at once.
    static func system(_ message: String, path: String) -> BatchError {
        let reason = String(cString: strerror(errno))
        return BatchError(.storage, "\(message): \(reason)", detail: path)
    }
}
