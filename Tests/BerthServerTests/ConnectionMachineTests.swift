import BerthCore
import BerthHTTP
import HTTPTypes
import Testing

@testable import BerthServer

private func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

private let ok = Response(json: [:])

extension ConnectionMachine.Action {
    fileprivate var text: String? {
        if case .write(let bytes) = self { return String(decoding: bytes, as: UTF8.self) }
        return nil
    }
    fileprivate var request: IncomingRequest? {
        if case .handle(let request) = self { return request }
        return nil
    }
}

@Suite struct ConnectionMachineTests {
    @Test func pipelineIsAnsweredOneByOne() {
        var machine = ConnectionMachine(now: 0)
        let first = machine.received(bytes("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET /3 HTTP/1.1\r\nHost: a\r\n\r\n"), now: 0)
        #expect(first.compactMap(\.request).map(\.head.target) == ["/1"])
        #expect(machine.respond(7, ok, now: 0).isEmpty, "an answer to another exchange")
        let second = machine.respond(1, ok, now: 0)
        #expect(second[0].text?.contains("Connection: keep-alive") == true && second[1].request?.head.target == "/2")
        #expect(machine.respond(1, ok, now: 0).isEmpty, "an exchange is answered once")
        let third = machine.respond(2, ok, now: 0)
        #expect(third.count == 2 && third[0].text?.contains("Connection: close") == true && third[1] == .closeAfterWrites)
        #expect(machine.received(bytes("GET /4 HTTP/1.1\r\nHost: a\r\n\r\n"), now: 0).isEmpty)
    }

    /// No body is kept for somebody who will not be answered.
    @Test func callersAreRefusedAtTheHead() {
        func machine() -> ConnectionMachine { ConnectionMachine(now: 0, isUpload: { $0.path == "/upload" }, admission: { $0.path == "/open" ? .success(nil) : .failure(.missingKey) }) }
        for start in ["POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4000000", "POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked", "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4"] {
            var machine = machine()
            let actions = machine.received(bytes(start + "\r\n\r\n"), now: 0)
            #expect(actions.count == 2 && actions[0].text?.hasPrefix("HTTP/1.1 401") == true && actions[0].text?.contains("Connection: close") == true && actions[1] == .linger, "\(start)")
            #expect(machine.received(bytes("abcdGET / HTTP/1.1\r\nHost: a\r\n\r\n"), now: 0).isEmpty, "nothing after it is a request")
        }
        var other = machine()
        #expect(other.received(bytes("POST /open HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx"), now: 0).compactMap(\.request).count == 1)
        var bare = machine()
        #expect(bare.received(bytes("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), now: 0).compactMap(\.request).count == 1, "whoever answers it refuses it, and the connection goes on")
    }

