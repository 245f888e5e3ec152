// An open regular file that is read by offset.
//
// Opened without blocking on pipes, checked to be a regular file, closed when the last reference goes. `identity` names
// this version of the file's contents as far as the file system can tell: whoever validated a file and closes it (a
// registered adapter holds no descriptor) compares identities when it opens the file again.

import BerthCore
import Glibc

/// A descriptor of a regular file, opened for reading. `pread` needs no shared position, so any thread may read.
final class ReadableFile: Sendable {
    /// What tells one version of a file from another without reading it.
    struct Identity: Sendable, Hashable {
        let device: UInt64, inode: UInt64
        let bytes: Int
        let modifiedSeconds: Int, modifiedNanoseconds: Int

        init(_ status: stat) {
            device = UInt64(status.st_dev)
            inode = UInt64(status.st_ino)
            bytes = Int(status.st_size)
            modifiedSeconds = status.st_mtim.tv_sec
            modifiedNanoseconds = status.st_mtim.tv_nsec
        }

        /// Of the regular file that is at `path` now, symbolic links followed; nil where there is none.
        init?(at path: String) {
            var status = stat()
            guard stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return nil }
            self.init(status)
        }

        /// Text that goes into digests.
        var text: String { "\(device):\(inode):\(bytes):\(modifiedSeconds).\(modifiedNanoseconds)" }
    }

    let path: String
    let descriptor: Int32
    let identity: Identity
    var bytes: Int { identity.bytes }

    /// Opens `path`; symbolic links are followed (model caches are full of them).
    /// `flags` are added to those of opening.
    init(path: String, flags: Int32 = 0) throws(StoreError) {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | flags)
        guard descriptor >= 0 else { throw .system(.unreadable, "cannot open \(fileName(path))", path: path) }
        do throws(StoreError) {
            identity = try Self.identity(of: descriptor, path: path)
        } catch {
            close(descriptor)
            throw error
        }
        self.path = path
        self.descriptor = descriptor
    }

    deinit { close(descriptor) }

    private static func identity(of descriptor: Int32, path: String) throws(StoreError) -> Identity {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw .system(.io, "cannot examine \(fileName(path))", path: path) }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw StoreError(.notRegular, "\(fileName(path)) is not a regular file", path: path)
        }
        return Identity(status)
    }

    /// Whether nobody has written to the file since it was opened, as far as the file system can tell.
    var isUnchanged: Bool {
        var status = stat()
        return fstat(descriptor, &status) == 0 && Identity(status) == identity
    }

    /// Fills `buffer` with the bytes from `offset`. Throws `.truncated` where the file ends earlier, which also happens
    /// when someone shortened it after it was opened.
    func read(at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws(StoreError) {
        var done = 0
        while done < buffer.count {
            let count = pread(descriptor, buffer.baseAddress! + done, buffer.count - done, offset + done)
            if count > 0 {
                done += count
            } else if count == 0 {
                throw StoreError(.truncated, "\(fileName(path)) ends at byte \(offset + done), \(buffer.count - done) bytes early", path: path)
            } else if errno != EINTR {
                throw .system(.io, "cannot read \(fileName(path))", path: path)
            }
        }
    }

    func read(at offset: Int, count: Int) throws(StoreError) -> [UInt8] {
        var failure: StoreError?
        let result = [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
            do throws(StoreError) {
                try read(at: offset, into: UnsafeMutableRawBufferPointer(buffer))
                initialized = count
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
        return result
    }

    /// The whole of a file that must not be larger than `limit` bytes.
    static func contents(of path: String, limit: Int) throws(StoreError) -> [UInt8] { try ReadableFile(path: path).contents(limit: limit) }

    /// The whole file, which must not be larger than `limit` bytes.
    func contents(limit: Int) throws(StoreError) -> [UInt8] {
        guard bytes <= limit else {
            throw StoreError(.limit, "\(fileName(path)) has \(ByteSize(bytes: bytes)), more than \(ByteSize(bytes: limit))", path: path)
        }
        return try read(at: 0, count: bytes)
    }

    /// A JSON file that must be an object.
    static func configuration(_ path: String, limit: Int = Limits.configurationFileBytes) throws(StoreError) -> JSON {
        try ReadableFile(path: path).configuration(limit: limit)
    }

    /// The file as JSON, which must be an object.
    func configuration(limit: Int = Limits.configurationFileBytes) throws(StoreError) -> JSON {
        let bytes = try contents(limit: limit)
        let json: JSON
        do {
            json = try JSON(parsing: bytes)
        } catch {
            throw StoreError(.malformed, "\(fileName(path)) is not JSON: \(error)", path: path, cause: error)
        }
        guard json.object != nil else { throw StoreError(.malformed, "\(fileName(path)) is \(json.kind), not an object", path: path) }
        return json
    }
}

/// The names of the folders in `directory`, sorted; hidden ones left out.
func subfolders(of directory: String) throws(StoreError) -> [String] {
    try fileNames(in: directory).filter { name in
        var status = stat()
        return !name.hasPrefix(".") && stat("\(directory)/\(name)", &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }
}

/// All names in `directory` but `.` and `..`, sorted.
func fileNames(in directory: String) throws(StoreError) -> [String] {
    guard let stream = opendir(directory) else { throw .system(.unreadable, "cannot open \(fileName(directory))", path: directory) }
    defer { closedir(stream) }
    var names: [String] = []
    while let entry = readdir(stream) {
        let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
            pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
        }
        if name != ".", name != ".." { names.append(name) }
    }
    return names.sorted()
}
