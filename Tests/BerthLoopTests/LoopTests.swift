import BerthCore
import Glibc
import Synchronization
import Testing

@testable import BerthLoop

/// A directory that is removed with its contents.
final class TemporaryDirectory {
    let path: String
    init() {
        var template = Array("/tmp/berth-test-XXXXXX".utf8CString)
        path = template.withUnsafeMutableBufferPointer { String(cString: mkdtemp($0.baseAddress!)) }
    }
    deinit {
        if let directory = opendir(path) {
            while let entry = readdir(directory) {
                let name = withUnsafePointer(to: &entry.pointee.d_name) { $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) } }
                if name != ".", name != ".." { unlink(path + "/" + name) }
            }
            closedir(directory)
        }
        rmdir(path)
    }
}

/// A plain blocking client.
final class Client {
    let descriptor: Int32
    init?(_ path: String) {
        descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        if withAddress(path, { connect(descriptor, $0, $1) }) != 0 { return nil }
    }
    func send(_ text: String) { _ = text.withCString { Glibc.write(descriptor, $0, strlen($0)) } }
    func receive(_ limit: Int = 1 << 16) -> [UInt8] {
        var buffer = [UInt8](repeating: 0, count: limit)
        let count = read(descriptor, &buffer, limit)
        return Array(buffer.prefix(max(0, count)))
    }
    deinit { Glibc.close(descriptor) }
}

/// Stops the loop when a test hangs, so that it fails instead.
func run(_ loop: Loop, seconds: UInt64 = 10) {
    let guardTimer = Timer(loop)
    guardTimer.start(afterNanoseconds: seconds * 1_000_000_000) {
        Issue.record("the loop did not finish")
        loop.stop()
    }
    loop.run()
}

@Suite struct LoopTests {
    @Test func directoriesSayThatTheyChange() throws {
        let directory = TemporaryDirectory()
        let loop = try Loop()
        var calls = 0
        let watcher = try DirectoryWatcher(loop, path: directory.path) {
            calls += 1
            loop.stop()
        }
        let writer = Timer(loop)
        writer.start(afterNanoseconds: 5_000_000) { close(open(directory.path + "/new", O_CREAT | O_WRONLY, 0o600)) }
        run(loop)
        #expect(calls > 0)
        watcher.close()
        #expect(throws: LoopError.self) { _ = try DirectoryWatcher(loop, path: directory.path + "/nowhere") {} }
        loop.close()
    }

    @Test func timers() throws {
        let loop = try Loop()
        var calls: [String] = []
        let once = Timer(loop)
        once.start(afterNanoseconds: 5_000_000) { calls.append("once") }
        let often = Timer(loop)
        often.start(afterNanoseconds: 10_000_000, repeatNanoseconds: 10_000_000) {
            calls.append("often")
            if calls.count == 3 { loop.stop() }
        }
        run(loop)
        #expect(calls == ["once", "often", "often"])
        loop.close()
    }

    @Test func signals() throws {
        let loop = try Loop()
        var hangUps = 0
        let watcher = try SignalWatcher(loop, signal: SIGUSR1) {
            hangUps += 1
            loop.stop()
        }
        kill(getpid(), SIGUSR1)
        run(loop)
        #expect(hangUps == 1)
        watcher.close()
        loop.close()
    }

