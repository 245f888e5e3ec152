// The request parser against hand-written messages: what is accepted, what is refused, and that cutting changes nothing.

import BerthCore
import HTTPTypes
import Testing

@testable import BerthHTTP

/// What one connection's bytes mean: complete requests, then possibly an error.
struct Transcript: Equatable, CustomStringConvertible {
    struct Message: Equatable {
        var method: String
        var target: String
        var body: [UInt8]
        var keepsAlive: Bool
    }

    var messages: [Message] = []
    var heads = 0
    var error: HTTPError?

    var description: String {
        "\(messages.map { "\($0.method) \($0.target) \(String(decoding: $0.body, as: UTF8.self).debugDescription) \($0.keepsAlive)" }) heads \(heads) error \(error?.message ?? "none")"
    }
}

func parse(_ bytes: [UInt8], cuts: [Int] = [], bodyLimit: Int = Limits.bodyBytes) -> Transcript {
    var parser = RequestParser(bodyLimit: bodyLimit)
    var transcript = Transcript()
    var head: RequestHead?
    var body: [UInt8] = []
    var start = 0
    for end in cuts + [bytes.count] {
        parser.feed(bytes[start..<end])
        start = end
        do {
            while let event = try parser.next() {
                switch event {
                case .head(let new):
                    head = new
                    transcript.heads += 1
                case .body(let piece): body += piece
                case .end:
                    transcript.messages.append(.init(method: head!.method.rawValue, target: head!.target, body: body, keepsAlive: head!.keepsAlive))
                    body = []
                }
            }
        } catch {
            transcript.error = error
            return transcript
        }
    }
    return transcript
}

func parse(_ text: String) -> Transcript { parse(Array(text.utf8)) }

