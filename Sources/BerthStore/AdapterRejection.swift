// Why an adapter is not served. The message of a 422.

/// A reason to refuse an adapter that names the field or tensor. Its message holds no path, so it may go to a client.
public struct AdapterRejection: Error, Sendable, CustomStringConvertible {
    /// The field of `adapter_config.json` or the tensor that is the reason; or the name of a file.
    public let subject: String
    /// One sentence, naming the subject.
    public let message: String
    /// The adapter's directory. For the log.
    public let path: String?
    public let cause: (any Error)?

    public init(_ subject: String, _ message: String, path: String? = nil, cause: (any Error)? = nil) {
        self.subject = subject
        self.message = message
        self.path = path
        self.cause = cause
    }

    init(_ error: StoreError) {
        self.init(error.path.map(fileName) ?? "adapter", error.message, path: error.path, cause: error)
    }

    public var description: String { path.map { "\($0): \(message)" } ?? message }

    func at(_ directory: String) -> AdapterRejection { AdapterRejection(subject, message, path: directory, cause: cause) }
}