    @Test func mailboxDeliversEverythingInOrder() throws {
        let loop = try Loop()
        var received: [Int] = []
        let mailbox = try Mailbox<Int>(loop, capacity: 100_000) { messages in
            received += messages
            if received.count == 40_000 { loop.stop() }
        }
        let threads = Mutex<Int>(0)
        for thread in 0..<4 {
            JoinableThread(name: "poster") {
                for index in 0..<10_000 { #expect(mailbox.post(thread * 10_000 + index)) }
                threads.withLock { $0 += 1 }
            }.join()
        }
        run(loop)
        #expect(received.count == 40_000)
        for thread in 0..<4 { #expect(received.filter { $0 / 10_000 == thread } == Array(thread * 10_000..<(thread + 1) * 10_000)) }
        mailbox.close()
        #expect(!mailbox.post(1) && !mailbox.isOpen)
        loop.close()
    }

    @Test func mailboxIsBounded() throws {
        let loop = try Loop()
        let mailbox = try Mailbox<Int>(loop, capacity: 2) { _ in loop.stop() }
        #expect(mailbox.post(1) && mailbox.post(2) && !mailbox.post(3))
        run(loop)
        #expect(mailbox.post(4))
        loop.close()
        #expect(!mailbox.post(5))
    }

    @Test func workComesBack() throws {
        let loop = try Loop()
        var sum = 0
        let main = pthread_self()
        for index in 0..<20 {
            loop.queueWork({ pthread_equal(main, pthread_self()) == 0 ? index : -1000 }, completion: { sum += $0 })
        }
        loop.run()
        #expect(sum == 190)
        loop.close()
    }
}

@Suite struct ConnectionTests {
    @Test func echoAndPeer() throws {
        let directory = TemporaryDirectory()
        let path = directory.path + "/s"
        let loop = try Loop()
        let listener = try Listener(loop, path: path, mode: 0o600)
        var status = stat()
        #expect(lstat(path, &status) == 0 && status.st_mode & 0o777 == 0o600)
        var ended = 0
        listener.start(onConnection: { connection in
            #expect(connection.peer?.userID == getuid() && connection.peer?.processID == getpid())
            connection.onRead = { connection.write(Array($0)) }
            connection.onEnd = { error in
                #expect(error == nil)
                ended += 1
                connection.close()
            }
            connection.onClosed = { loop.stop() }
            connection.startReading()
        }, onError: { Issue.record("\($0)") })
        let echoed = Mutex<[UInt8]>([])
        let thread = JoinableThread(name: "client") {
            let client = Client(path)
            client?.send("hello")
            let bytes = client?.receive() ?? []
            echoed.withLock { $0 = bytes }
        }
        run(loop)
        thread.join()
        #expect(echoed.withLock { $0 } == Array("hello".utf8) && ended == 1)
        loop.close()
        #expect(lstat(path, &status) != 0, "the socket's file is removed")
    }

    @Test func socketFiles() throws {
        let directory = TemporaryDirectory()
        let path = directory.path + "/s"
        let loop = try Loop()
        let first = try Listener(loop, path: path, mode: 0o600)
        #expect(throws: LoopError(message: "another process listens on \(path)")) { try Listener(loop, path: path, mode: 0o600) }
        // A stale file: bound once, listened on by nobody.
        let stale = directory.path + "/stale"
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        _ = withAddress(stale) { bind(descriptor, $0, $1) }
        Glibc.close(descriptor)
        let second = try Listener(loop, path: stale, mode: 0o666)
        // A file that is no socket stays.
        let file = directory.path + "/file"
        Glibc.close(open(file, O_CREAT | O_RDWR, 0o600))
        #expect(throws: LoopError(message: "\(file) exists and is no socket")) { try Listener(loop, path: file, mode: 0o600) }
        #expect(throws: LoopError.self) { try Listener(loop, path: directory.path + "/" + String(repeating: "x", count: 120), mode: 0o600) }
        #expect(throws: LoopError.self) { try Listener(loop, path: directory.path + "/missing/s", mode: 0o600) }
        // A file that was replaced belongs to someone else.
        unlink(path)
        Glibc.close(open(path, O_CREAT | O_RDWR, 0o600))
        first.close()
        #expect(access(path, F_OK) == 0)
        second.close()
        loop.close()
    }

    @Test func backpressureIsCountedAndDrains() throws {
        var pair: [Int32] = [0, 0]
        #expect(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &pair) == 0)
        let loop = try Loop()
        let connection = try Connection(loop, descriptor: pair[0])
        let piece = [UInt8](repeating: 7, count: 100_000)
        var drained = false
        for _ in 0..<20 { connection.write(piece) }
        #expect(connection.queuedBytes > 1_000_000)
        connection.onDrain = { drained = true }
        connection.onClosed = { loop.stop() }
        connection.closeAfterWrites()
        let peer = pair[1]
        let total = Mutex<Int>(0)
        let thread = JoinableThread(name: "reader") {
            var buffer = [UInt8](repeating: 0, count: 1 << 16)
            while case let count = read(peer, &buffer, buffer.count), count > 0 { total.withLock { $0 += count } }
        }
        run(loop)
        thread.join()
        #expect(total.withLock { $0 } == 2_000_000 && connection.queuedBytes == 0)
        #expect(!drained, "closing after the last write takes the place of the drain callback")
        Glibc.close(peer)
        loop.close()
    }

    @Test func aPausedConnectionNoticesItsPeerLeaving() throws {
        var pair: [Int32] = [0, 0]
        #expect(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &pair) == 0)
        let loop = try Loop()
        let connection = try Connection(loop, descriptor: pair[0])
        #expect(!connection.isPeerGone)
        Glibc.close(pair[1])
        #expect(connection.isPeerGone)
        var error: LoopError?
        connection.onEnd = {
            error = $0
            loop.stop()
        }
        connection.write([1])
        run(loop)
        #expect(error != nil)
        loop.close()
    }

    @Test func closingInsideACallback() throws {
        var pair: [Int32] = [0, 0]
        #expect(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &pair) == 0)
        let loop = try Loop()
        let connection = try Connection(loop, descriptor: pair[0])
        for _ in 0..<10 { connection.write([UInt8](repeating: 1, count: 100_000)) }
        connection.onRead = { _ in
            connection.close()
            connection.write([1])
            connection.close()
        }
        connection.onEnd = { _ in Issue.record("closed by its owner: no end is reported") }
        var closed = 0
        connection.onClosed = { closed += 1 }
        connection.startReading()
        _ = write(pair[1], "x", 1)
        loop.run()
        #expect(closed == 1)
        Glibc.close(pair[1])
        loop.close()
    }
}
