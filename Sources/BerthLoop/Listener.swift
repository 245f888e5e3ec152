// A listening Unix socket: made by us at a path, or handed over by systemd as a descriptor.
//
// A path that is taken is only freed when nobody listens there: two daemons never fight over one socket. The check and
// the bind happen under a lock on the directory, and on closing the file is removed only if it is still the one we made.

import CUV
import Glibc

public final class Listener: Handle {
    private struct File {
        var path: String
        var device: UInt64
        var inode: UInt64
    }

    private let loop: Loop
    private var file: File?
    private var onConnection: ((Connection) -> Void)?
    private var onError: ((LoopError) -> Void)?

    private var stream: UnsafeMutablePointer<uv_stream_t> { UnsafeMutableRawPointer(handle).assumingMemoryBound(to: uv_stream_t.self) }

    /// Listens at `path`.
    /// - Parameter mode: the permissions of the socket's file, set before anyone can connect.
    public convenience init(_ loop: Loop, path: String, mode: UInt32, backlog: Int32 = 512) throws(LoopError) {
        let descriptor = try Self.bind(path: path, mode: mode)
        var status = stat()
        lstat(path, &status)
        do {
            try self.init(loop, descriptor: descriptor, backlog: backlog)
        } catch {
            unlink(path)
            throw error
        }
        file = File(path: path, device: UInt64(status.st_dev), inode: UInt64(status.st_ino))
    }

    /// Listens on a bound socket that someone else made and keeps (socket activation).
    public init(_ loop: Loop, descriptor: Int32, backlog: Int32 = 512) throws(LoopError) {
        self.loop = loop
        let memory = UnsafeMutablePointer<uv_pipe_t>.allocate(capacity: 1)
        super.init(memory: UnsafeMutableRawPointer(memory))
        uv_pipe_init(loop.raw, memory, 0)  // cannot fail
        adopt()
        do {
            try check(uv_pipe_open(memory, descriptor), "cannot use socket \(descriptor)")
            try check(uv_listen(stream, backlog, { handle, status in
                Unmanaged<Listener>.fromOpaque(handle!.pointee.data).takeUnretainedValue().accept(status)
            }), "cannot listen on socket \(descriptor)")
        } catch {
            close()
            throw error
        }
    }

    /// Says what happens with new connections. Connections that came earlier wait in the kernel; those whose handler is
    /// missing are closed.
    public func start(onConnection: @escaping (Connection) -> Void, onError: @escaping (LoopError) -> Void) {
        self.onConnection = onConnection
        self.onError = onError
    }

    private func accept(_ status: Int32) {
        guard !isClosing else { return }
        if status < 0 {
            onError?(LoopError(status, "cannot accept a connection"))
            return
        }
        let connection = Connection(loop)
        do {
            try connection.accept(from: stream)
            if let onConnection { onConnection(connection) } else { connection.close() }
        } catch {
            connection.close()
            onError?(error)
        }
    }

    override func willClose() {
        guard let file else { return }
        var status = stat()
        if lstat(file.path, &status) == 0, UInt64(status.st_dev) == file.device, UInt64(status.st_ino) == file.inode { unlink(file.path) }
    }

    override func didClose() { (onConnection, onError) = (nil, nil) }

    // MARK: binding

    /// The longest path that fits `sockaddr_un`.
    public static let pathBytes = 107

    private static func bind(path: String, mode: UInt32) throws(LoopError) -> Int32 {
        guard !path.isEmpty, path.utf8.count <= pathBytes, !path.utf8.contains(0) else {
            throw LoopError(message: "the socket path \(path) is not between 1 and \(pathBytes) bytes long")
        }
        let directory = path.lastIndex(of: "/").map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
        let lock = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard lock >= 0 else { throw systemError("cannot open the directory of \(path)") }
        defer { Glibc.close(lock) }
        flock(lock, LOCK_EX)

        let descriptor = try makeSocket()
        do throws(LoopError) {
            if withAddress(path, { Glibc.bind(descriptor, $0, $1) }) != 0 {
                guard errno == EADDRINUSE else { throw systemError("cannot bind \(path)") }
                try removeStale(path)
                if withAddress(path, { Glibc.bind(descriptor, $0, $1) }) != 0 { throw systemError("cannot bind \(path)") }
            }
            if chmod(path, mode) != 0 {
                let error = systemError("cannot set the mode of \(path)")
                unlink(path)
                throw error
            }
        } catch {
            Glibc.close(descriptor)
            throw error
        }
        return descriptor
    }

    /// Removes the socket at `path` if nobody listens on it.
    private static func removeStale(_ path: String) throws(LoopError) {
        var status = stat()
        guard lstat(path, &status) == 0 else { return }
        guard status.st_mode & S_IFMT == S_IFSOCK else { throw LoopError(message: "\(path) exists and is no socket") }
        let probe = try makeSocket()
        defer { Glibc.close(probe) }
        let connected = withAddress(path) { connect(probe, $0, $1) }
        guard connected != 0, errno == ECONNREFUSED else { throw LoopError(message: "another process listens on \(path)") }
        if unlink(path) != 0 { throw systemError("cannot remove the stale socket \(path)") }
    }

    private static func makeSocket() throws(LoopError) -> Int32 {
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0)
        guard descriptor >= 0 else { throw systemError("cannot make a socket") }
        return descriptor
    }

    private static func systemError(_ attempt: String) -> LoopError { LoopError(-errno, attempt) }
}

/// Calls `body` with the address of a path that is known to fit.
func withAddress(_ path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32) -> Int32 {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
    return withUnsafePointer(to: &address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
    }
}
