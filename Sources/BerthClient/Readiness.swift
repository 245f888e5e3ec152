// Suspends a task until its socket is ready.
//
// Swift's cooperative threads must not block in `read`, and a thread per stream would not carry hundreds of them. Dispatch
// watches the descriptors of all waiting tasks from one thread of its own.

import Dispatch
import Synchronization

/// What a task waits for.
enum Readiness {
    case reading, writing

    private static let queue = DispatchQueue(label: "berth.client.readiness")

    /// Returns when `descriptor` is ready or has failed (the next call on it then says how). The descriptor stays open until this returns.
    /// Throws `CancellationError` where the task is cancelled first.
    func wait(on descriptor: Int32) async throws {
        let wait = Wait(source())
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { wait.start($0) }
        } onCancel: {
            wait.cancel()
        }

        func source() -> any DispatchSourceProtocol {
            switch self {
            case .reading: DispatchSource.makeReadSource(fileDescriptor: descriptor, queue: Self.queue)
            case .writing: DispatchSource.makeWriteSource(fileDescriptor: descriptor, queue: Self.queue)
            }
        }
    }

    /// One wait. The continuation is resumed from the source's cancellation handler, after which Dispatch no longer knows the descriptor.
    private final class Wait: @unchecked Sendable {
        // @unchecked: Dispatch sources are thread-safe but not marked so.
        private let source: any DispatchSourceProtocol
        private let isReady = Mutex(false)

        init(_ source: any DispatchSourceProtocol) { self.source = source }

        func start(_ continuation: CheckedContinuation<Void, any Error>) {
            source.setEventHandler { [self] in
                isReady.withLock { $0 = true }
                source.cancel()
            }
            source.setCancelHandler { [self] in
                if isReady.withLock({ $0 }) { continuation.resume() } else { continuation.resume(throwing: CancellationError()) }
            }
            source.activate()
        }

        /// Before `start` too: a source that is activated after its cancellation calls only its cancellation handler.
        func cancel() { source.cancel() }
    }
}
