// A small file that a daemon keeps for itself: what must outlive a restart.
//
// Written whole, to a partial file that is made durable and renamed, so that whoever reads finds the old contents or the new. Nothing is
// ever overwritten unread: a file that cannot be understood is set aside under another name, for people to look at.

import Glibc

/// One file of a directory, by name. A value; used by one thread at a time.
public struct StateFile: Sendable {
    public let directory: String
    public let name: String
    /// What it may have at most, in bytes.
    public let limit: Int
    private let operations: FileOperations

    public var path: String { "\(directory)/\(name)" }

    /// - Parameter isDurable: false for hints, which are not worth waiting for the disk.
    public init(directory: String, name: String, limit: Int, isDurable: Bool = true, operations: FileOperations = .system) {
        self.directory = directory
        self.name = name
        self.limit = limit
        var operations = operations
        if !isDurable { operations.synchronize = { _ in 0 } }
        self.operations = operations
    }

    /// The contents; nil where there is no such file.
    public func read() throws(StoreError) -> [UInt8]? {
        var status = stat()
        if stat(path, &status) != 0, errno == ENOENT || errno == ENOTDIR { return nil }
        return try ReadableFile.contents(of: path, limit: limit)
    }

    /// Replaces the contents. The directory is made where it is missing.
    public func write(_ bytes: [UInt8]) throws(StoreError) {
        try makeDirectory()
        let file = try WritableFile(directory: directory, name: name, bytes: bytes.count, operations: operations)
        try bytes.withUnsafeBytes { bytes in Result { () throws(StoreError) in try file.write(bytes, at: 0) } }.get()
        try file.commit()
    }

    /// Gives the file another name, which no file has, and returns it.
    public func setAside() throws(StoreError) -> String {
        for number in 1..<1000 {
            let other = "\(path).unreadable-\(number)"
            // A link fails where the name is taken; renaming would replace what has it.
            if link(path, other) == 0 {
                guard unlink(path) == 0 else { throw .system(.io, "cannot be set aside", path: path) }
                return other
            }
            guard errno == EEXIST else { break }
        }
        throw .system(.io, "cannot be set aside", path: path)
    }

    public func remove() { unlink(path) }

    /// Makes the directory and those above it. A new one is the owner's alone.
    private func makeDirectory() throws(StoreError) {
        for end in directory.indices.dropFirst() where directory[end] == "/" { mkdir(String(directory[..<end]), 0o755) }
        guard mkdir(directory, 0o700) == 0 else {
            if errno == EEXIST { return }
            throw .system(.io, "cannot make the directory", path: directory)
        }
        let above = open(directory + "/..", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        if above >= 0 {
            _ = operations.synchronize(above)
            close(above)
        }
    }
}
