// A queue between threads, for threads that may sleep.

import Glibc

/// First in, first out; unbounded in itself: who puts in keeps the bound. `Mutex` cannot pair with a condition variable, so this is
/// pthread's pair, on the heap, where it does not move.
final class BlockingQueue<Element: Sendable>: @unchecked Sendable {
    // Unchecked: `elements` and `isClosed` are touched under `mutex` only.
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private var elements: [Element] = []
    private var isClosed = false

    init() {
        pthread_mutex_init(mutex, nil)
        pthread_cond_init(condition, nil)
    }

    deinit {
        pthread_cond_destroy(condition)
        pthread_mutex_destroy(mutex)
        condition.deallocate()
        mutex.deallocate()
    }

    private func locked<Result>(_ body: () -> Result) -> Result {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return body()
    }

    /// False where the queue is closed, or holds `limit` elements already.
    @discardableResult
    func put(_ element: Element, limit: Int = .max) -> Bool {
        locked {
            guard !isClosed, elements.count < limit else { return false }
            elements.append(element)
            pthread_cond_signal(condition)
            return true
        }
    }

    /// All elements; waits for one where there is none and `waits`. Empty where nothing waits, or the queue is closed and empty.
    func takeAll(waits: Bool) -> [Element] {
        locked {
            while waits, elements.isEmpty, !isClosed { pthread_cond_wait(condition, mutex) }
            defer { elements = [] }
            return elements
        }
    }

    /// The first element; waits for one. Nil where the queue is closed, whatever it still holds.
    func takeOne() -> Element? {
        locked {
            while elements.isEmpty, !isClosed { pthread_cond_wait(condition, mutex) }
            return isClosed ? nil : elements.removeFirst()
        }
    }

    /// Nothing goes in any more, and whoever waits wakes up.
    func close() {
        locked {
            isClosed = true
            pthread_cond_broadcast(condition)
        }
    }
}
