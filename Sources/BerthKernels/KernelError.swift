// What can go wrong in choosing and starting kernels. Everything after that is a matter of preconditions.

/// Why the compute engine could not be started.
public struct KernelError: Error, Sendable, CustomStringConvertible {
    public enum Code: String, Sendable {
        /// The name is none of `KernelChoice`.
        case unknownKernels
        /// The processor or the operating system lacks the instructions that were asked for.
        case unsupportedKernels
        case threadCount
        case threadStart
        case outOfMemory
    }
    public let code: Code
    public let message: String

    public var description: String { message }
}
