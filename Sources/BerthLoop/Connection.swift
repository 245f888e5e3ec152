// One accepted stream on a Unix socket: bytes in, bytes out, and an orderly end.
//
// Lives from `accept` until its close callback; the owner learns of the end exactly once through `onEnd`, unless it closed
// the connection itself. Reading can be paused (backpressure toward the peer); what is written and not yet taken by the
// kernel is counted in `queuedBytes` (backpressure toward whoever writes).

import CUV
import Glibc

/// Who is on the other side, as the kernel knows it.
public struct PeerCredentials: Sendable, Equatable {
    public var processID: Int32
    public var userID: UInt32
    public var groupID: UInt32
}

public final class Connection: Handle {
    /// Bytes arrived. The buffer is valid during the call only.
    public var onRead: ((UnsafeRawBufferPointer) -> Void)?
    /// The peer ended the stream (nil) or it failed. Called at most once; the connection is still to be closed.
    public var onEnd: ((LoopError?) -> Void)?
    /// Everything written has been taken by the kernel.
    public var onDrain: (() -> Void)?
    /// Called in the close callback: nothing of this connection happens afterwards.
    public var onClosed: (() -> Void)?

    /// Bytes written and not yet taken by the kernel.
    public private(set) var queuedBytes = 0
    public private(set) var isReading = false
    private var closesWhenDrained = false
    private var hasEnded = false
    private let loop: Loop

    private var stream: UnsafeMutablePointer<uv_stream_t> { UnsafeMutableRawPointer(handle).assumingMemoryBound(to: uv_stream_t.self) }

    init(_ loop: Loop) {
        self.loop = loop
        let memory = UnsafeMutablePointer<uv_pipe_t>.allocate(capacity: 1)
        super.init(memory: UnsafeMutableRawPointer(memory))
        uv_pipe_init(loop.raw, memory, 0)  // cannot fail
        adopt()
    }

    /// Takes over a connected socket.
    public convenience init(_ loop: Loop, descriptor: Int32) throws(LoopError) {
        self.init(loop)
        let code = uv_pipe_open(UnsafeMutableRawPointer(handle).assumingMemoryBound(to: uv_pipe_t.self), descriptor)
        if code < 0 {
            close()
            throw LoopError(code, "cannot take over a socket")
        }
    }

    func accept(from listener: UnsafeMutablePointer<uv_stream_t>) throws(LoopError) {
        try check(uv_accept(listener, stream), "cannot accept a connection")
    }

    // MARK: reading

    public func startReading() {
        guard !isClosing, !isReading, !hasEnded else { return }
        isReading = true
        let code = uv_read_start(stream, { handle, _, buffer in
            let connection = Unmanaged<Connection>.fromOpaque(handle!.pointee.data).takeUnretainedValue()
            let target = connection.loop.readBuffer
            buffer!.pointee = uv_buf_init(target.baseAddress!.assumingMemoryBound(to: CChar.self), UInt32(target.count))
        }, { handle, count, buffer in
            let connection = Unmanaged<Connection>.fromOpaque(handle!.pointee.data).takeUnretainedValue()
            if count > 0 {
                connection.onRead?(UnsafeRawBufferPointer(start: buffer!.pointee.base, count: count))
            } else if count < 0 {
                connection.end(count == Int(UV_EOF.rawValue) ? nil : LoopError(Int32(count), "cannot read"))
            }
        })
        if code < 0 { end(LoopError(code, "cannot read")) }
    }

    public func stopReading() {
        guard !isClosing, isReading else { return }
        isReading = false
        uv_read_stop(stream)
    }

    /// Whether the peer has closed its side. For connections whose reading is paused: they get no end of file.
    public var isPeerGone: Bool {
        guard let descriptor else { return true }
        let readHangUp: Int16 = 0x2000  // POLLRDHUP, which Glibc's headers show only with _GNU_SOURCE
        var entry = pollfd(fd: descriptor, events: readHangUp, revents: 0)
        return poll(&entry, 1, 0) > 0 && entry.revents & (readHangUp | Int16(POLLHUP) | Int16(POLLERR)) != 0
    }

    private func end(_ error: LoopError?) {
        guard !hasEnded, !isClosing else { return }
        stopReading()
        hasEnded = true
        onEnd?(error)
    }

