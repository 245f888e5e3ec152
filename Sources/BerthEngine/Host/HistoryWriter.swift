// A thread that keeps the routing's history while the engine goes on.

/// Hands each value to `write`, on a thread of its own. Of values that come faster than they can be written only the last is.
final class HistoryWriter: Sendable {
    private let values = BlockingQueue<[Float]>()
    private let thread: Thread

    init(_ write: @escaping @Sendable ([Float]) -> Void) {
        let values = values
        thread = Thread(name: "berth-history") {
            while let latest = values.takeAll(waits: true).last { write(latest) }
        }
    }

    func put(_ value: [Float]) { values.put(value) }

    /// Writes what is left, and ends the thread. Call once.
    func stop() {
        values.close()
        thread.join()
    }
}
