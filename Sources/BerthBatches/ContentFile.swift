// A file that is written from its beginning to its end, and appears under its name whole or not at all.

import BerthCore
import Glibc

/// What is being uploaded or written out. Dropped without `commit`, it leaves nothing. Used by one thread.
final class ContentFile {
    private let partial: String
    private let descriptor: Int32
    private(set) var bytes = 0
    private var buffer: [UInt8] = []
    private var isCommitted = false

    /// - Parameter partial: a path that no finished file has.
    init(partial: String) throws(BatchError) {
        self.partial = partial
        descriptor = open(partial, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { throw .system("A file cannot be created", path: partial) }
    }

    deinit {
        close(descriptor)
        if !isCommitted { unlink(partial) }
    }

    func write(_ more: some Collection<UInt8>) throws(BatchError) {
        buffer += more
        bytes += more.count
        if buffer.count >= Limits.filePieceBytes { try flush() }
    }

    /// Makes the contents durable and gives the file its name.
    func commit(to path: String) throws(BatchError) {
        try flush()
        guard fsync(descriptor) == 0 else { throw .system("A file cannot be made durable", path: partial) }
        guard rename(partial, path) == 0 else { throw .system("A file cannot be renamed", path: path) }
        isCommitted = true
        try Self.synchronizeFolder(of: path)
    }

    private func flush() throws(BatchError) {
        var done = 0
        while done < buffer.count {
            let count = buffer.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress! + done, buffer.count - done) }
            if count >= 0 { done += count } else if errno != EINTR { throw .system("A file cannot be written", path: partial) }
        }
        buffer.removeAll(keepingCapacity: true)
    }

    private static func synchronizeFolder(of path: String) throws(BatchError) {
        let folder = String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)])
        let descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw .system("A folder cannot be opened", path: folder) }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw .system("A folder cannot be made durable", path: folder) }
    }
}

/// A stored content, read by offset.
final class ContentReader {
    private let descriptor: Int32
    private let path: String

    init(path: String) throws(BatchError) {
        self.path = path
        descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
        guard descriptor >= 0 else { throw .system("A stored file cannot be opened", path: path) }
    }

    deinit { close(descriptor) }

    /// Up to `count` bytes from `place`; fewer only at the end.
    func read(at place: Int, count: Int) throws(BatchError) -> [UInt8] {
        var failure: BatchError?
        let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
            while initialized < count {
                let result = pread(descriptor, buffer.baseAddress! + initialized, count - initialized, place + initialized)
                if result > 0 { initialized += result } else if result == 0 { return } else if errno != EINTR {
                    failure = .system("A stored file cannot be read", path: path)
                    return
                }
            }
        }
        if let failure { throw failure }
        return bytes
    }
}
