import BerthCore
import Foundation
import Testing

@testable import BerthClient

@Suite struct BerthClientTests {
    private func text(_ text: String, finish: String = "null") -> String {
        #"{"id":"c","choices":[{"index":0,"text":"\#(text)","finish_reason":\#(finish)}]}"#
    }

    @Test func completesAndReadsUsageAndLogprobs() async throws {
        let body = #"""
            {"id":"cmpl-1","model":"m","choices":[{"index":0,"text":" two","finish_reason":"stop",
             "logprobs":{"tokens":[" two"],"token_logprobs":[-0.5],"top_logprobs":[{" two":-0.5," three":-1.5}],"text_offset":[0]}}],
             "usage":{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4}}
            """#
        let server = ScriptedServer([response(body)])
        defer { server.stop() }
        var request = CompletionRequest(model: "m", prompt: "one", options: SamplingOptions(maxTokens: 1, temperature: 0))
        request.options.logprobs = 2
        request.options.priority = -2
        request.options.stop = ["\n"]
        let answer = try await BerthClient(socketPath: server.path, apiKey: "k").complete(request)
        #expect(answer.text == " two")
        #expect(answer.choices[0].finishReason == "stop")
        #expect(answer.usage?.promptTokens == 3)
        #expect(answer.choices[0].logprobs.map(\.text) == [" two"])
        #expect(answer.choices[0].logprobs.map(\.logprob) == [-0.5])
        #expect(answer.choices[0].logprobs.map(\.alternatives) == [[" two": -0.5, " three": -1.5]])
        let sent = try #require(server.requests.first)
        #expect(sent.hasPrefix("POST /v1/completions HTTP/1.1\r\n"))
        #expect(sent.contains("Authorization: Bearer k\r\n") || sent.contains("authorization: Bearer k\r\n"))
        let json = try JSON(parsing: String(sent.components(separatedBy: "\r\n\r\n")[1]))
        #expect(json == ["model": "m", "prompt": "one", "logprobs": 2, "max_tokens": 1, "temperature": 0.0, "stop": ["\n"], "priority": -2])
    }

    @Test func streamsPiecesInOrderAndEnds() async throws {
        let server = ScriptedServer([
            streamHead, event(text("a")), event(text("é")), event(text("", finish: #""length""#)),
            event(#"{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}"#), event("[DONE]"), streamEnd,
        ])
        defer { server.stop() }
        var text = ""
        var finish: String?
        var usage: TokenUsage?
        for try await chunk in try await BerthClient(socketPath: server.path).stream(CompletionRequest(prompt: "x")) {
            text += chunk.text
            finish = chunk.finishReason ?? finish
            usage = chunk.usage ?? usage
        }
        #expect(text == "aé")
        #expect(finish == "length")
        #expect(usage?.completionTokens == 2)
    }

    @Test func chatReadsDeltas() async throws {
        let server = ScriptedServer([
            streamHead, event(#"{"choices":[{"index":0,"delta":{"role":"assistant","content":"He"},"finish_reason":null}]}"#),
            event(#"{"choices":[{"index":0,"delta":{"content":"y"},"finish_reason":"stop"}]}"#), event("[DONE]"), streamEnd,
        ])
        defer { server.stop() }
        var text = ""
        for try await chunk in try await BerthClient(socketPath: server.path).stream(ChatRequest(messages: [.user("hi")])) { text += chunk.text }
        #expect(text == "Hey")
        #expect(server.requests[0].contains(#""messages":[{"role":"user","content":"hi"}]"#))
    }

    @Test func refusalsCarryTheDaemonsWords() async throws {
        let server = ScriptedServer([response("404 Not Found", #"{"error":{"message":"no model \"x\"","type":"invalid_request_error","param":"model","code":"model_not_found"}}"#)])
        defer { server.stop() }
        await #expect(throws: BerthClientError.refused(.init(status: 404, message: "no model \"x\"", type: "invalid_request_error", parameter: "model", code: "model_not_found"))) {
            _ = try await BerthClient(socketPath: server.path).complete(CompletionRequest(model: "x", prompt: "y"))
        }
    }

    @Test func anErrorInsideAStreamIsThrown() async throws {
        let server = ScriptedServer([streamHead, event(text("a")), event(#"{"error":{"message":"draining","code":"draining"}}"#), streamEnd])
        defer { server.stop() }
        let stream = try await BerthClient(socketPath: server.path).stream(CompletionRequest(prompt: "y"))
        var iterator = stream.makeAsyncIterator()
        #expect(try await iterator.next(isolation: nil)?.text == "a")
        await #expect(throws: BerthClientError.refused(.init(status: 200, message: "draining", code: "draining"))) {
            _ = try await iterator.next(isolation: nil)
        }
    }

    @Test func aStreamCutShortIsAnError() async throws {
        let server = ScriptedServer([streamHead, event(text("a"))])
        defer { server.stop() }
        await #expect(throws: BerthClientError.self) {
            for try await _ in try await BerthClient(socketPath: server.path).stream(CompletionRequest(prompt: "y")) {}
        }
    }

    private func failure(_ path: String) async -> BerthClientError? {
        do {
            _ = try await BerthClient(socketPath: path).models()
            return nil
        } catch { return error }
    }

    /// Whoever reads the error is told what to do.
    @Test func nobodyAtTheSocketIsAnError() async throws {
        let missing = await failure("/tmp/berth-no-such-socket")
        #expect(missing == .unreachable(socket: "/tmp/berth-no-such-socket", .missing))
        #expect(missing?.description.contains("berthd --model") == true && missing?.description.contains("BERTH_SOCKET") == true)
        #expect(await failure("/dev/null/berth") == .unreachable(socket: "/dev/null/berth", .missing))
        #expect(await failure("/dev/null") == .unreachable(socket: "/dev/null", .notASocket))
        let long = String(repeating: "x", count: 200)
        #expect(await failure(long) == .unreachable(socket: long, .pathTooLong(limit: 107)))
        let ended = ScriptedServer([])
        ended.leaveSocket()
        defer { ended.stop() }
        #expect(await failure(ended.path) == .unreachable(socket: ended.path, .nobodyListens))
        #expect(BerthClientError.unreachable(socket: "s", .nobodyListens).description.contains("berthd --model"))
        // Whoever runs the tests may be allowed everything.
        #expect(UnixConnection.reason(EACCES, "s") == .notPermitted && UnixConnection.reason(EAGAIN, "s") == .busy)
    }

    @Test func anotherProgramAtTheSocketIsAnError() async throws {
        for answer in ["SSH-2.0-OpenSSH\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", ""] {
            let server = ScriptedServer([.send(answer)])
            defer { server.stop() }
            await #expect(throws: BerthClientError.self) { _ = try await BerthClient(socketPath: server.path).models() }
        }
    }

    @Test func cancellationClosesTheConnection() async throws {
        let server = ScriptedServer([streamHead, event(text("a")), .waitForClose])
        defer { server.stop() }
        let task = Task {
            for try await chunk in try await BerthClient(socketPath: server.path).stream(CompletionRequest(prompt: "y")) {
                #expect(chunk.text == "a")
                withUnsafeCurrentTask { $0?.cancel() }
            }
        }
        await #expect(throws: BerthClientError.cancelled) { try await task.value }
        try await untilTrue { server.closedConnections == 1 }
    }

    @Test func leavingTheLoopClosesTheConnection() async throws {
        let server = ScriptedServer([streamHead, event(text("a")), .waitForClose])
        defer { server.stop() }
        for try await _ in try await BerthClient(socketPath: server.path).stream(CompletionRequest(prompt: "y")) { break }
        try await untilTrue { server.closedConnections == 1 }
    }

    @Test func manyStreamsShareTheProcess() async throws {
        let server = ScriptedServer([streamHead, event(text("a")), event("[DONE]"), streamEnd])
        defer { server.stop() }
        let client = BerthClient(socketPath: server.path)
        let texts = try await withThrowingTaskGroup(of: String.self) { group in
            for _ in 0..<100 {
                group.addTask {
                    var text = ""
                    for try await chunk in try await client.stream(CompletionRequest(prompt: "y")) { text += chunk.text }
                    return text
                }
            }
            return try await group.reduce(into: [String]()) { $0.append($1) }
        }
        #expect(texts == Array(repeating: "a", count: 100))
    }

    @Test func readyIsFalseWhileTheModelLoads() async throws {
        let loading = ScriptedServer([response("503 Service Unavailable", #"{"error":{"message":"loading"}}"#)])
        defer { loading.stop() }
        #expect(try await BerthClient(socketPath: loading.path).isReady() == false)
        let ready = ScriptedServer([response(#"{"status":"ready"}"#)])
        defer { ready.stop() }
        #expect(try await BerthClient(socketPath: ready.path).isReady())
    }

    /// Polls a condition that another thread makes true; fails after five seconds.
    private func untilTrue(_ condition: () -> Bool) async throws {
        for _ in 0..<500 {
            if condition() { return }
            try await Task.sleep(nanoseconds: 10_000_000)
        }
        Issue.record("the condition did not become true")
    }
}
