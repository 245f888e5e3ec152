// The daemon's own small files: whole, durable, and never overwritten unread.

import BerthCore
import Glibc
import Synchronization
import Testing

@testable import BerthStore

@Suite struct StateFileTests {
    private let folder = TemporaryFolder()

    @Test func isWrittenWholeInDirectoriesThatItMakes() throws {
        let file = StateFile(directory: folder.file("a/b"), name: "list.json", limit: 100)
        #expect(try file.read() == nil)
        try file.write([1, 2, 3])
        try file.write([4])
        #expect(try file.read() == [4] && fileNames(in: folder.file("a/b")) == ["list.json"])
        var status = stat()
        #expect(stat(folder.file("a/b"), &status) == 0 && status.st_mode & 0o777 == 0o700)
        try file.write(Array(repeating: 0, count: 101))
        #expect(failure { () throws(StoreError) in try file.read() }?.code == .limit)
        file.remove()
        #expect(try file.read() == nil)
    }

    /// The file and then the directory that names it are on the disk before a change is reported as done.
    @Test func theDirectoryIsSynchronisedAfterTheRename() throws {
        final class Calls: Sendable { let list = Mutex<[String]>([]) }
        let calls = Calls()
        var operations = FileOperations.system
        operations.synchronize = { descriptor in
            var status = stat()
            fstat(descriptor, &status)
            calls.list.withLock { $0.append(status.st_mode & S_IFMT == S_IFDIR ? "directory" : "file") }
            return 0
        }
        operations.rename = { from, to in
            calls.list.withLock { $0.append("rename") }
            return rename(from, to)
        }
        try StateFile(directory: folder.path, name: "x", limit: 10, operations: operations).write([1])
        #expect(calls.list.withLock { $0 } == ["file", "rename", "directory"])
        try StateFile(directory: folder.path, name: "y", limit: 10, isDurable: false, operations: operations).write([1])
        #expect(calls.list.withLock { $0 }.count == 4)
    }

    @Test func aFailedWriteLeavesWhatWasThere() throws {
        try StateFile(directory: folder.path, name: "x", limit: 10).write([1])
        var operations = FileOperations.system
        operations.synchronize = { _ in
            errno = EIO
            return -1
        }
        let error = failure { () throws(StoreError) in try StateFile(directory: folder.path, name: "x", limit: 10, operations: operations).write([2]) }
        #expect(error?.code == .io)
        #expect(try StateFile(directory: folder.path, name: "x", limit: 10).read() == [1] && fileNames(in: folder.path) == ["x"])
    }

    @Test func whatIsSetAsideReplacesNothing() throws {
        let file = StateFile(directory: folder.path, name: "x", limit: 10)
        for content in [1, 2, 3] as [UInt8] {
            try file.write([content])
            #expect(try file.setAside() == folder.file("x.unreadable-\(content)"))
        }
        #expect(try file.read() == nil && ReadableFile.contents(of: folder.file("x.unreadable-2"), limit: 10) == [2])
        #expect(failure { () throws(StoreError) in try file.setAside() } != nil)
    }
}