    // MARK: writing

    /// Queues bytes; they go out in order. A failure comes through `onEnd`.
    public func write(_ bytes: [UInt8]) {
        guard !isClosing, !hasEnded, !bytes.isEmpty else { return }
        // Most writes fit the socket's buffer; then there is nothing to keep.
        var written = 0
        if queuedBytes == 0 {
            let result = bytes.withUnsafeBytes { buffer in
                var vector = uv_buf_init(UnsafeMutablePointer(mutating: buffer.baseAddress!.assumingMemoryBound(to: CChar.self)), UInt32(buffer.count))
                return uv_try_write(stream, &vector, 1)
            }
            if result >= 0 {
                written = Int(result)
            } else if result != UV_EAGAIN.rawValue {
                return endLater(result)
            }
        }
        guard written < bytes.count else { return }
        let request = WriteRequest(connection: self, bytes: bytes[written...])
        queuedBytes += request.bytes.count
        let code = request.start(stream)
        if code < 0 {
            queuedBytes -= request.bytes.count
            endLater(code)
        }
    }

    /// The failure is reported from the loop, not from inside the caller's `write`.
    private func endLater(_ code: Int32) {
        let timer = Timer(loop)
        timer.start(afterNanoseconds: 0) { [weak self] in
            timer.close()
            self?.end(LoopError(code, "cannot write"))
        }
    }

    fileprivate func didWrite(_ count: Int, status: Int32) {
        queuedBytes -= count
        guard !isClosing else { return }
        if status < 0 { return end(LoopError(status, "cannot write")) }
        if queuedBytes == 0 {
            if closesWhenDrained { return close() }
            onDrain?()
        }
    }

    /// Closes once everything written is out.
    public func closeAfterWrites() {
        if queuedBytes == 0 || hasEnded { close() } else { closesWhenDrained = true }
    }

    /// Tells the peer that nothing more will come, while its bytes can still be read. Call it with nothing queued.
    public func shutdownWriting() { if let descriptor { shutdown(descriptor, Int32(SHUT_WR)) } }

    // MARK: the socket itself

    private var descriptor: Int32? {
        var descriptor: Int32 = -1
        return !isClosing && uv_fileno(handle, &descriptor) == 0 ? descriptor : nil
    }

    /// The peer at the time it connected (SO_PEERCRED).
    public var peer: PeerCredentials? {
        guard let descriptor else { return nil }
        // `struct ucred`: pid, uid, gid.
        var words: (Int32, UInt32, UInt32) = (0, 0, 0)
        var length = socklen_t(12)
        guard getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &words, &length) == 0, length == 12 else { return nil }
        return PeerCredentials(processID: words.0, userID: words.1, groupID: words.2)
    }

    override func didClose() {
        let closed = onClosed
        (onRead, onEnd, onDrain, onClosed) = (nil, nil, nil, nil)
        closed?()
    }
}

/// A write in flight: keeps its bytes in place until the kernel has them.
private final class WriteRequest {
    let bytes: UnsafeMutableBufferPointer<UInt8>
    private let connection: Connection
    private let raw = UnsafeMutablePointer<uv_write_t>.allocate(capacity: 1)

    init(connection: Connection, bytes: ArraySlice<UInt8>) {
        self.connection = connection
        self.bytes = .allocate(capacity: bytes.count)
        _ = self.bytes.initialize(from: bytes)
    }

    deinit {
        bytes.deallocate()
        raw.deallocate()
    }

    func start(_ stream: UnsafeMutablePointer<uv_stream_t>) -> Int32 {
        let this = Unmanaged.passRetained(self)
        raw.pointee.data = this.toOpaque()
        var vector = uv_buf_init(UnsafeMutableRawPointer(bytes.baseAddress!).assumingMemoryBound(to: CChar.self), UInt32(bytes.count))
        let code = uv_write(raw, stream, &vector, 1) { raw, status in
            let request = Unmanaged<WriteRequest>.fromOpaque(raw!.pointee.data).takeRetainedValue()
            request.connection.didWrite(request.bytes.count, status: status)
        }
        if code < 0 { this.release() }
        return code
    }
}
