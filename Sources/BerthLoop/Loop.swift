// The event loop: one thread that owns every socket, timer and signal of the daemon.
//
// A loop and everything made from it (listeners, connections, timers, signal watchers) belong to the thread that made
// them; none of these classes is Sendable, and none is locked. Other threads reach the loop through a `Mailbox`; work
// that computes for long goes to `queueWork` and comes back as a completion on the loop.
//
// Ownership follows libuv: a handle's memory is on the heap and freed in its close callback, never earlier. The Swift
// object of an open handle is kept alive by libuv's `data` pointer, so it cannot disappear under a callback.

import BerthCore
import CUV
import Glibc

public final class Loop {
    let raw: UnsafeMutablePointer<uv_loop_t>
    /// Where every read lands; read callbacks copy out of it before they return.
    let readBuffer: UnsafeMutableRawBufferPointer

    public init() throws(LoopError) {
        signal(SIGPIPE, SIG_IGN)  // a client that went away is an error of a write, not the end of the daemon
        raw = .allocate(capacity: 1)
        readBuffer = .allocate(byteCount: Limits.readBytes, alignment: 64)
        let code = uv_loop_init(raw)
        if code < 0 {
            raw.deallocate()
            readBuffer.deallocate()
            throw LoopError(code, "cannot start an event loop")
        }
    }

    deinit {
        precondition(uv_loop_close(raw) == 0, "a loop was dropped with open handles; call close() first")
        raw.deallocate()
        readBuffer.deallocate()
    }

    /// Runs until `stop()` is called or nothing is left to wait for.
    public func run() { _ = uv_run(raw, UV_RUN_DEFAULT) }

    /// Makes `run` return after the current iteration.
    public func stop() { uv_stop(raw) }

    /// Closes whatever is still open and runs the close callbacks. The loop cannot be used afterwards.
    public func close() {
        uv_walk(raw, { handle, _ in
            if uv_is_closing(handle) == 0 { Handle.object(of: handle!).close() }
        }, nil)
        _ = uv_run(raw, UV_RUN_DEFAULT)
    }

    /// Nanoseconds of a clock that never goes back. The same on every thread.
    public static var monotonicNanoseconds: UInt64 { uv_hrtime() }
}

/// An open libuv handle. Subclasses initialise the memory they allocate and then call `adopt`.
public class Handle {
    /// The handle's memory, freed in the close callback.
    private let memory: UnsafeMutableRawPointer
    public private(set) var isClosing = false

    var handle: UnsafeMutablePointer<uv_handle_t> { memory.assumingMemoryBound(to: uv_handle_t.self) }

    /// - Parameter memory: an uninitialised handle, which this object owns from now on.
    init(memory: UnsafeMutableRawPointer) { self.memory = memory }

    /// libuv knows the handle now: it keeps this object alive until the handle is closed.
    func adopt() { handle.pointee.data = Unmanaged.passRetained(self).toOpaque() }

    /// libuv refused the handle: there is nothing to close.
    func abandon() {
        isClosing = true
        memory.deallocate()
    }

    static func object(of handle: UnsafeMutablePointer<uv_handle_t>) -> Handle {
        Unmanaged<Handle>.fromOpaque(handle.pointee.data).takeUnretainedValue()
    }

    /// Stops the handle. Its callbacks do not run any more; repeated calls do nothing.
    public func close() {
        guard !isClosing else { return }
        isClosing = true
        willClose()
        uv_close(handle) { handle in
            let object = Unmanaged<Handle>.fromOpaque(handle!.pointee.data).takeRetainedValue()
            object.didClose()
            object.memory.deallocate()
        }
    }

    func willClose() {}
    func didClose() {}
}
