// The batches' thread: everything that waits for the disk of files and batches happens here.
//
// Commands come through a queue and are performed in order; while none waits, the store does its own work (scanning, writing) piece by piece. A
// store that cannot be opened leaves the daemon running: whoever asks for batches is told why there are none.

import BerthBatches
import BerthCore
import BerthEngine
import BerthLoop
import Glibc
import Logging
import Synchronization

final class BatchService: Sendable {
    private enum Command: Sendable {
        case perform(@Sendable (Result<BatchStore, BatchError>) -> Void)
        case stop
    }

    private let queue = BlockingQueue<Command>()
    private let thread: Mutex<JoinableThread?>
    /// When the store wants to be woken: a batch runs out of time, a file expires, failed work is worth another try.
    private let wakeSecond: Shared<Int?>
    private let wallSeconds: @Sendable () -> Int

    /// How long failed work of the store's own rests.
    private static let retrySeconds = 5

    /// - Parameters:
    ///   - onProgress: called on the batches' thread after the store has done something by itself: there may be lines to run.
    init(
        directory: String, random: @escaping @Sendable () -> any RandomNumberGenerator = { SystemRandomNumberGenerator() }, logger: Logger,
        wallSeconds: @escaping @Sendable () -> Int, onProgress: @escaping @Sendable () -> Void
    ) {
        self.wallSeconds = wallSeconds
        let wakeSecond = Shared<Int?>(nil)
        self.wakeSecond = wakeSecond
        let queue = queue
        thread = Mutex(nil)
        thread.withLock {
            $0 = JoinableThread(name: "berth-batches") {
                let store = Result { () throws(BatchError) in try BatchStore(directory: directory, random: random(), heir: TenantName(uid: geteuid())) }
                if case .failure(let error) = store { logger.error("there are no batches: \(error)") }
                Self.run(store, queue, wakeSecond, logger, wallSeconds, onProgress)
            }
        }
    }

    /// Performs `work` on the batches' thread and answers there, or at once where too much waits.
    func perform<Value: Sendable>(
        _ work: @escaping @Sendable (BatchStore) throws(BatchError) -> Value, reply: @escaping @Sendable (Result<Value, BatchError>) -> Void
    ) {
        let isTaken = queue.put(.perform { store in reply(Result { () throws(BatchError) in try work(store.get()) }) }, limit: Limits.batchCommands)
        if !isTaken { reply(.failure(BatchError(.busy, "Too much waits for files and batches."))) }
    }

    /// The store should look at the clock no later than this.
    func wake(at second: Int) { wakeSecond.lower(to: second) }

    /// Whether the time of something has come, and `lookAtClock` should be called.
    var isDue: Bool { wakeSecond.withLock { $0.map { $0 <= wallSeconds() } ?? false } }

    /// Lets the store look at the clock. Returns the batches whose time has run out.
    func lookAtClock(reply: @escaping @Sendable (Result<[String], BatchError>) -> Void) {
        let (wallSeconds, wakeSecond) = (wallSeconds, wakeSecond)
        wakeSecond.withLock { $0 = nil }
        perform({ store throws(BatchError) in
            store.retry()
            let (batches, next) = try store.expire(now: wallSeconds())
            if let next { wakeSecond.lower(to: next) }
            return batches
        }, reply: reply)
    }

    /// Ends the thread, after what has been asked of it.
    func stop() {
        queue.put(.stop)
        let thread = self.thread.withLock { $0.take() }
        thread?.join()
    }

    private static func run(
        _ store: Result<BatchStore, BatchError>, _ queue: BlockingQueue<Command>, _ wakeSecond: Shared<Int?>, _ logger: Logger, _ wallSeconds: () -> Int,
        _ onProgress: () -> Void
    ) {
        var hasWork = true
        // The first look at the clock is due at once.
        wakeSecond.withLock { $0 = 0 }
        while true {
            for command in queue.takeAll(waits: !hasWork) {
                switch command {
                case .perform(let work): work(store)
                case .stop: return
                }
            }
            guard case .success(let store) = store else {
                hasWork = false
                continue
            }
            do throws(BatchError) {
                hasWork = try store.step(now: wallSeconds())
                if hasWork { onProgress() }
            } catch {
                logger.error("a batch does not get on: \(error)")
                wakeSecond.lower(to: wallSeconds() + retrySeconds)
            }
        }
    }
}

extension Shared<Int?> {
    /// No later than `second`.
    fileprivate func lower(to second: Int) { withLock { $0 = min($0 ?? second, second) } }
}
