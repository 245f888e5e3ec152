// A recording of the routing for `berth-bench replay`, under way.

import Glibc
import Logging

/// Takes the recorder's bytes. The engine's thread alone writes.
final class RoutingFile: @unchecked Sendable {
    // Unchecked: nobody but the engine's thread touches it after `init`.
    private let file: UnsafeMutablePointer<FILE>
    private let logger: Logger
    private var hasFailed = false

    init(path: String, logger: Logger) throws {
        guard let file = fopen(path, "we") else { throw AssemblyError("--record-routing: cannot write \(path): \(String(cString: strerror(errno)))") }
        // Written step by step: a daemon that is killed leaves all steps but the present one.
        setvbuf(file, nil, _IONBF, 0)
        self.file = file
        self.logger = logger
    }

    deinit { fclose(file) }

    func write(_ bytes: [UInt8]) {
        guard !hasFailed, fwrite(bytes, 1, bytes.count, file) != bytes.count else { return }
        hasFailed = true
        logger.error("the recording of the routing ends here: \(String(cString: strerror(errno)))")
    }
}
