// One connected stream socket. Closed when the last reference to it goes: dropping a stream half-way is how a client cancels.

import Glibc

/// A non-blocking Unix-domain stream socket. Used by one task at a time.
final class UnixConnection: Sendable {
    private let descriptor: Int32

    deinit { close(descriptor) }

    /// Connects to the socket at `path`.
    init(path: String) async throws(BerthClientError) {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let capacity = MemoryLayout.size(ofValue: address.sun_path)
        guard path.utf8.count < capacity else {
            throw .unreachable(socket: path, .pathTooLong(limit: capacity - 1))
        }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw .unreachable(socket: path, .other(Self.text(of: errno))) }
        // A full backlog answers EAGAIN on Unix sockets and gives nothing to wait for: try again for a while.
        for attempt in 0... {
            let result = withUnsafePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
                }
            }
            if result == 0 || errno == EISCONN { return }
            guard errno == EAGAIN || errno == EINTR, attempt < 200 else {
                throw .unreachable(socket: path, Self.reason(errno, path))
            }
            do { try await Task.sleep(nanoseconds: 10_000_000) } catch { throw .cancelled }
        }
    }

    /// Up to 64 KiB; empty at the end of the stream.
    func read() async throws(BerthClientError) -> [UInt8] {
        while true {
            var count = 0
            var code: Int32 = 0
            let bytes = [UInt8](unsafeUninitializedCapacity: 64 << 10) { buffer, initialized in
                count = Glibc.read(descriptor, buffer.baseAddress, buffer.count)
                code = errno
                initialized = max(0, count)
            }
            if count >= 0 { return bytes }
            try await wait(for: .reading, after: code)
        }
    }

    func write(_ bytes: [UInt8]) async throws(BerthClientError) {
        var sent = 0
        while sent < bytes.count {
            let (count, code) = bytes.withUnsafeBytes { buffer in
                let count = send(descriptor, buffer.baseAddress! + sent, buffer.count - sent, Int32(MSG_NOSIGNAL))
                return (count, errno)
            }
            if count >= 0 { sent += count } else { try await wait(for: .writing, after: code) }
        }
    }

    /// Waits after a call that failed with a passing error; throws for a lasting one.
    private func wait(for readiness: Readiness, after error: Int32) async throws(BerthClientError) {
        switch error {
        case EINTR: return
        case EAGAIN: do { try await readiness.wait(on: descriptor) } catch { throw .cancelled }
        case let code: throw .connectionLost(Self.text(of: code))
        }
    }

    /// What a failed `connect` says about `path`.
    static func reason(_ code: Int32, _ path: String) -> BerthClientError.Unreachable {
        switch code {
        case ENOENT, ENOTDIR: return .missing
        case EACCES, EPERM: return .notPermitted
        case EAGAIN: return .busy
        case ECONNREFUSED:
            // The same for a file that is no socket.
            var status = stat()
            return stat(path, &status) == 0 && status.st_mode & S_IFMT != S_IFSOCK ? .notASocket : .nobodyListens
        default: return .other(text(of: code))
        }
    }

    private static func text(of code: Int32) -> String { String(cString: strerror(code)) }
}
