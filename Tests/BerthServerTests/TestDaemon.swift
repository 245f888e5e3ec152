// A daemon on sockets in a temporary directory, and a blocking client for it.

import BerthCore
import BerthHTTP
import BerthLoop
import Glibc
import HTTPTypes
import Logging
import Synchronization
import Testing

@testable import BerthServer

/// Set once by one thread, awaited by another.
final class Box<Value: Sendable>: Sendable {
    private let value = Mutex<Value?>(nil)
    func set(_ new: Value) { value.withLock { $0 = new } }
    var current: Value? { value.withLock { $0 } }
    /// Polls; nil after ten seconds.
    func wait() -> Value? {
        for _ in 0..<10_000 {
            if let current { return current }
            usleep(1000)
        }
        return nil
    }
}

/// Polls until `condition` holds; false after ten seconds.
func eventually(_ condition: () -> Bool) -> Bool {
    for _ in 0..<5_000 {
        if condition() { return true }
        usleep(2000)
    }
    return false
}

final class TestDaemon: Sendable {
    let socket: String
    let adminSocket: String
    private let directory: String
    private let control = Box<DaemonControl>()
    private let exitCode = Box<Int32>()
    private let scripted = Box<ScriptedGeneration>()
    let log = Mutex<[String]>([])

    var generation: ScriptedGeneration { scripted.wait()! }

    /// - Parameters:
    ///   - tenants: where there are some, every user of the machine may connect.
    ///   - loading: called on the loader's thread before the model is there.
    ///   - reread: what a reload finds; nil is what there was.
    init(
        drainSeconds: Int = 5, environment: [String: String] = [:], state: String? = nil, adapters: [String] = ["alpha", "beta:2"],
        tenants: TenantConfiguration? = nil,
        loading: @escaping @Sendable (AssemblyContext) throws -> Void = { _ in },
        reread: @escaping @Sendable () -> Result<TenantConfiguration, ConfigurationError>? = { nil }
    ) {
        var template = Array("/tmp/berth-server-XXXXXX".utf8CString)
        directory = template.withUnsafeMutableBufferPointer { String(cString: mkdtemp($0.baseAddress!)) }
        socket = directory + "/s"
        adminSocket = directory + "/a"
        var configuration = Configuration()
        configuration.model = "/models/tiny"
        configuration.socket = socket
        configuration.adminSocket = adminSocket
        configuration.drainSeconds = drainSeconds
        configuration.stateDirectory = state
        if let tenants {
            configuration.tenants = tenants
            configuration.socketMode = 0o666
            chmod(directory, 0o755)
        }
        let final = configuration
        let logger = Logger(label: "test") { _ in LineLogHandler(format: .journal, level: .debug) { line in self.log.withLock { $0.append(line) } } }
        _ = JoinableThread(name: "daemon") {
            let code = Daemon.run(final, environment: environment, logger: logger, reread: { () throws(ConfigurationError) in
                var fresh = final
                if let tenants = reread() { fresh.tenants = try tenants.get() }
                return fresh
            }, handlesSignals: false, assemble: { configuration, context in
                try loading(context)
                let generation = ScriptedGeneration(deliver: context.deliver)
                self.scripted.set(generation)
                var defaults = SamplingFields()
                defaults.topK = 20
                return ModelService(
                    description: ModelDescription(name: configuration.baseName, contextLength: 2000, vocabularySize: 257, defaults: defaults, created: 5),
                    text: ByteText(), generation: generation, adapters: ScriptedAdapters(adapters))
            }, started: { self.control.set($0) })
            self.exitCode.set(code)
        }
        _ = control.wait()
    }

    func waitUntilReady() -> TestDaemon {
        #expect(eventually { TestClient(socket)?.get("/health/ready").status == .ok })
        return self
    }

    func terminate() { control.wait()?.terminate() }
    func reload() { control.wait()?.reload() }
    func waitForExit() -> Int32? { exitCode.wait() }

