// The only way from another thread into the loop.
//
// A mailbox is a bounded queue under a lock. Whoever posts wakes the loop with `uv_async_send` under the same lock, so the
// handle cannot be closed between the look and the call. Wake-ups coalesce; the loop therefore drains everything at once.

import BerthCore
import CUV
import Synchronization

public final class Mailbox<Message: Sendable>: Sendable {
    private struct State {
        var messages: [Message] = []
        var wakeup: WakeupPointer?
    }

    private let state: Mutex<State>
    private let capacity: Int

    /// Makes a mailbox whose messages `receive` gets on the loop, in order, several at a time.
    /// - Parameter capacity: how many messages may wait.
    public init(_ loop: Loop, capacity: Int, receive: @escaping ([Message]) -> Void) throws(LoopError) {
        self.capacity = capacity
        state = Mutex(State())
        let wakeup = try Wakeup(loop)
        wakeup.handler = { [unowned self] in receive(take()) }
        wakeup.owner = self
        wakeup.onClose = { [unowned self] in state.withLock { $0.wakeup = nil } }
        let pointer = wakeup.pointer
        state.withLock { $0.wakeup = pointer }
    }

    /// Hands a message to the loop. Callable from every thread.
    /// - Returns: false where the mailbox is full or the loop is gone; the message is not delivered then.
    public func post(_ message: Message) -> Bool {
        state.withLock { state in
            guard let wakeup = state.wakeup, state.messages.count < capacity else { return false }
            state.messages.append(message)
            if state.messages.count == 1 { uv_async_send(wakeup.raw) }
            return true
        }
    }

    /// Whether a `post` can still be delivered, now or when there is room again.
    public var isOpen: Bool { state.withLock { $0.wakeup != nil } }

    /// Closes the mailbox; call it on the loop. What is still queued is dropped.
    public func close() {
        // The handle is read outside the lock, because closing takes the lock; only the loop's thread closes it.
        let pointer = state.withLock { $0.wakeup }
        guard let pointer else { return }
        Unmanaged<Handle>.fromOpaque(pointer.raw.pointee.data).takeUnretainedValue().close()
    }

    private func take() -> [Message] {
        state.withLock { state in
            defer { state.messages = [] }
            return state.messages
        }
    }
}

/// `uv_async_send` is the one libuv call that any thread may make, and `Mailbox` guards the handle's lifetime with its lock.
private struct WakeupPointer: @unchecked Sendable {
    let raw: UnsafeMutablePointer<uv_async_t>
}

private final class Wakeup: Handle {
    var handler: (() -> Void)?
    var onClose: (() -> Void)?
    /// The mailbox, kept while the loop can still call it.
    var owner: AnyObject?
    let pointer: WakeupPointer

    init(_ loop: Loop) throws(LoopError) {
        let memory = UnsafeMutablePointer<uv_async_t>.allocate(capacity: 1)
        pointer = WakeupPointer(raw: memory)
        super.init(memory: UnsafeMutableRawPointer(memory))
        let code = uv_async_init(loop.raw, memory) { raw in
            Unmanaged<Wakeup>.fromOpaque(raw!.pointee.data).takeUnretainedValue().handler?()
        }
        if code < 0 {
            abandon()
            throw LoopError(code, "cannot make a mailbox")
        }
        adopt()
    }

    override func willClose() { onClose?() }

    override func didClose() {
        handler = nil
        onClose = nil
        owner = nil
    }
}
