// A thread with a beginning and an end.

import Glibc

/// Runs a function on a thread of its own. Must be joined, once.
final class Thread: Sendable {
    private let handle: pthread_t

    private final class Start {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }

    init(_ body: @escaping @Sendable () -> Void) {
        var handle = pthread_t()
        let start = Unmanaged.passRetained(Start(body))
        let result = pthread_create(
            &handle, nil,
            { argument in
                Unmanaged<Start>.fromOpaque(argument!).takeRetainedValue().body()
                return nil
            }, start.toOpaque())
        precondition(result == 0, "a thread could not be made (\(result))")
        self.handle = handle
    }

    /// Waits for the end of the function.
    func join() { pthread_join(handle, nil) }
}
