// The daemon as it is shipped, with a real model, on sockets in a temporary directory.

import BerthClient
import BerthCore
import BerthLoop
import Glibc
import Logging
import Synchronization
import Testing

@testable import BerthServer

/// Log lines, from any thread.
private final class LineLog: Sendable {
    private let storage = Mutex<[String]>([])
    var lines: [String] { storage.withLock { $0 } }
    func append(_ line: String) { storage.withLock { $0.append(line) } }
}

final class RealDaemon: Sendable {
    let client: BerthClient
    let admin: BerthAdmin
    let directory: String
    private let control = Box<DaemonControl>()
    private let exitCode = Box<Int32>()
    private let log = LineLog()

    static let repository = #filePath.split(separator: "/").dropLast(3).reduce("") { $0 + "/" + $1 }
    static let demo = repository + "/Deploy/demo"

    /// Starts the daemon and waits until it is ready, or has ended. `configured` is the memory that a reload finds in the configuration.
    init(
        model: String = RealDaemon.demo, adapters: String? = RealDaemon.demo + "/adapters", cache: String? = nil, state: String? = nil,
        configured: Box<ByteSize>? = nil, _ change: (inout Configuration) -> Void = { _ in }
    ) async throws {
        var template = Array("/tmp/berth-system-XXXXXX".utf8CString)
        directory = template.withUnsafeMutableBufferPointer { String(cString: mkdtemp($0.baseAddress!)) }
        var configuration = Configuration()
        configuration.model = model
        configuration.adapters = adapters
        configuration.socket = directory + "/s"
        configuration.adminSocket = directory + "/a"
        configuration.cacheDirectory = cache ?? directory + "/cache"
        configuration.stateDirectory = state ?? directory + "/state"
        configuration.memory = ByteSize("256M")
        configuration.drainSeconds = 10
        change(&configuration)
        client = BerthClient(socketPath: configuration.socket)
        admin = BerthAdmin(socketPath: configuration.adminSocket)
        let final = configuration
        let logger = Logger(label: "system") { [log] _ in LineLogHandler(format: .journal, level: .debug) { log.append($0) } }
        _ = JoinableThread(name: "daemon") { [control, exitCode] in
            let reread: RereadConfiguration = { () throws(ConfigurationError) in
                var fresh = final
                if let size = configured?.current { fresh.memory = size }
                return fresh
            }
            exitCode.set(Daemon.run(final, environment: [:], logger: logger, reread: reread, handlesSignals: false, assemble: assembleModel, started: { control.set($0) }))
        }
        for _ in 0..<3000 {
            if exitCode.current != nil { return }
            if (try? await client.isReady()) == true { return }
            try await Task.sleep(nanoseconds: 10_000_000)
        }
        Issue.record("the daemon did not become ready: \(lines)")
    }

    var lines: [String] { log.lines }
    var code: Int32? { exitCode.current }

    func reload() { control.current?.reload() }

    /// Waits until a line of the log after the first `count` lines contains `text`, and returns it.
    func line(_ text: String, after count: Int = 0) async throws -> String? {
        for _ in 0..<3000 {
            if let line = lines.dropFirst(count).first(where: { $0.contains(text) }) { return line }
            try await Task.sleep(nanoseconds: 10_000_000)
        }
        return nil
    }

    func terminate() { control.current?.terminate() }

    func stop() {
        terminate()
        #expect(exitCode.wait() == 0, "\(lines)")
    }
}
