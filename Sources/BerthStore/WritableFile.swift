// A file that appears under its name whole or not at all.
//
// Bytes go to a hidden partial file beside the target; `commit` makes them durable and renames. Whoever is killed
// half-way leaves a partial file, which the next writer finds and removes: a live writer holds a lock on its own. The
// system calls that can fail are passed in, so that tests can fail them.

import CLinux
import Glibc

/// The calls of writing, as the operating system means them or as a test does.
public struct FileOperations: Sendable {
    /// `pwrite`: bytes written, or -1 with `errno` set.
    public var write: @Sendable (_ descriptor: Int32, _ bytes: UnsafeRawBufferPointer, _ offset: Int) -> Int
    /// `fsync`: 0, or -1 with `errno` set.
    public var synchronize: @Sendable (_ descriptor: Int32) -> Int32
    /// `rename`: 0, or -1 with `errno` set.
    public var rename: @Sendable (_ from: String, _ to: String) -> Int32

    public static let system = FileOperations(
        write: { descriptor, bytes, offset in pwrite(descriptor, bytes.baseAddress, bytes.count, offset) },
        synchronize: { fsync($0) },
        rename: { Glibc.rename($0, $1) })
}

/// A file being written. Dropped without `commit`, it leaves nothing.
final class WritableFile {
    let target: String
    let partial: String
    private let directory: String
    private let descriptor: Int32
    private let operations: FileOperations
    private var isCommitted = false

    /// Creates the partial file of `directory/name` with room for `bytes`.
    init(directory: String, name: String, bytes: Int, operations: FileOperations) throws(StoreError) {
        self.directory = directory
        self.operations = operations
        target = "\(directory)/\(name)"
        var template = Array("\(directory)/.\(name).XXXXXX.partial".utf8CString)
        descriptor = mkostemps(&template, Int32(".partial".utf8.count), O_CLOEXEC)
        guard descriptor >= 0 else { throw .system(.io, "cannot create a file", path: directory) }
        partial = String(cString: template)
        flock(descriptor, LOCK_EX | LOCK_NB)
        // Find out now that the disk is too small; file systems that cannot say so (EOPNOTSUPP) find out later.
        if fallocate(descriptor, 0, 0, bytes) != 0, errno == ENOSPC || errno == EFBIG || errno == EDQUOT {
            throw .system(.io, "no room for \(bytes) bytes", path: directory)
        }
    }

    deinit {
        if !isCommitted { unlink(partial) }
        close(descriptor)
    }

    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(StoreError) {
        var done = 0
        while done < bytes.count {
            // Pieces, so that writing back starts while the next piece is still being prepared.
            let piece = UnsafeRawBufferPointer(rebasing: bytes[done..<min(bytes.count, done + 16 << 20)])
            let count = operations.write(descriptor, piece, offset + done)
            if count > 0 {
                sync_file_range(descriptor, offset + done, count, UInt32(BERTH_SYNC_FILE_RANGE_WRITE))
                done += count
            } else if count == 0 {
                throw StoreError(.io, "the disk took no more bytes", path: partial)
            } else if errno != EINTR {
                throw .system(.io, "cannot write", path: partial)
            }
        }
    }

    /// Makes the contents durable and gives the file its name.
    func commit() throws(StoreError) {
        guard operations.synchronize(descriptor) == 0 else { throw .system(.io, "cannot synchronize", path: partial) }
        guard operations.rename(partial, target) == 0 else { throw .system(.io, "cannot rename", path: target) }
        isCommitted = true
        flock(descriptor, LOCK_UN)
        let folder = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        if folder >= 0 {
            _ = operations.synchronize(folder)
            close(folder)
        }
    }

    /// Removes what killed writers left in `directory`.
    static func removeAbandoned(in directory: String) {
        for name in (try? fileNames(in: directory)) ?? [] where name.hasPrefix(".") && name.hasSuffix(".partial") {
            removeUnlessLocked("\(directory)/\(name)")
        }
    }

    /// Removes the file at `path` unless another process has it locked.
    static func removeUnlessLocked(_ path: String) {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
        guard descriptor >= 0 else { return }
        if flock(descriptor, LOCK_EX | LOCK_NB) == 0 { unlink(path) }
        close(descriptor)
    }
}
