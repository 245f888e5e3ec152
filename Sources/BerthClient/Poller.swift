// Suspends tasks until their sockets are ready, with one thread for the whole process.
//
// Swift's cooperative threads must not block in `read`, and a thread per stream would not carry hundreds of them. The poller
// owns an epoll instance and a thread that sleeps in it; a task that finds its socket empty leaves a continuation here and
// is resumed when the kernel says so, or when it is cancelled. Interests are one-shot and carry a number of their own, so that a
// descriptor that was closed and used again is never mistaken for the old one.

import Glibc
import Synchronization

/// The process's readiness service. Thread-safe.
final class Poller: Sendable {
    enum Interest { case reading, writing }

    static let shared = Poller()

    private struct State {
        var nextTicket: UInt64 = 1
        var waiting: [UInt64: CheckedContinuation<Void, any Error>] = [:]
        /// Tickets cancelled before their continuation arrived.
        var cancelled: Set<UInt64> = []
    }

    private let epoll: Int32
    private let state = Mutex(State())

    private init() {
        epoll = epoll_create1(Int32(EPOLL_CLOEXEC.rawValue))
        precondition(epoll >= 0, "epoll_create1 failed: \(errno)")
        var thread = pthread_t()
        let result = pthread_create(&thread, nil, { _ in
            Poller.shared.run()
            return nil
        }, nil)
        precondition(result == 0, "pthread_create failed: \(result)")
        pthread_detach(thread)
    }

    /// Returns when `descriptor` is ready or has failed (the next call on it then says how).
    /// Throws `CancellationError` where the task is cancelled first. One wait per descriptor at a time.
    func wait(for interest: Interest, of descriptor: Int32) async throws {
        let ticket = state.withLock { state in
            defer { state.nextTicket += 1 }
            return state.nextTicket
        }
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let isCancelled = state.withLock { state in
                    if state.cancelled.remove(ticket) != nil { return true }
                    state.waiting[ticket] = continuation
                    return false
                }
                if isCancelled { return continuation.resume(throwing: CancellationError()) }
                arm(descriptor, interest, ticket)
            }
        } onCancel: {
            let continuation = state.withLock { state in
                let continuation = state.waiting.removeValue(forKey: ticket)
                if continuation == nil { state.cancelled.insert(ticket) }
                return continuation
            }
            continuation?.resume(throwing: CancellationError())
        }
        // A cancellation after the wake-up has left its ticket behind.
        state.withLock { _ = $0.cancelled.remove(ticket) }
    }

    private func arm(_ descriptor: Int32, _ interest: Interest, _ ticket: UInt64) {
        var event = epoll_event()
        let direction = interest == .reading ? EPOLLIN.rawValue : EPOLLOUT.rawValue
        event.events = direction | EPOLLONESHOT.rawValue | EPOLLRDHUP.rawValue
        event.data.u64 = ticket
        if epoll_ctl(epoll, EPOLL_CTL_MOD, descriptor, &event) != 0, epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event) != 0 {
            resume(ticket)
        }
    }

    private func resume(_ ticket: UInt64) {
        state.withLock { $0.waiting.removeValue(forKey: ticket) }?.resume()
    }

    private func run() {
        var events = [epoll_event](repeating: epoll_event(), count: 64)
        while true {
            let count = epoll_wait(epoll, &events, Int32(events.count), -1)
            for index in 0..<max(0, Int(count)) { resume(events[index].data.u64) }
        }
    }
}
