// A thread with a beginning and an end.

import CLinux
import Glibc

/// Runs a function on a thread of its own. Must be joined, once.
final class Thread: Sendable {
    private let handle: pthread_t

    private final class Start {
        let name: String
        let body: @Sendable () -> Void
        init(_ name: String, _ body: @escaping @Sendable () -> Void) { (self.name, self.body) = (name, body) }
    }

    /// - Parameter name: the kernel keeps 15 bytes.
    init(name: String, _ body: @escaping @Sendable () -> Void) {
        var handle = pthread_t()
        let start = Unmanaged.passRetained(Start(name, body))
        let result = pthread_create(
            &handle, nil,
            { argument in
                let start = Unmanaged<Start>.fromOpaque(argument!).takeRetainedValue()
                linux_name_thread(start.name)
                start.body()
                return nil
            }, start.toOpaque())
        precondition(result == 0, "a thread could not be made (\(result))")
        self.handle = handle
    }

    /// Waits for the end of the function.
    func join() { pthread_join(handle, nil) }
}
