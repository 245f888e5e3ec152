// Ctrl-C while an answer runs. (While a line is edited it is a key like any other: LineEditor.)

import Synchronization

/// Turns SIGINT into the cancellation of the running answer. Lives as long as the program.
final class Interrupts: Sendable {
    let target = Mutex<Task<String, any Error>?>(nil)

    /// From here on SIGINT ends no program. An answer that has just ended needs no stopping; the conversation goes on.
    func start() { onInterrupt { [self] in target.withLock { $0 }?.cancel() } }
}
