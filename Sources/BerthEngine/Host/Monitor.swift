// A lock that threads can sleep on.

import Glibc

/// A mutex with conditions, pthread's, on the heap, where they do not move: `Mutex` cannot pair with a condition variable.
final class Monitor: Sendable {
    private nonisolated(unsafe) let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private nonisolated(unsafe) let conditions: UnsafeMutablePointer<pthread_cond_t>
    private let conditionCount: Int
    // Unsafe: the pointers never change, and what they point to is for any thread.

    init(conditions count: Int = 1) {
        conditions = .allocate(capacity: count)
        conditionCount = count
        pthread_mutex_init(mutex, nil)
        for index in 0..<count { pthread_cond_init(conditions + index, nil) }
    }

    deinit {
        for index in 0..<conditionCount { pthread_cond_destroy(conditions + index) }
        pthread_mutex_destroy(mutex)
        conditions.deallocate()
        mutex.deallocate()
    }

    /// Runs `body` alone among all that this monitor guards. The other calls belong inside.
    func locked<Result>(_ body: () -> Result) -> Result {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return body()
    }

    /// Lets others in until the condition is signalled, or for no reason: ask again afterwards.
    func wait(_ condition: Int = 0) { pthread_cond_wait(conditions + condition, mutex) }
    func signal(_ condition: Int = 0) { pthread_cond_signal(conditions + condition) }
    func broadcast(_ condition: Int = 0) { pthread_cond_broadcast(conditions + condition) }
}
