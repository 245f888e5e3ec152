// A server that says what the test wrote down: for each connection, it reads one request and sends a list of pieces.

import Glibc
import Synchronization

/// Listens on a socket in a temporary directory for as long as it lives.
final class ScriptedServer: Sendable {
    enum Step: Sendable {
        case send(String)
        /// Waits until the client closes its side.
        case waitForClose
    }

    let path: String
    private let directory: String
    private let listener: Int32
    private let steps: [Step]
    private let received = Mutex<[String]>([])
    private let closedByClient = Mutex(0)

    /// The requests read so far, as text.
    var requests: [String] { received.withLock { $0 } }
    /// Connections that ended while the script was waiting for that.
    var closedConnections: Int { closedByClient.withLock { $0 } }

    init(_ steps: [Step]) {
        var template = Array("/tmp/berth-client-XXXXXX".utf8CString)
        directory = template.withUnsafeMutableBufferPointer { String(cString: mkdtemp($0.baseAddress!)) }
        path = directory + "/s"
        self.steps = steps
        listener = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let bound = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(listener, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
        }
        precondition(bound == 0 && listen(listener, 64) == 0)
        var thread = pthread_t()
        pthread_create(&thread, nil, { context in
            Unmanaged<ScriptedServer>.fromOpaque(context!).takeRetainedValue().accept()
            return nil
        }, Unmanaged.passRetained(self).toOpaque())
        pthread_detach(thread)
    }

    /// Stops listening, like a daemon that was killed.
    func leaveSocket() { shutdown(listener, Int32(SHUT_RDWR)) }

    func stop() {
        shutdown(listener, Int32(SHUT_RDWR))
        unlink(path)
        rmdir(directory)
    }

    private func accept() {
        while true {
            let connection = Glibc.accept(listener, nil, nil)
            guard connection >= 0 else { return }
            serve(connection)
            close(connection)
        }
    }

    private func serve(_ connection: Int32) {
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        var request: [UInt8] = []
        // Every request of these tests fits one socket buffer, headers and body.
        repeat {
            let count = recv(connection, &buffer, buffer.count, request.isEmpty ? 0 : Int32(MSG_DONTWAIT))
            if count <= 0 { break }
            request += buffer[..<count]
        } while true
        received.withLock { $0.append(String(decoding: request, as: UTF8.self)) }
        for step in steps {
            switch step {
            case .send(let text):
                _ = Array(text.utf8).withUnsafeBytes { send(connection, $0.baseAddress!, $0.count, Int32(MSG_NOSIGNAL)) }
            case .waitForClose:
                while recv(connection, &buffer, buffer.count, 0) > 0 {}
                closedByClient.withLock { $0 += 1 }
            }
        }
    }
}

/// A whole response with a JSON body.
func response(_ status: String, _ body: String) -> ScriptedServer.Step {
    .send("HTTP/1.1 \(status)\r\nContent-Type: application/json\r\nContent-Length: \(body.utf8.count)\r\nConnection: close\r\n\r\n\(body)")
}

/// The head of an event stream.
let streamHead = ScriptedServer.Step.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")

/// One event in a chunk of its own.
func event(_ data: String) -> ScriptedServer.Step {
    let text = "data: \(data)\n\n"
    return .send("\(String(text.utf8.count, radix: 16))\r\n\(text)\r\n")
}

let streamEnd = ScriptedServer.Step.send("0\r\n\r\n")

func response(_ body: String) -> ScriptedServer.Step { response("200 OK", body) }
