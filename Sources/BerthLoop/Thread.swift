// Named threads with a known stack: Swift's tasks run on a pool of their own, which long-lived owners of state must not block.

import CLinux
import Glibc

/// A running thread. Join it exactly once.
public struct JoinableThread: ~Copyable, @unchecked Sendable {
    // A pthread_t may be joined from any thread.
    private let raw: pthread_t

    /// Starts `body` on a new thread.
    /// - Parameter name: the kernel keeps 15 bytes.
    public init(name: String, stackBytes: Int = 8 << 20, _ body: @escaping @Sendable () -> Void) {
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        pthread_attr_setstacksize(&attributes, stackBytes)
        defer { pthread_attr_destroy(&attributes) }
        let box = Unmanaged.passRetained(Body(name: name, run: body))
        var thread = pthread_t()
        let code = pthread_create(&thread, &attributes, { argument in
            let body = Unmanaged<Body>.fromOpaque(argument!).takeRetainedValue()
            linux_name_thread(body.name)
            body.run()
            return nil
        }, box.toOpaque())
        precondition(code == 0, "cannot start the thread \(name): error \(code)")
        raw = thread
    }

    /// Waits until the thread has ended.
    public consuming func join() { pthread_join(raw, nil) }
}

private final class Body: Sendable {
    let name: String
    let run: @Sendable () -> Void
    init(name: String, run: @escaping @Sendable () -> Void) {
        self.name = name
        self.run = run
    }
}