    /// The room is there from the head until the body is taken, and no longer.
    @Test func bodiesTakeTheirRoom() {
        var taken = 0
        let room = BodyLease(bytes: 4) { change in
            guard taken + change <= 10 else { return false }
            taken += change
            return true
        }
        taken = 4
        #expect(room.grow(to: 3) && taken == 4 && room.grow(to: 10) && taken == 10 && !room.grow(to: 11) && room.bytes == 10)
        func machine() -> ConnectionMachine {
            ConnectionMachine(now: 0, admission: { _ in
                taken = 2
                return .success(BodyLease(bytes: 2) { change in
                    guard taken + change <= 10 else { return false }
                    taken += change
                    return true
                })
            })
        }
        let head = bytes("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        var whole = machine()
        #expect(whole.received(head + bytes("6\r\nabcdef\r\n"), now: 0).isEmpty && taken == 6)
        var request = whole.received(bytes("0\r\n\r\n"), now: 0).compactMap(\.request).first
        #expect(taken == 6 && request?.body.count == 6)
        request = nil
        #expect(taken == 0, "nothing of it stays behind")
        var large = machine()
        #expect(large.received(head + bytes("b\r\nabcdefghijk\r\n"), now: 0).first?.text?.hasPrefix("HTTP/1.1 503") == true && taken == 0)
        var left = machine()
        _ = left.received(head + bytes("3\r\nabc\r\n"), now: 0)
        #expect(taken == 3 && left.ended() == [.close] && taken == 0, "whoever leaves gives it back")
    }

    @Test func timeouts() {
        let second: UInt64 = 1_000_000_000
        var header = ConnectionMachine(now: 0)
        #expect(header.received(bytes("GET / HT"), now: 10 * second).isEmpty)
        #expect(header.received(bytes("TP/1.1\r\nX: "), now: 14 * second).isEmpty, "trickling does not extend the deadline")
        #expect(header.tick(now: 14 * second).isEmpty)
        let late = header.tick(now: 15 * second)
        #expect(late[0].text?.hasPrefix("HTTP/1.1 408") == true && late[1] == .linger)
        #expect(header.tick(now: 18 * second) == [.close])

        var body = ConnectionMachine(now: 0)
        _ = body.received(bytes("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc"), now: 0)
        #expect(body.tick(now: 29 * second).isEmpty)
        #expect(body.tick(now: 30 * second)[0].text?.hasPrefix("HTTP/1.1 408") == true)

        var idle = ConnectionMachine(now: 0)
        #expect(idle.tick(now: Limits.idleNanoseconds - 1).isEmpty)
        #expect(idle.tick(now: Limits.idleNanoseconds) == [.close])

        var busy = ConnectionMachine(now: 0)
        _ = busy.received(bytes("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), now: 0)
        #expect(busy.tick(now: 1000 * second).isEmpty, "an answer may take its time")
    }

    @Test func aClientThatLeavesAbandonsItsRequest() {
        var machine = ConnectionMachine(now: 0)
        _ = machine.received(bytes("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), now: 0)
        #expect(machine.ended() == [.abandon(exchange: 1), .close])
        #expect(machine.respond(1, ok, now: 0).isEmpty && machine.stream(1, [1]).isEmpty && machine.ended().isEmpty)
    }

    @Test func streams() {
        var machine = ConnectionMachine(now: 0)
        _ = machine.received(bytes("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), now: 0)
        #expect(machine.beginStream(1, fields: [:])[0].text?.contains("Transfer-Encoding: chunked") == true)
        #expect(machine.respond(1, ok, now: 0).isEmpty, "the head is out")
        #expect(machine.stream(1, bytes("abc"))[0].text == "3\r\nabc\r\n")
        #expect(machine.endStream(1, now: 0)[0].text == "0\r\n\r\n")
        #expect(machine.isIdle)

        var old = ConnectionMachine(now: 0)
        _ = old.received(bytes("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"), now: 0)
        let head = old.beginStream(1, fields: [:])[0].text ?? ""
        #expect(!head.contains("chunked") && head.contains("Connection: close"))
        #expect(old.stream(1, bytes("abc"))[0].text == "abc")
        #expect(old.endStream(1, now: 0) == [.closeAfterWrites])
    }

    @Test func expectationIsMetBeforeTheBodyOnly() {
        let head = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
        var machine = ConnectionMachine(now: 0)
        #expect(machine.received(bytes(head), now: 0) == [.write(ResponseEncoder.continue)])
        var whole = ConnectionMachine(now: 0)
        #expect(whole.received(bytes(head + "ab"), now: 0).compactMap(\.text).isEmpty)
        var large = ConnectionMachine(now: 0)
        let refusal = large.received(bytes("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 100000000\r\n\r\n"), now: 0)
        #expect(refusal[0].text?.hasPrefix("HTTP/1.1 413") == true)
    }

    @Test func pipeliningIsBounded() {
        var machine = ConnectionMachine(now: 0)
        _ = machine.received(bytes("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), now: 0)
        #expect(machine.received([UInt8](repeating: 65, count: Limits.pipelinedBytes), now: 0).isEmpty)
        #expect(machine.received([65], now: 0) == [.pauseReading])
        // What piled up is no request: it is refused, and the rest is thrown away.
        let actions = machine.respond(1, ok, now: 0)
        #expect(actions.contains(.resumeReading) && actions.contains(.linger))
    }

    @Test func headHasNoBody() {
        var machine = ConnectionMachine(now: 0)
        _ = machine.received(bytes("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"), now: 0)
        let text = machine.respond(1, Response(json: ["a": 1]), now: 0)[0].text ?? ""
        #expect(text.contains("Content-Length: 7") && text.hasSuffix("\r\n\r\n"))
    }

    @Test func drainingEndsConnectionsWithTheirAnswer() {
        var machine = ConnectionMachine(now: 0)
        _ = machine.received(bytes("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), now: 0)
        machine.drain()
        #expect(machine.endIfIdle().isEmpty)
        #expect(machine.respond(1, ok, now: 0).last == .closeAfterWrites)
        var idle = ConnectionMachine(now: 0)
        #expect(idle.endIfIdle() == [.closeAfterWrites])
    }
}

@Suite struct RouterTests {
    private let router = Router([
        Route(.get, "/v1/models") { _ in }, Route(.get, "/v1/models/{id}") { _ in }, Route(.post, "/adapters/{name}/pin") { _ in },
    ])

    private func describe(_ method: HTTPRequest.Method, _ path: String) -> String {
        switch router.match(method, path: path[...]) {
        case .found(let route, let parameters): ([route.pattern] + parameters).joined(separator: " ")
        case .unknownPath: "unknown"
        case .wrongMethod(let allowed): allowed.map(\.rawValue).joined(separator: ",")
        }
    }

    @Test func matches() {
        #expect(describe(.get, "/v1/models") == "/v1/models")
        #expect(describe(.head, "/v1/models") == "/v1/models")
        #expect(describe(.get, "/v1/models/a%3ab") == "/v1/models/{id} a:b")
        #expect(describe(.get, "/v1/models/a%2Fb") == "/v1/models/{id} a/b")
        #expect(describe(.get, "/v1/models/a/b%2Fc/d") == "/v1/models/{id} a/b/c/d")
        #expect(describe(.post, "/adapters/x/pin") == "/adapters/{name}/pin x")
        #expect(describe(.post, "/adapters/x/pin/pin") == "/adapters/{name}/pin x/pin")
        #expect(describe(.post, "/adapters/pin") == "unknown")
        #expect(describe(.delete, "/v1/models") == "GET,HEAD")
        for path in ["/", "/v1", "/v1/models/", "/v1/models/%", "/v1/models/%zz", "/v1/models/%00", "/v1/models/%ff", "/v1/models/a//b", "/v1/models/a/", "/adapters%2Fx/pin", "*", "/V1/models"] {
            #expect(describe(.get, path) == "unknown", "\(path)")
        }
    }
}

@Suite struct UploadMachineTests {
    private func machine() -> ConnectionMachine { ConnectionMachine(now: 0) { $0.path == "/upload" } }
    private let head = "POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\n"

    @Test func anUploadIsGivenOnAsItArrives() {
        var machine = machine()
        let first = machine.received(bytes(head + "ab"), now: 0)
        #expect(first.count == 2 && first[0].request?.head.target == "/upload" && first[0].request?.body == [] && first[1] == .upload(exchange: 1, bytes("ab")))
        #expect(machine.received(bytes("cd"), now: 0) == [.upload(exchange: 1, bytes("cd"))])
        #expect(machine.received(bytes("efGET /next HTTP/1.1\r\nHost: a\r\n\r\n"), now: 0) == [.upload(exchange: 1, bytes("ef")), .uploadEnd(exchange: 1)])
        let answer = machine.respond(1, ok, now: 0)
        #expect(answer[0].text?.hasPrefix("HTTP/1.1 200") == true && answer[1].request?.head.target == "/next")
    }

    @Test func aPausedUploadIsNotReadFrom() {
        var machine = machine()
        _ = machine.received(bytes(head), now: 0)
        #expect(machine.pauseUpload(1, now: 0) == [.pauseReading])
        #expect(machine.pauseUpload(1, now: 0).isEmpty && machine.pauseUpload(7, now: 0).isEmpty)
        #expect(machine.received(bytes("abc"), now: 0).isEmpty, "what had been read is kept")
        #expect(machine.tick(now: Limits.bodyNanoseconds * 2).isEmpty, "the client is not who is slow")
        #expect(machine.resumeUpload(1, now: 0) == [.upload(exchange: 1, bytes("abc")), .resumeReading])
        #expect(machine.received(bytes("def"), now: 0).last == .uploadEnd(exchange: 1))
        #expect(machine.pauseUpload(1, now: 0).isEmpty, "it is over")
    }

    @Test func anUploadMayBeRefusedBeforeItsEnd() {
        var machine = machine()
        _ = machine.received(bytes(head + "a"), now: 0)
        _ = machine.pauseUpload(1, now: 0)
        let refusal = machine.respond(1, Response(APIError(.badRequest, "no")), now: 0)
        #expect(refusal[0].text?.contains("Connection: close") == true && Array(refusal[1...]) == [.resumeReading, .linger])
        #expect(machine.received(bytes("bcdef"), now: 0).isEmpty)
    }

    @Test func uploadsThatDoNotGetOnEnd() {
        let second: UInt64 = 1_000_000_000
        var quiet = machine()
        _ = quiet.received(bytes(head), now: 0)
        _ = quiet.received(bytes("a"), now: 20 * second)
        #expect(quiet.tick(now: 49 * second).isEmpty)
        let late = quiet.tick(now: 50 * second)
        #expect(late[0] == .abandon(exchange: 1) && late[1].text?.hasPrefix("HTTP/1.1 408") == true)
        var trickling = machine()
        _ = trickling.received(bytes("POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n"), now: 0)
        for step in 1...59 { #expect(trickling.received([65], now: UInt64(step) * 10 * second).count == 1) }
        #expect(trickling.tick(now: 599 * second).isEmpty)
        #expect(trickling.tick(now: 600 * second).first == .abandon(exchange: 1))
    }

    @Test func badFramesAndEndsAbandonTheUpload() {
        var bad = machine()
        _ = bad.received(bytes("POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"), now: 0)
        let refusal = bad.received(bytes("zz\r\n"), now: 0)
        #expect(refusal[0] == .abandon(exchange: 1) && refusal[1].text?.hasPrefix("HTTP/1.1 400") == true)
        var gone = machine()
        _ = gone.received(bytes(head), now: 0)
        #expect(gone.ended() == [.abandon(exchange: 1), .close])
        var finishing = machine()
        _ = finishing.received(bytes(head), now: 0)
        #expect(finishing.endIfIdle() == [.abandon(exchange: 1), .closeAfterWrites])
        var large = machine()
        #expect(large.received(bytes("POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 8000000\r\n\r\n"), now: 0).first?.request != nil, "more than other bodies")
        var tooLarge = machine()
        #expect(tooLarge.received(bytes("POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 300000000\r\n\r\n"), now: 0)[0].text?.hasPrefix("HTTP/1.1 413") == true)
    }

    @Test func headOfAStreamHasNoBody() {
        var machine = machine()
        _ = machine.received(bytes("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"), now: 0)
        #expect(machine.beginStream(1, fields: [:])[0].text?.contains("Transfer-Encoding: chunked") == true)
        #expect(machine.stream(1, [1, 2]).isEmpty && machine.endStream(1, now: 0).isEmpty && machine.isIdle)
    }
}
