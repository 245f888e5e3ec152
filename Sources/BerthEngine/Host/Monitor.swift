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
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        // Waiting is not for a time of day.
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        for index in 0..<count { pthread_cond_init(conditions + index, &attributes) }
        pthread_condattr_destroy(&attributes)
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

    /// The same, until the monotonic clock shows `deadline` (nanoseconds) at the latest. False where it does.
    func wait(_ condition: Int = 0, until deadline: UInt64) -> Bool {
        var time = timespec(tv_sec: Int(deadline / 1_000_000_000), tv_nsec: Int(deadline % 1_000_000_000))
        return pthread_cond_timedwait(conditions + condition, mutex, &time) != ETIMEDOUT
    }

    func signal(_ condition: Int = 0) { pthread_cond_signal(conditions + condition) }
    func broadcast(_ condition: Int = 0) { pthread_cond_broadcast(conditions + condition) }
}
