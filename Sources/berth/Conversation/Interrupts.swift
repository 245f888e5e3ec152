// Ctrl-C while an answer runs. (While a line is edited it is a key like any other: LineEditor.)

import Glibc
import Synchronization

/// Turns SIGINT into the cancellation of the running answer. Lives as long as the program.
final class Interrupts: Sendable {
    let target = Mutex<Task<String, any Error>?>(nil)

    /// From here on SIGINT ends no program.
    func start() {
        // SIGINT is blocked everywhere and taken by a thread of its own, which may then use ordinary code.
        var signals = sigset_t()
        sigemptyset(&signals)
        sigaddset(&signals, SIGINT)
        pthread_sigmask(SIG_BLOCK, &signals, nil)
        var thread = pthread_t()
        let context = Unmanaged.passRetained(self).toOpaque()
        pthread_create(&thread, nil, { context in
            let interrupts = Unmanaged<Interrupts>.fromOpaque(context!).takeUnretainedValue()
            var signals = sigset_t()
            sigemptyset(&signals)
            sigaddset(&signals, SIGINT)
            while true {
                var signal: Int32 = 0
                sigwait(&signals, &signal)
                // An answer that has just ended needs no stopping; the conversation goes on.
                interrupts.target.withLock { $0 }?.cancel()
            }
        }, context)
        pthread_detach(thread)
    }
}
