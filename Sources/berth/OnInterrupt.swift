// What Ctrl-C does, where it does not just end the program.

import Glibc

/// Where the handler of SIGINT, which may do next to nothing, says that there was one.
private let signalled = {
    var ends: [Int32] = [-1, -1]
    _ = pipe(&ends)
    // A full pipe says it as well as one more byte.
    _ = fcntl(ends[1], F_SETFL, O_NONBLOCK)
    return (reading: ends[0], writing: ends[1])
}()

/// From here on SIGINT ends no program: it calls `body`, on a thread of its own, which may use ordinary code. Call once.
///
/// A handler, because there are threads (Dispatch has one for signals) that do not inherit a mask: a signal that is blocked
/// here and awaited elsewhere would be taken by one of them, and end the program.
func onInterrupt(_ body: @escaping @Sendable () -> Void) {
    precondition(signalled.writing >= 0)
    final class Body: Sendable {
        let run: @Sendable () -> Void
        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }
    var thread = pthread_t()
    pthread_create(&thread, nil, { context in
        let body = Unmanaged<Body>.fromOpaque(context!).takeUnretainedValue()
        while true {
            var byte: UInt8 = 0
            guard Glibc.read(signalled.reading, &byte, 1) > 0 || errno == EINTR else { return nil }
            body.run()
        }
    }, Unmanaged.passRetained(Body(body)).toOpaque())
    pthread_detach(thread)
    var action = sigaction()
    action.sa_flags = SA_RESTART
    action.__sigaction_handler.sa_handler = { _ in
        var byte: UInt8 = 0
        let error = errno
        _ = Glibc.write(signalled.writing, &byte, 1)
        errno = error
    }
    sigaction(SIGINT, &action, nil)
}
