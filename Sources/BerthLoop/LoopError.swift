// What the operating system refused to the loop.

import CUV

/// A failed system or libuv call: what was attempted, and the system's reason.
public struct LoopError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The negated errno, as libuv reports it; 0 where the fault is ours to name.
    public let code: Int32
    public let message: String

    public init(message: String) {
        code = 0
        self.message = message
    }

    init(_ code: Int32, _ attempt: String) {
        self.code = code
        message = "\(attempt): \(String(cString: uv_strerror(code)))"
    }

    public var description: String { message }
}

/// Throws where a libuv call failed.
func check(_ code: Int32, _ attempt: @autoclosure () -> String) throws(LoopError) {
    if code < 0 { throw LoopError(code, attempt()) }
}
