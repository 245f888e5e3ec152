// One request and its response on a connection of their own.

import BerthCore
import BerthHTTP
import HTTPTypes
import Synchronization

/// A request that has been sent and whose answer is read on demand. Used by one task at a time.
final class Exchange: Sendable {
    private let connection: UnixConnection
    // Mutex rather than isolation: a stream may be handed from task to task, but never read by two at once.
    private let parser: Mutex<ResponseParser>
    let head: ResponseHead

    /// Connects, sends the request and waits for the status line and the fields of the answer. The body is `body` or `form`.
    init(
        _ socketPath: String, _ method: HTTPRequest.Method, _ path: String, body: JSON? = nil, form: FileForm? = nil, apiKey: String? = nil
    ) async throws(BerthClientError) {
        connection = try await UnixConnection(path: socketPath)
        var fields = HTTPFields()
        if let apiKey { fields[.authorization] = "Bearer \(apiKey)" }
        if body != nil { fields[.contentType] = "application/json" }
        if let form {
            fields[.contentType] = form.contentType
            fields[.contentLength] = String(form.bytes)
        }
        let bytes = RequestEncoder.request(method: method, target: path, fields: fields, body: body?.utf8, keepsAlive: false)
        // A daemon that refuses early answers and closes before it has read everything: its answer is worth more than our write error.
        var writeError: BerthClientError?
        do throws(BerthClientError) {
            try await connection.write(bytes)
            try await form?.write(to: connection)
        } catch {
            if case .localFile = error { throw error }
            writeError = error
        }
        var parser = ResponseParser()
        parser.expectResponse(to: method)
        do {
            head = try await Self.readHead(&parser, connection)
        } catch {
            throw writeError ?? error
        }
        self.parser = Mutex(parser)
    }

    /// The next piece of the body; nil at its end.
    func nextBody() async throws(BerthClientError) -> [UInt8]? {
        while true {
            if let event = try advance(.next) {
                switch event {
                case .body(let bytes): return bytes
                case .end: return nil
                case .head: throw .unexpectedAnswer("a second response")
                }
            }
            let bytes = try await connection.read()
            if bytes.isEmpty {
                _ = try advance(.finish)
                return nil
            }
            parser.withLock { $0.feed(bytes) }
        }
    }

    /// Throws the daemon's refusal where the status is not 2xx.
    func requireSuccess() async throws(BerthClientError) {
        guard head.status.kind != .successful else { return }
        var refusal = BerthClientError.Refusal(status: head.status.code, json: try? JSON(parsing: await wholeBody()))
        refusal.retryAfterSeconds = head.fields[.retryAfter].flatMap { Int($0) }
        refusal.limit = head.fields[.berthLimit]
        throw .refused(refusal)
    }

    func wholeBody() async throws(BerthClientError) -> [UInt8] {
        var body: [UInt8] = []
        while let bytes = try await nextBody() { body += bytes }
        return body
    }

    func wholeJSON() async throws(BerthClientError) -> JSON {
        let bytes = try await wholeBody()
        do { return try JSON(parsing: bytes) } catch { throw .unexpectedAnswer("\(error)") }
    }

    /// A successful answer's body, as it is.
    static func data(_ socketPath: String, _ method: HTTPRequest.Method, _ path: String, body: JSON? = nil, apiKey: String? = nil) async throws(BerthClientError) -> [UInt8] {
        let exchange = try await Exchange(socketPath, method, path, body: body, apiKey: apiKey)
        try await exchange.requireSuccess()
        return try await exchange.wholeBody()
    }

    /// A successful answer's body, as JSON.
    static func json(_ socketPath: String, _ method: HTTPRequest.Method, _ path: String, body: JSON? = nil, apiKey: String? = nil) async throws(BerthClientError) -> JSON {
        let bytes = try await data(socketPath, method, path, body: body, apiKey: apiKey)
        do { return try JSON(parsing: bytes) } catch { throw .unexpectedAnswer("\(error)") }
    }

    private enum Step {
        case next, finish
    }

    private func advance(_ step: Step) throws(BerthClientError) -> ResponseParser.Event? {
        let result: Result<ResponseParser.Event?, HTTPError> = parser.withLock { parser in
            Result { () throws(HTTPError) in step == .next ? try parser.next() : try parser.finish() }
        }
        do { return try result.get() } catch { throw .unexpectedAnswer(error.message) }
    }

    private static func readHead(_ parser: inout ResponseParser, _ connection: UnixConnection) async throws(BerthClientError) -> ResponseHead {
        while true {
            do {
                if case .head(let head) = try parser.next() { return head }
            } catch { throw .unexpectedAnswer(error.message) }
            let bytes = try await connection.read()
            guard !bytes.isEmpty else { throw .connectionLost("the daemon closed the connection without an answer") }
            parser.feed(bytes)
        }
    }
}

extension BerthClientError.Refusal {
    /// Reads OpenAI's error shape; says so where the body has another.
    init(status: Int, json: JSON?) {
        let error = json?["error"]
        self.init(
            status: status, message: error?["message"]?.string ?? "the daemon answered with status \(status)", type: error?["type"]?.string,
            parameter: error?["param"]?.string, code: error?["code"]?.string)
    }
}