@Suite struct RequestParserTests {
    @Test func simpleRequests() {
        let result = parse("GET /v1/models?x=1 HTTP/1.1\r\nHost: a\r\n\r\nPOST / HTTP/1.1\r\nhost:b\r\nContent-Length:  5 \r\n\r\nhello")
        #expect(result.error == nil)
        #expect(result.messages == [
            .init(method: "GET", target: "/v1/models?x=1", body: [], keepsAlive: true),
            .init(method: "POST", target: "/", body: Array("hello".utf8), keepsAlive: true),
        ])
    }

    @Test func chunkedBody() {
        let result = parse("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n6;x=\"y\"\r\n world\r\n0\r\nTrailer: 1\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(result.error == nil)
        #expect(result.messages.map(\.body) == [Array("hello world".utf8), []])
    }

    @Test func persistence() {
        func keeps(_ text: String) -> Bool? { parse(text).messages.first?.keepsAlive }
        #expect(keeps("GET / HTTP/1.1\r\nHost: a\r\n\r\n") == true)
        #expect(keeps("GET / HTTP/1.1\r\nHost: a\r\nConnection: foo, Close\r\n\r\n") == false)
        #expect(keeps("GET / HTTP/1.0\r\n\r\n") == false)
        #expect(keeps("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n") == true)
    }

    @Test func targets() {
        func target(_ text: String, method: String = "GET") -> String? { parse("\(method) \(text) HTTP/1.1\r\nHost: a\r\n\r\n").messages.first?.target }
        #expect(target("http://berth/v1/models") == "/v1/models")
        #expect(target("http://berth") == "/")
        #expect(target("HTTP://berth?x=1") == "/?x=1")
        #expect(target("*", method: "OPTIONS") == "*")
        for bad in ["*", "v1/models", "ftp://a/b", "http:///x", "/a#b", "/a\u{7F}", "/ä", "host:80"] { #expect(target(bad) == nil, "\(bad)") }
    }

    @Test func expectations() throws {
        var parser = RequestParser()
        parser.feed(Array("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 3\r\n\r\n".utf8))
        guard case .head(let head) = try parser.next() else { throw HTTPError(.malformed, "no head") }
        #expect(head.expectsContinue)
        #expect(try parser.next() == nil)
        #expect(parser.isInsideRequest)
        #expect(parse("POST / HTTP/1.1\r\nHost: a\r\nExpect: magic\r\n\r\n").error?.code == .unsupportedExpectation)
    }

    @Test(arguments: [
        // Smuggling: two readings of where the body ends.
        "Content-Length: 5\r\nTransfer-Encoding: chunked", "Content-Length: 5\r\nContent-Length: 6", "Content-Length: 5\r\nContent-Length: 5",
        "Content-Length: 5, 5", "Content-Length: +5", "Content-Length: -1", "Content-Length: 0x5", "Content-Length: 5 5", "Content-Length:",
        "Content-Length: 99999999999999999999999", "Transfer-Encoding: chunked, gzip", "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: xchunked", "Transfer-Encoding: \"chunked\"", "Transfer-Encoding:", "Content-Length : 5", "Content-Length\t: 5",
        "X: a\r\n folded", "X: a\r\n\tfolded", " Leading: space", "No colon here", ": no name", "X: nul\0", "X: bare\rcr", "X: del\u{7F}",
        "Host: second", "N\u{E9}: x", "X: a\nY: b",
    ])
    func refusedFields(_ field: String) {
        let result = parse("POST / HTTP/1.1\r\nHost: a\r\n\(field)\r\n\r\nhello")
        #expect(result.messages.isEmpty)
        #expect(result.error?.code == .malformed, "\(result)")
    }

    @Test(arguments: [
        ("GET / HTTP/2.0\r\n", HTTPError.Code.unsupportedVersion), ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", .unsupportedVersion),
        ("GET / HTTP/1.2\r\n", .unsupportedVersion), ("GET / http/1.1\r\n", .malformed), ("GET /\r\n", .malformed), ("GET  / HTTP/1.1\r\n", .malformed),
        ("GET / HTTP/1.1 \r\n", .malformed), (" GET / HTTP/1.1\r\n", .malformed), ("G\u{1}T / HTTP/1.1\r\n", .malformed), ("GET / HTTP/1.1\n", .malformed),
        ("\r\n\r\nGET / HTTP/1.1\r\n", .malformed), ("\u{16}\u{03}\u{01}\n", .malformed), ("GET / HTTP/1.1\r\n\r\n", .malformed),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", .unsupportedCoding),
        ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", .malformed),
    ])
    func refusedHeads(_ text: String, _ code: HTTPError.Code) { #expect(parse(text).error?.code == code) }

    @Test(arguments: [
        "x\r\n", "\r\n", "-1\r\n", "0x5\r\nhello", "5 \r\nhello", "5\nhello", "5\r\nhelloworld\r\n", "5\r\nhello\n", "FFFFFFFFFFFFFFFFF\r\n",
        "5;\u{1}\r\nhello\r\n", "0\r\nBad Trailer\r\n\r\n", "0\r\n\n",
    ])
    func refusedChunks(_ body: String) {
        let result = parse("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + body)
        #expect(result.messages.isEmpty)
        #expect(result.error?.code == .malformed, "\(result)")
    }

    @Test func sizes() {
        let start = "GET / HTTP/1.1\r\nHost: a\r\n"
        #expect(parse(start + "X: " + String(repeating: "x", count: Limits.headerBytes) + "\r\n\r\n").error?.code == .headTooLarge)
        // A header that never ends is refused while it arrives.
        #expect(parse(start + "X: " + String(repeating: "x", count: Limits.headerBytes)).error?.code == .headTooLarge)
        #expect(parse("GET /" + String(repeating: "x", count: Limits.headerBytes)).error?.code == .headTooLarge)
        #expect(parse(start + String(repeating: "X: y\r\n", count: Limits.headerFields) + "\r\n").error?.code == .headTooLarge)
        #expect(parse(start + String(repeating: "X: y\r\n", count: Limits.headerFields - 1) + "\r\n").error == nil)
        // A body is refused at its announcement.
        #expect(parse("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n") == Transcript(error: HTTPError(.bodyTooLarge, "The body is larger than 4.0 MiB.")))
        #expect(parse(Array("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n".utf8), bodyLimit: 10).error?.code == .bodyTooLarge)
        #expect(parse(Array("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n0123456789".utf8), bodyLimit: 10).messages.count == 1)
    }

    @Test func errorsComeAfterTheRequestsBeforeThem() {
        let result = parse("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n\r\nrubbish\r\n")
        #expect(result.messages.map(\.target) == ["/1", "/2"])
        #expect(result.error?.code == .malformed)
    }

    @Test func aFailedParserStaysFailed() {
        var parser = RequestParser()
        parser.feed(Array("rubbish\r\n".utf8))
        #expect(throws: HTTPError.self) { try parser.next() }
        parser.feed(Array("GET / HTTP/1.1\r\nHost: a\r\n\r\n".utf8))
        #expect(throws: HTTPError.self) { try parser.next() }
    }
}
