// Our parser against NIOHTTP1's (llhttp) on seeded mutations of real requests.
//
// The rule: whatever we accept, llhttp reads in the same way (same requests, same bodies), so that nothing behind or in front
// of us can be led to see another message than we do. We may refuse more than it does, and where we do, the refusal has to
// be one of the deliberate ones.

import BerthCore
import NIOCore
import NIOEmbedded
import NIOHTTP1
import Testing

@testable import BerthHTTP

private func parseWithNIO(_ bytes: [UInt8]) -> Transcript {
    let channel = EmbeddedChannel(handler: ByteToMessageHandler(HTTPRequestDecoder(leftOverBytesStrategy: .dropBytes)))
    defer { _ = try? channel.finish(acceptAlreadyClosed: true) }
    var transcript = Transcript()
    do {
        try channel.writeInbound(ByteBuffer(bytes: bytes))
    } catch {
        transcript.error = HTTPError(.malformed, "\(error)")
    }
    var head: HTTPRequestHead?
    var body: [UInt8] = []
    while let part = try? channel.readInbound(as: HTTPServerRequestPart.self) {
        switch part {
        case .head(let new):
            head = new
            transcript.heads += 1
        case .body(let buffer): body += Array(buffer.readableBytesView)
        case .end:
            transcript.messages.append(.init(method: head!.method.rawValue, target: head!.uri, body: body, keepsAlive: head!.isKeepAlive))
            body = []
        }
    }
    return transcript
}

private let seeds: [String] = [
    "GET /v1/models HTTP/1.1\r\nHost: a\r\n\r\n",
    "POST /v1/completions HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n{\"a\":\"b\\n\"}",
    "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nA;e=1\r\n0123456789\r\n0\r\nT: u\r\n\r\n",
    "POST /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\nHost: b\r\n\r\n",
    "HEAD /health HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /health HTTP/1.1\r\nHost: c\r\nX: \u{E9}\r\n\r\n",
    "PUT /y HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\nAccept: */*\r\n\r\nhello\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
]

private let knownMethods: Set<String> = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "CONNECT", "TRACE", "SOURCE"]

private let fragments: [String] = [
    "\r\n", "\n", "\r", " ", "\t", "\0", ":", ";", ",", "0", "1", "5", "F", "-", "+", "chunked", "Content-Length: 4\r\n", "Content-Length: 0\r\n",
    "Transfer-Encoding: chunked\r\n", "Transfer-Encoding: gzip\r\n", "transfer-encoding:chunked\r\n", "Connection: close\r\n", "Connection: upgrade\r\nUpgrade: h2c\r\n",
    "HTTP/1.0", "HTTP/1.1", "HTTP/2.0", "GET / HTTP/1.1\r\nHost: z\r\n\r\n", "0\r\n\r\n", " folded\r\n", "X : y\r\n", "\u{FF}", "Host: q\r\n",
]

private func mutate(_ random: inout RandomSource) -> [UInt8] {
    var bytes = Array(seeds.randomElement(using: &random)!.utf8)
    if Int.random(in: 0..<3, using: &random) == 0 { bytes += Array(seeds.randomElement(using: &random)!.utf8) }
    for _ in 0..<Int.random(in: 0...3, using: &random) {
        let at = Int.random(in: 0...bytes.count, using: &random)
        switch Int.random(in: 0..<6, using: &random) {
        case 0: bytes.insert(contentsOf: Array(fragments.randomElement(using: &random)!.utf8), at: at)
        case 1:
            // At the start of a line, where it hurts most.
            let starts = bytes.indices.filter { $0 > 0 && bytes[$0 - 1] == 0x0A }
            if let start = starts.randomElement(using: &random) { bytes.insert(contentsOf: Array(fragments.randomElement(using: &random)!.utf8), at: start) }
        case 2: if at < bytes.count { bytes.remove(at: at) }
        case 3: if at < bytes.count { bytes[at] = UInt8.random(in: 0...255, using: &random) }
        case 4: bytes.removeSubrange(at..<min(bytes.count, at + Int.random(in: 0...8, using: &random)))
        default: bytes.insert(contentsOf: bytes[at..<min(bytes.count, at + Int.random(in: 0...20, using: &random))], at: at)
        }
    }
    return bytes
}

@Suite struct DifferentialTests {
    @Test func whatWeAcceptNIOReadsAlike() {
        var compared = 0
        for seed in UInt64(0)..<3000 {
            var random = RandomSource(seed: seed)
            let bytes = mutate(&random)
            let ours = parse(bytes)
            let theirs = parseWithNIO(bytes)
            let shown = String(decoding: bytes, as: UTF8.self).debugDescription
            // Deliberate differences: we ignore Upgrade (NIO stops parsing there), and a tab after a Content-Length is
            // optional white space to us (RFC 9110, section 5.6.3), an error to llhttp.
            if shown.contains("Upgrade:") || shown.contains("\\t\\r\\n") { continue }
            // llhttp stops after a request that does not keep the connection; so does our server.
            let last = ours.messages.firstIndex { !$0.keepsAlive }.map { $0 + 1 } ?? ours.messages.count
            for (index, message) in ours.messages.prefix(last).enumerated() {
                // llhttp has a list of methods; to us an unknown one is a token that no route takes.
                if !knownMethods.contains(message.method) { break }
                guard index < theirs.messages.count else {
                    Issue.record("seed \(seed): we accept a request that NIO does not: \(shown)\nours \(ours)\ntheirs \(theirs)")
                    break
                }
                var other = theirs.messages[index]
                if other.target.lowercased().hasPrefix("http") { other.target = message.target }
                // "keep-alive" and "close" together: we close, NIO goes by the first.
                if !message.keepsAlive { other.keepsAlive = false }
                compared += 1
                if message != other { Issue.record("seed \(seed): \(shown)\nours \(ours)\ntheirs \(theirs)") }
            }
        }
        #expect(compared > 1500, "the mutations must leave enough to compare")
    }

    @Test func cuttingChangesNothing() {
        for seed in UInt64(10_000)..<11_000 {
            var random = RandomSource(seed: seed)
            let bytes = mutate(&random)
            let whole = parse(bytes)
            let cuts = (0..<Int.random(in: 0...12, using: &random)).map { _ in Int.random(in: 0...bytes.count, using: &random) }.sorted()
            for cut in [cuts, Array(0..<bytes.count)] {
                let pieces = parse(bytes, cuts: cut)
                #expect(pieces == whole, "seed \(seed)")
            }
        }
    }
}