    /// Ends the daemon and checks that it does so cleanly.
    func stop() {
        terminate()
        #expect(waitForExit() == 0)
        #expect(access(socket, F_OK) != 0, "the socket is removed")
        rmdir(directory)
    }
}

struct Answer {
    var status: HTTPResponse.Status
    var fields: HTTPFields
    var body: [UInt8]
    var keepsAlive: Bool

    var text: String { String(decoding: body, as: UTF8.self) }
    var json: JSON { (try? JSON(parsing: body)) ?? .null }
    var errorCode: String? { json["error"]?["code"]?.string }
    var errorMessage: String { json["error"]?["message"]?.string ?? "" }
    /// The data of the events of a stream.
    var events: [String] {
        var parser = SSEParser()
        return ((try? parser.feed(body)) ?? []).map(\.data)
    }
    var chunks: [JSON] { events.filter { $0 != "[DONE]" }.map { (try? JSON(parsing: $0)) ?? .null } }
    var streamedText: String { chunks.map { $0["choices"]?.array?.first?["text"]?.string ?? $0["choices"]?.array?.first?["delta"]?["content"]?.string ?? "" }.joined() }
}

/// One connection of a client that blocks.
final class TestClient {
    let descriptor: Int32
    private var parser = ResponseParser()

    init?(_ path: String) {
        descriptor = Glibc.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        var timeout = timeval(tv_sec: 10, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
        let connected = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
        }
        if connected != 0 { return nil }
    }

    deinit { Glibc.close(descriptor) }

    /// False where the server has closed.
    @discardableResult
    func send(_ bytes: [UInt8]) -> Bool {
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress! + sent, bytes.count - sent, Int32(MSG_NOSIGNAL)) }
            if count <= 0 { return false }
            sent += count
        }
        return true
    }

    @discardableResult
    func send(_ text: String) -> Bool { send(Array(text.utf8)) }

    /// Of every request from now on.
    var fields: HTTPFields = [:]

    func request(_ method: HTTPRequest.Method, _ target: String, _ body: JSON? = nil, raw: [UInt8]? = nil) {
        parser.expectResponse(to: method)
        send(RequestEncoder.request(method: method, target: target, fields: fields + [HTTPField(name: .contentType, value: "application/json")], body: raw ?? body?.utf8))
    }

    /// For what is sent as bytes: the method that the next answer belongs to.
    func expect(_ method: HTTPRequest.Method) { parser.expectResponse(to: method) }

    /// The next whole answer; status 0 where the connection ends without one.
    func answer() -> Answer {
        var answer = Answer(status: .init(code: 0), fields: [:], body: [], keepsAlive: false)
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        do {
            while true {
                while let event = try parser.next() {
                    switch event {
                    case .head(let head):
                        answer.status = head.status
                        answer.fields = head.fields
                        answer.keepsAlive = head.keepsAlive
                    case .body(let bytes): answer.body += bytes
                    case .end: return answer
                    }
                }
                let count = read(descriptor, &buffer, buffer.count)
                guard count > 0 else {
                    _ = try parser.finish()
                    return answer
                }
                parser.feed(buffer[..<count])
            }
        } catch { return answer }
    }

    /// Whether something can be read, or the server has closed.
    func isAnswered(within milliseconds: Int32) -> Bool {
        var request = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        return poll(&request, 1, milliseconds) > 0
    }

    /// Reads until at least one byte has come.
    func someBytes() -> [UInt8] {
        var buffer = [UInt8](repeating: 0, count: 4096)
        let count = read(descriptor, &buffer, buffer.count)
        return Array(buffer.prefix(max(0, count)))
    }

    func get(_ target: String) -> Answer {
        request(.get, target)
        return answer()
    }

    func post(_ target: String, _ body: JSON) -> Answer {
        request(.post, target, body)
        return answer()
    }
}

/// One request on a connection of its own.
func get(_ socket: String, _ target: String) -> Answer { TestClient(socket)!.get(target) }
func post(_ socket: String, _ target: String, _ body: JSON) -> Answer { TestClient(socket)!.post(target, body) }
