// Why a checkpoint cannot be served. Raised while a model is built, never by a step.

/// A configuration or a set of tensors that no model can be made of. `message` is one sentence that names the field or tensor.
public struct ModelError: Error, Sendable, CustomStringConvertible {
    public enum Code: String, Sendable {
        /// A field of `config.json` is missing, of the wrong type or out of bounds.
        case configuration
        /// A valid checkpoint that needs something Berth does not have.
        case unsupported
        /// A tensor is missing, superfluous or of the wrong shape or type.
        case tensor
        /// The memory asked for is more than an address space holds.
        case size
        /// The packed weights could not be brought into memory; `cause` says why.
        case weights
        /// Loading was stopped before it was done.
        case cancelled
    }

    public let code: Code
    public let message: String
    public let cause: (any Error)?

    public init(_ code: Code, _ message: String, cause: (any Error)? = nil) {
        self.code = code
        self.message = message
        self.cause = cause
    }

    public var description: String { cause.map { "\(message): \($0)" } ?? message }
}
