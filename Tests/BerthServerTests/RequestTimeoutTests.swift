// How long a client will wait, from its header to the answer.

import BerthClient
import BerthCore
import BerthHTTP
import BerthLoop
import HTTPTypes
import Testing

@testable import BerthServer

@Suite struct RequestTimeoutTests {
    private func post(_ socket: String, timeouts: [String], _ body: JSON) -> Answer {
        let client = TestClient(socket)!
        var fields: HTTPFields = [.contentType: "application/json"]
        for timeout in timeouts { fields.append(HTTPField(name: .requestTimeout, value: timeout)) }
        client.expect(.post)
        client.send(RequestEncoder.request(method: .post, target: "/v1/completions", fields: fields, body: body.utf8))
        return client.answer()
    }

    @Test func theHeaderBecomesADeadline() throws {
        let daemon = TestDaemon().waitUntilReady()
        defer { daemon.stop() }
        for (timeout, seconds) in [("30", 30.0), ("2.5", 2.5), ("86400", 86_400)] {
            let before = Loop.monotonicNanoseconds
            #expect(post(daemon.socket, timeouts: [timeout], ["prompt": "hello", "max_tokens": 2]).status == .ok)
            let deadline = try #require(daemon.generation.submitted.last?.deadline)
            let start = deadline - UInt64(seconds * 1e9)
            #expect(before <= start && start <= Loop.monotonicNanoseconds)
        }
        _ = post(daemon.socket, timeouts: [], ["prompt": "hello", "max_tokens": 2])
        #expect(daemon.generation.submitted.last!.deadline == nil)
        let count = daemon.generation.submitted.count
        for timeouts in [["0"], ["-1"], ["1e3"], ["nan"], ["inf"], ["86401"], ["99999999999999999999"], [""], ["."], ["1."], ["30 s"], ["1", "2"]] {
            let answer = post(daemon.socket, timeouts: timeouts, ["prompt": "hello"])
            #expect(answer.status == .badRequest && answer.json["error"]?["message"]?.string?.contains("X-Request-Timeout") == true, "\(timeouts)")
        }
        #expect(daemon.generation.submitted.count == count)
    }

    /// On the real engine: an answer that takes too long ends with 503 and says when to come back.
    @Test func whatTakesTooLongIsEnded() async throws {
        let daemon = try await RealDaemon()
        defer { daemon.stop() }
        let body: JSON = ["prompt": "1 =", "max_tokens": 100, "ignore_eos": true, "temperature": 0]
        let socket = daemon.directory + "/s"
        let late = post(socket, timeouts: ["0.001"], body)
        #expect(late.status == .serviceUnavailable && late.json["error"]?["code"] == "deadline")
        #expect(late.fields[.retryAfter].flatMap { Int($0) } ?? 0 >= 1)
        #expect(post(socket, timeouts: ["60"], body).status == .ok)
    }
}
