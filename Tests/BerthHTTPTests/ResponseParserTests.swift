import BerthCore
import HTTPTypes
import Testing

@testable import BerthHTTP

/// Reads one response; returns its status, body and whether it is complete.
private func read(_ parser: inout ResponseParser, _ bytes: [UInt8]) throws(HTTPError) -> (head: ResponseHead?, body: [UInt8], isComplete: Bool) {
    var head: ResponseHead?
    var body: [UInt8] = []
    for byte in bytes {
        parser.feed(CollectionOfOne(byte))
        while let event = try parser.next() {
            switch event {
            case .head(let new): head = new
            case .body(let piece): body += piece
            case .end: return (head, body, true)
            }
        }
    }
    return (head, body, false)
}

@Suite struct ResponseParserTests {
    @Test func readsWhatTheEncoderWrites() throws {
        var parser = ResponseParser()
        let whole = ResponseEncoder.response(status: .notFound, fields: [.contentType: "application/json"], body: Array("{}".utf8), keepsAlive: true)
        let first = try read(&parser, whole)
        #expect(first.head?.status == .notFound)
        #expect(first.head?.fields[.contentType] == "application/json")
        #expect(first.head?.keepsAlive == true)
        #expect(first.body == Array("{}".utf8) && first.isComplete)

        let chunked = ResponseEncoder.head(status: .ok, fields: [:], framing: .chunked, keepsAlive: false)
            + ResponseEncoder.chunk(Array("0123456789abcdef-".utf8)) + ResponseEncoder.chunk([65]) + ResponseEncoder.lastChunk
        let second = try read(&parser, chunked)
        #expect(second.body == Array("0123456789abcdef-A".utf8) && second.isComplete && second.head?.keepsAlive == false)
    }

    @Test func interimResponsesAndHead() throws {
        var parser = ResponseParser()
        let result = try read(&parser, ResponseEncoder.continue + ResponseEncoder.response(status: .ok, fields: [:], body: [1, 2], keepsAlive: true))
        #expect(result.head?.status == .ok && result.body == [1, 2])
        parser.expectResponse(to: .head)
        let head = try read(&parser, ResponseEncoder.response(status: .ok, fields: [:], body: [1, 2], keepsAlive: true, omitsBody: true))
        #expect(head.isComplete && head.body.isEmpty && head.head?.fields[.contentLength] == "2")
    }

    @Test func untilClose() throws {
        var parser = ResponseParser()
        let result = try read(&parser, ResponseEncoder.head(status: .ok, fields: [:], framing: .untilClose, keepsAlive: true) + [7, 8])
        #expect(result.body == [7, 8] && !result.isComplete && result.head?.keepsAlive == false)
        #expect(try parser.finish() == .end)
        #expect(try parser.finish() == nil)
    }

    @Test func truncation() throws {
        for text in ["HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"] {
            var parser = ResponseParser()
            _ = try read(&parser, Array(text.utf8))
            #expect(throws: HTTPError(.truncated, "The connection ended inside a response.")) { try parser.finish() }
        }
    }

    @Test(arguments: ["HTTP/2 200\r\n", "HTTP/1.1 20\r\n", "HTTP/1.1 2000 x\r\n", "ICY 200 OK\r\n", "HTTP/1.1\r\n", "HTTP/1.1 200 OK\n"])
    func refused(_ text: String) {
        var parser = ResponseParser()
        #expect(throws: HTTPError.self) { _ = try read(&parser, Array(text.utf8)) }
    }

    @Test func requestEncoderIsReadByTheRequestParser() {
        let bytes = RequestEncoder.request(method: .post, target: "/v1/completions", fields: [.contentType: "application/json"], body: Array("{}".utf8))
            + RequestEncoder.request(method: .get, target: "/v1/models", keepsAlive: false)
        #expect(parse(bytes).messages == [
            .init(method: "POST", target: "/v1/completions", body: Array("{}".utf8), keepsAlive: true),
            .init(method: "GET", target: "/v1/models", body: [], keepsAlive: false),
        ])
    }
}

@Suite struct ServerSentEventTests {
    @Test func roundTrip() throws {
        let bytes = SSEEncoder.event(["text": "a\nb", "n": 1]) + SSEEncoder.event("two\nlines") + SSEEncoder.done
        var parser = SSEParser()
        #expect(try parser.feed(bytes).map(\.data) == ["{\"text\":\"a\\nb\",\"n\":1}", "two\nlines", "[DONE]"])
        var bytewise = SSEParser()
        #expect(try bytes.flatMap { try bytewise.feed([$0]) }.count == 3)
    }

    @Test func formsOfTheStandard() throws {
        var parser = SSEParser()
        let text = "\u{FEFF}data: a\r\n\r\n: comment\rdata:b\rdata\r\rdata\n\nevent: x\nid: 1\nretry: 2\ndata:  c\n\nevent: lost\n\nunknown: x\ndata: é\n\ndata: unfinished"
        #expect(try parser.feed(Array(text.utf8)) == [
            .init(data: "a"), .init(data: "b\n"), .init(data: ""), .init(name: "x", data: " c"), .init(data: "é"),
        ])
    }
}
