// Timers and signals.

import CUV

/// Calls a handler later, once or again and again. Millisecond resolution.
public final class Timer: Handle {
    private var handler: (() -> Void)?

    private var timer: UnsafeMutablePointer<uv_timer_t> { UnsafeMutableRawPointer(handle).assumingMemoryBound(to: uv_timer_t.self) }

    public init(_ loop: Loop) {
        super.init(memory: UnsafeMutableRawPointer(UnsafeMutablePointer<uv_timer_t>.allocate(capacity: 1)))
        uv_timer_init(loop.raw, timer)  // cannot fail
        adopt()
    }

    /// Starts or restarts the timer.
    /// - Parameter repeatNanoseconds: 0 for a single call.
    public func start(afterNanoseconds: UInt64, repeatNanoseconds: UInt64 = 0, _ handler: @escaping () -> Void) {
        guard !isClosing else { return }
        self.handler = handler
        func milliseconds(_ nanoseconds: UInt64) -> UInt64 { (nanoseconds + 999_999) / 1_000_000 }
        uv_timer_start(timer, { raw in
            let timer = Unmanaged<Timer>.fromOpaque(raw!.pointee.data).takeUnretainedValue()
            timer.handler?()
        }, milliseconds(afterNanoseconds), milliseconds(repeatNanoseconds))
    }

    public func stop() { if !isClosing { uv_timer_stop(timer) } }

    override func didClose() { handler = nil }
}

/// Calls a handler on the loop whenever the process receives a signal.
public final class SignalWatcher: Handle {
    private var handler: (() -> Void)?

    public init(_ loop: Loop, signal: Int32, _ handler: @escaping () -> Void) throws(LoopError) {
        let memory = UnsafeMutablePointer<uv_signal_t>.allocate(capacity: 1)
        self.handler = handler
        super.init(memory: UnsafeMutableRawPointer(memory))
        let initialised = uv_signal_init(loop.raw, memory)
        if initialised < 0 {
            abandon()
            throw LoopError(initialised, "cannot watch signals")
        }
        adopt()
        let started = uv_signal_start(memory, { raw, _ in
            let watcher = Unmanaged<SignalWatcher>.fromOpaque(raw!.pointee.data).takeUnretainedValue()
            watcher.handler?()
        }, signal)
        if started < 0 {
            close()
            throw LoopError(started, "cannot watch signal \(signal)")
        }
        // A watcher alone is no reason to keep running.
        uv_unref(handle)
    }

    override func didClose() { handler = nil }
}
