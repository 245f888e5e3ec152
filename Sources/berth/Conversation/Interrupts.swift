// Ctrl-C while an answer runs. (While a line is edited it is a key like any other: LineEditor.)

import Glibc
import Synchronization

/// Where the handler of SIGINT, which may do next to nothing, says that there was one.
private let signalled = {
    var ends: [Int32] = [-1, -1]
    _ = pipe(&ends)
    // A full pipe says it as well as one more byte.
    _ = fcntl(ends[1], F_SETFL, O_NONBLOCK)
    return (reading: ends[0], writing: ends[1])
}()

/// Turns SIGINT into the cancellation of the running answer. Lives as long as the program.
final class Interrupts: Sendable {
    let target = Mutex<Task<String, any Error>?>(nil)

    /// From here on SIGINT ends no program.
    ///
    /// A handler, because there are threads (Dispatch has one for signals) that do not inherit a mask: a signal that is blocked
    /// here and awaited elsewhere would be taken by one of them, and end the program.
    func start() {
        precondition(signalled.writing >= 0)
        var thread = pthread_t()
        let context = Unmanaged.passRetained(self).toOpaque()
        pthread_create(&thread, nil, { context in
            let interrupts = Unmanaged<Interrupts>.fromOpaque(context!).takeUnretainedValue()
            while true {
                var byte: UInt8 = 0
                guard read(signalled.reading, &byte, 1) > 0 || errno == EINTR else { return nil }
                // An answer that has just ended needs no stopping; the conversation goes on.
                interrupts.target.withLock { $0 }?.cancel()
            }
        }, context)
        pthread_detach(thread)
        var action = sigaction()
        action.sa_flags = SA_RESTART
        action.__sigaction_handler.sa_handler = { _ in
            var byte: UInt8 = 0
            let error = errno
            _ = write(signalled.writing, &byte, 1)
            errno = error
        }
        sigaction(SIGINT, &action, nil)
    }
}
