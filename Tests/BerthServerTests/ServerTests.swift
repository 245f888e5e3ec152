// The daemon over real sockets, with a scripted model: routes, streams, and what clients do wrong.

import BerthCore
import BerthEngine
import BerthHTTP
import BerthLoop
import Glibc
import HTTPTypes
import Synchronization
import Testing

@testable import BerthServer

private func output(_ prompt: String, _ count: Int, adapter: String? = nil) -> String {
    ScriptedGeneration.output(prompt, adapter: adapter.flatMap { AdapterName($0) }, count: count)
}

@Suite struct InferenceTests {
    @Test func completions() {
        let daemon = TestDaemon().waitUntilReady()
        defer { daemon.stop() }
        let plain = post(daemon.socket, "/v1/completions", ["prompt": "hello", "max_tokens": 5])
        #expect(plain.status == .ok && plain.json["object"] == "text_completion" && plain.json["model"] == "tiny")
        #expect(plain.json["choices"]?.array?[0]["text"]?.string == output("hello", 5) && plain.json["choices"]?.array?[0]["finish_reason"] == "length")
        #expect(plain.json["usage"] == ["prompt_tokens": 6, "completion_tokens": 5, "total_tokens": 11, "prompt_tokens_details": ["cached_tokens": 0]])
        #expect(plain.json["id"]?.string?.hasPrefix("cmpl-") == true)

        let adapter = post(daemon.socket, "/v1/completions", ["model": "alpha", "prompt": "hello", "max_tokens": 5])
        #expect(adapter.json["choices"]?.array?[0]["text"]?.string == output("hello", 5, adapter: "alpha") && adapter.json["model"] == "alpha")
        #expect(post(daemon.socket, "/v1/completions", ["model": "base", "prompt": "hello"]).json["usage"]?["completion_tokens"] == 16)

        let many = post(daemon.socket, "/v1/completions", ["prompt": ["a", [98, 99]], "n": 2, "max_tokens": 3, "echo": true, "seed": 4])
        let choices = many.json["choices"]?.array ?? []
        #expect(choices.map { $0["index"]?.int } == [0, 1, 2, 3])
        #expect(choices.map { $0["text"]?.string } == ["a" + output("a", 3), "a" + output("a", 3), "bc" + output("bc", 3), "bc" + output("bc", 3)])
        #expect(many.json["usage"] == ["prompt_tokens": 4, "completion_tokens": 12, "total_tokens": 16, "prompt_tokens_details": ["cached_tokens": 0]])
        let seeds = daemon.generation.submitted.suffix(4).map(\.sampling.seed)
        #expect(seeds[seeds.startIndex] == 4 && seeds[seeds.startIndex] == seeds[seeds.startIndex + 2] && seeds[seeds.startIndex] != seeds[seeds.startIndex + 1])
        #expect(daemon.generation.submitted.last?.sampling.topK == 20, "the checkpoint's defaults apply")
    }

    @Test func logprobsAndEcho() {
        let daemon = TestDaemon().waitUntilReady()
        defer { daemon.stop() }
        let request: JSON = ["prompt": "ab", "max_tokens": 2, "echo": true, "logprobs": 1, "return_tokens_as_token_ids": true, "return_token_ids": true]
        let logprobs = post(daemon.socket, "/v1/completions", request).json["choices"]?.array?[0]
        #expect(logprobs?["logprobs"]?["tokens"]?.array?.prefix(3) == ["token_id:256", "token_id:97", "token_id:98"])
        #expect(logprobs?["logprobs"]?["token_logprobs"] == [nil, -0.5, -0.5, -0.5, -0.5])
        #expect(logprobs?["logprobs"]?["top_logprobs"]?.array?[1] == ["token_id:65": -1.0, "token_id:97": -0.5])
        #expect(logprobs?["prompt_token_ids"] == [256, 97, 98] && logprobs?["token_ids"]?.array?.count == 2)
        let prompt = post(daemon.socket, "/v1/completions", ["prompt": "ab", "max_tokens": 0, "echo": true, "logprobs": 0]).json
        #expect(prompt["choices"]?.array?[0]["text"] == "ab" && prompt["usage"]?["completion_tokens"] == 0)
    }

    @Test func streams() {
        let daemon = TestDaemon().waitUntilReady()
        defer { daemon.stop() }
        let answer = post(daemon.socket, "/v1/completions", ["prompt": "hello", "max_tokens": 20, "stream": true, "stream_options": ["include_usage": true]])
        #expect(answer.fields[.contentType] == "text/event-stream; charset=utf-8" && answer.events.last == "[DONE]")
        #expect(answer.streamedText == output("hello", 20))
        #expect(answer.chunks.count == 22, "one per token, the end, the usage")
        #expect(answer.chunks[20]["choices"]?.array?[0]["finish_reason"] == "length" && answer.chunks[21]["choices"] == [])
        #expect(answer.chunks[21]["usage"]?["completion_tokens"] == 20 && answer.chunks[0]["usage"] == JSON.null)

        let chat = post(daemon.socket, "/v1/chat/completions", ["messages": [["role": "user", "content": "hi"]], "max_tokens": 4, "stream": true, "logprobs": true, "top_logprobs": 1])
        let prompt = "user: hi\nassistant: "
        #expect(chat.streamedText == output(prompt, 4))
        #expect(chat.chunks.map { $0["choices"]?.array?[0]["delta"]?["role"]?.string } == ["assistant", nil, nil, nil, nil])
        #expect(chat.chunks[1]["choices"]?.array?[0]["logprobs"]?["content"]?.array?.count == 1)

        let two = post(daemon.socket, "/v1/completions", ["prompt": ["a", "b"], "max_tokens": 5, "stream": true])
        for (index, prompt) in ["a", "b"].enumerated() {
            let texts = two.chunks.compactMap { $0["choices"]?.array?[0] }.filter { $0["index"]?.int == index }.map { $0["text"]?.string ?? "" }
            #expect(texts.joined() == output(prompt, 5))
        }
        let old = TestClient(daemon.socket)!
        let body = #"{"prompt": "x", "max_tokens": 3, "stream": true}"#
        old.send("POST /v1/completions HTTP/1.0\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)")
        #expect(old.answer().streamedText == output("x", 3), "HTTP/1.0: until the end of the connection")
    }

    @Test func chats() {
        let daemon = TestDaemon().waitUntilReady()
        defer { daemon.stop() }
        let answer = post(daemon.socket, "/v1/chat/completions", ["messages": [["role": "user", "content": [["type": "text", "text": "hi"]]]], "max_tokens": 4])
        #expect(answer.json["object"] == "chat.completion" && answer.json["id"]?.string?.hasPrefix("chatcmpl-") == true)
        #expect(answer.json["choices"]?.array?[0]["message"] == ["role": "assistant", "content": .string(output("user: hi\nassistant: ", 4)), "refusal": nil])
        let refused = post(daemon.socket, "/v1/chat/completions", ["messages": [["role": "refused", "content": "x"]]])
        #expect(refused.status == .badRequest && refused.errorMessage.contains("template"))
    }

    @Test func otherRoutes() {
        let daemon = TestDaemon().waitUntilReady()
        defer { daemon.stop() }
        let client = TestClient(daemon.socket)!
        #expect(client.get("/v1/models").json["data"]?.array?.map { $0["id"]?.string } == ["tiny", "alpha", "beta:2"])
        #expect(client.get("/v1/models/beta%3A2").json["parent"] == "tiny")
        #expect(client.get("/v1/models/base").json["id"] == "tiny")
        #expect(client.get("/v1/models").status == .ok && client.get("/v1/models/").status == .notFound)
        for target in ["//v1/models", "/v1//models", "///v1///models"] { #expect(client.get(target).status == .ok, "\(target)") }
        client.send("POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\u{1}\u{2}\u{3}\u{4}")
        let zipped = client.answer()
        #expect(zipped.status == .unsupportedMediaType && zipped.json["error"]?["message"]?.string?.contains("'gzip'") == true)
        #expect(client.get("/v1/models/nope").errorCode == "model_not_found")
        #expect(client.post("/tokenize", ["prompt": "ab"]).json == ["tokens": [256, 97, 98], "count": 3, "max_model_len": 2000])
        #expect(client.post("/tokenize", ["messages": [["role": "u", "content": "a"]], "add_generation_prompt": false]).json["count"] == 5)
        #expect(client.post("/detokenize", ["tokens": [97, 98]]).json == ["prompt": "ab"])
        #expect(client.get("/health").status == .ok && client.get("/health/live").status == .ok && client.get("/version").json["version"] == "0.1.0")
        let wrong = client.get("/v1/completions")
        #expect(wrong.status == .methodNotAllowed && wrong.fields[.allow] == "POST")
        #expect(client.get("/nope").status == .notFound && client.get("/adapters").status == .notFound, "administration is on its own socket")
        client.request(.head, "/v1/models")
        let head = client.answer()
        #expect(head.status == .ok && head.body.isEmpty && head.fields[.contentLength] != "0")
        #expect(client.get("/v1/models").status == .ok, "all of it on one connection")
    }

    /// As other servers' clients send them: in bodies, in a path as segments or escaped.
    @Test func namesMayHaveSlashes() {
        let daemon = TestDaemon(adapters: ["org/french", "org/french/pin"]).waitUntilReady()
        defer { daemon.stop() }
        let client = TestClient(daemon.socket)!, admin = TestClient(daemon.adminSocket)!
        for path in ["org/french", "org%2Ffrench", "org%2ffrench"] {
            #expect(client.get("/v1/models/\(path)").json["id"] == "org/french")
            #expect(admin.post("/adapters/\(path)/pin", ["pinned": true]).json["name"] == "org/french")
        }
        #expect(admin.post("/adapters/org/french/pin/pin", [:]).json["name"] == "org/french/pin")
        for path in ["org", "org//french", "/org/french", "org/french/", "org/../org/french", "org%2F"] { #expect(client.get("/v1/models/\(path)").status == .notFound, "\(path)") }
        #expect(client.get("/v1/models/org%2F..%2Ffrench").errorCode == "model_not_found")
        #expect(client.post("/v1/completions", ["model": "org/french", "prompt": "a", "max_tokens": 1]).json["model"] == "org/french")
        #expect(admin.post("/v1/load_lora_adapter", ["lora_name": "org/new", "lora_path": "/good"]).json["name"] == "org/new")
        #expect(admin.post("/v1/load_lora_adapter", ["lora_name": "org/../new", "lora_path": "/good"]).status == .badRequest)
        #expect(admin.post("/v1/unload_lora_adapter", ["lora_name": "org/new"]).status == .ok)
        #expect(client.get("/v1/models/org/new").status == .notFound)
    }

    @Test func pipelining() {
        let daemon = TestDaemon().waitUntilReady()
        defer { daemon.stop() }
        let client = TestClient(daemon.socket)!
        let body = #"{"prompt": "p", "max_tokens": 3, "stream": true}"#
        var all = ""
        for _ in 0..<3 { all += "POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)GET /version HTTP/1.1\r\nHost: x\r\n\r\n" }
        client.send(all)
        for _ in 0..<3 {
            #expect(client.answer().streamedText == output("p", 3))
            #expect(client.answer().json["version"] == "0.1.0")
        }
        // Deep pipelines neither nest nor pile up.
        let flood = TestClient(daemon.socket)!
        flood.send(String(repeating: "GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n", count: 2000))
        for _ in 0..<2000 { #expect(flood.answer().status == .ok) }
    }

    @Test func manyStreamsAreEachTheirOwn() {
        let daemon = TestDaemon().waitUntilReady()
        defer { daemon.stop() }
        let wrong = Mutex<[String]>([])
        var threads: [Box<Bool>] = []
        for index in 0..<16 {
            let done = Box<Bool>()
            threads.append(done)
            _ = JoinableThread(name: "client") {
                let model = index % 3 == 0 ? "base" : index % 3 == 1 ? "alpha" : "beta:2"
                let answer = post(daemon.socket, "/v1/completions", ["model": .string(model), "prompt": .string("p\(index)"), "max_tokens": 50, "stream": true])
                if answer.streamedText != output("p\(index)", 50, adapter: model == "base" ? nil : model) { wrong.withLock { $0.append(answer.text) } }
                done.set(true)
            }
        }
        for thread in threads { #expect(thread.wait() == true) }
        #expect(wrong.withLock { $0 }.isEmpty)
    }
}

@Suite struct BadInputTests {
    /// Runs `body` while a stream goes on beside it, and checks that the stream is what it would be alone.
    private func besideAStream(_ daemon: TestDaemon, _ body: () -> Void) {
        let answer = Box<String>()
        _ = JoinableThread(name: "neighbour") {
            answer.set(post(daemon.socket, "/v1/completions", ["prompt": "slow neighbour", "max_tokens": 30, "stream": true]).streamedText)
        }
        #expect(eventually { daemon.generation.runningCount > 0 })
        body()
        #expect(answer.wait() == output("slow neighbour", 30))
    }

    @Test func refusals() {
        let daemon = TestDaemon().waitUntilReady()
        defer { daemon.stop() }
        besideAStream(daemon) {
            let client = TestClient(daemon.socket)!
            func refused(_ raw: [UInt8]) -> String {
                client.request(.post, "/v1/completions", raw: raw)
                let answer = client.answer()
                #expect(answer.keepsAlive && answer.json["error"]?["type"] == "invalid_request_error")
                return "\(answer.status.code) \(answer.json["error"]?["param"]?.string ?? "-") \(answer.errorCode ?? "-")"
            }
            func refused(_ text: String) -> String { refused(Array(text.utf8)) }
            #expect(refused(#"{"prompt": "a", "#) == "400 - invalid_json")
            #expect(refused("") == "400 - invalid_json")
            #expect(refused("null") == "400 - -")
            #expect(refused(#"{"prompt": 5}"#) == "400 prompt -")
            #expect(refused(#"{"prompt": "a", "max_tokens": 0}"#) == "400 max_tokens -")
            #expect(refused(#"{"prompt": "a", "max_tokens": -9223372036854775808}"#) == "400 max_tokens -")
            #expect(refused(#"{"prompt": "a", "max_tokens": 9223372036854775807}"#) == "400 max_tokens context_length_exceeded")
            #expect(refused(#"{"prompt": "a", "max_tokens": 1e999}"#) == "400 - invalid_json")
            #expect(refused(#"{"prompt": "a", "n": 99999999999}"#) == "400 n -")
            #expect(refused(#"{"prompt": "a", "model": "nope"}"#) == "404 model model_not_found")
            #expect(refused(#"{"prompt": "a", "model": "../../etc/passwd"}"#) == "404 model model_not_found")
            #expect(refused(#"{"prompt": [300]}"#) == "400 prompt -")
            #expect(refused(#"{"prompt": "a", "logit_bias": {"257": 1}}"#) == "400 logit_bias -")
            #expect(refused("{\"prompt\": \"\(String(repeating: "x", count: 3000))\"}") == "400 prompt context_length_exceeded")
            #expect(refused(Array(#"{"prompt": ""#.utf8) + [0xC3, 0x28] + Array(#""}"#.utf8)) == "400 - invalid_json")
            #expect(refused(String(repeating: "[", count: 100_000)) == "400 - invalid_json")
            #expect(client.post("/v1/completions", ["prompt": "fail"]).status == .unprocessableContent)
            #expect(client.get("/v1/models").status == .ok)
        }
    }

    @Test func aFailureInsideAStreamIsSaidInTheStream() {
        let daemon = TestDaemon().waitUntilReady()
        defer { daemon.stop() }
        let client = TestClient(daemon.socket)!
        let answer = client.post("/v1/completions", ["prompt": "break", "max_tokens": 9, "stream": true])
        #expect(answer.status == .ok && answer.chunks.count == 4 && answer.chunks.last?["error"]?["message"] == "it broke" && answer.events.last != "[DONE]")
        #expect(client.post("/v1/completions", ["prompt": "break", "max_tokens": 9]).status == .internalServerError)
    }

    /// What the request asks for reaches the engine, and what the engine reports reaches the answer.
    @Test func fieldsThatReachTheEngine() {
        let daemon = TestDaemon().waitUntilReady()
        defer { daemon.stop() }
        let client = TestClient(daemon.socket)!
        let body: JSON = [
            "prompt": "abcdef", "max_tokens": 3, "min_tokens": 2, "bad_words": ["q", "rs"], "include_stop_str_in_output": true, "stop": ["", "z"],
            "truncate_prompt_tokens": 3, "prompt_logprobs": 1, "top_p": 0, "echo": true,
        ]
        let answer = client.post("/v1/completions", body)
        let request = daemon.generation.submitted.last!
        #expect(request.prompt == [100, 101, 102] && request.maxTokens == 3 && request.minTokens == 2 && request.includesStop && request.stopStrings == ["z"])
        #expect(Set(request.badWords) == [[113], [32, 113], [114, 115], [32, 114, 115]] && request.promptLogprobs == 1 && request.sampling.topP == 0)
        let choice = answer.json["choices"]?.array?.first
        #expect(choice?["text"]?.string?.hasPrefix("def") == true && answer.json["usage"]?["prompt_tokens"] == 3)
        #expect(choice?["prompt_logprobs"] == [
            nil, ["65": ["logprob": -1.0, "rank": 1, "decoded_token": "A"], "101": ["logprob": -0.5, "rank": 2, "decoded_token": "e"]],
            ["65": ["logprob": -1.0, "rank": 1, "decoded_token": "A"], "102": ["logprob": -0.5, "rank": 2, "decoded_token": "f"]],
        ], "\(choice ?? nil)")
        let chat = client.post("/v1/chat/completions", ["messages": [["role": "u", "content": "a"]], "prompt_logprobs": 0, "max_tokens": 1])
        #expect(chat.json["prompt_logprobs"]?.array?.count == daemon.generation.submitted.last?.prompt.count)
        #expect(client.post("/v1/completions", ["prompt": "a", "max_tokens": -1, "model": "base"]).status == .ok)
        #expect(daemon.generation.submitted.last?.maxTokens == 1998)
        #expect(client.post("/v1/completions", ["prompt": "a", "max_tokens": 3, "min_tokens": 4]).json["error"]?["param"] == "min_tokens")
        #expect(client.post("/v1/completions", ["prompt": "a", "truncate_prompt_tokens": 2001]).json["error"]?["param"] == "truncate_prompt_tokens")
        _ = client.post("/v1/completions", ["prompt": .string(String(repeating: "x", count: 3000)), "max_tokens": 10, "truncate_prompt_tokens": -1])
        #expect(daemon.generation.submitted.last?.prompt.count == 1990)
    }

    @Test func largeBodies() {
        let daemon = TestDaemon().waitUntilReady()
        defer { daemon.stop() }
        besideAStream(daemon) {
            let announced = TestClient(daemon.socket)!
            announced.send("POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n")
            #expect(announced.answer().status == .contentTooLarge, "refused at the announcement")
            // A client that sends it all the same still reads the answer.
            let eager = TestClient(daemon.socket)!
            eager.send("POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n")
            let piece = [UInt8](repeating: 65, count: 1 << 20)
            for _ in 0..<95 { if !eager.send(piece) { break } }
            let answer = eager.answer()
            #expect(answer.status == .contentTooLarge && answer.errorCode == "body_too_large" && !answer.keepsAlive)
            let chunked = TestClient(daemon.socket)!
            chunked.send("POST /v1/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
            for _ in 0..<5 { chunked.send("100000\r\n" + String(repeating: "A", count: 1 << 20) + "\r\n") }
            #expect(chunked.answer().status == .contentTooLarge)
        }
    }

    @Test func endlessHeaders() {
        let daemon = TestDaemon().waitUntilReady()
        defer { daemon.stop() }
        besideAStream(daemon) {
            let client = TestClient(daemon.socket)!
            client.send("GET / HTTP/1.1\r\nHost: x\r\nX: ")
            for _ in 0..<100 { if !client.send(String(repeating: "y", count: 1000)) { break } }
            #expect(client.answer().status == .requestHeaderFieldsTooLarge)
            let rubbish = TestClient(daemon.socket)!
            rubbish.send([0x16, 0x03, 0x01, 0x00, 0x0A])
            #expect(rubbish.answer().status == .badRequest, "a TLS client")
        }
    }

    @Test func clientsThatLeave() {
        let daemon = TestDaemon().waitUntilReady()
        defer { daemon.stop() }
        besideAStream(daemon) {
            let before = daemon.generation.cancelledCount
            // In prefill.
            var client: TestClient? = TestClient(daemon.socket)
            client?.request(.post, "/v1/completions", ["prompt": ["stall", "stall too"], "n": 2, "stream": true])
            #expect(eventually { daemon.generation.runningCount == 5 })
            client = nil
            #expect(eventually { daemon.generation.cancelledCount == before + 4 })
            // In the middle of a stream.
            client = TestClient(daemon.socket)
            client?.request(.post, "/v1/completions", ["prompt": "slow one", "max_tokens": 1000, "stream": true])
            _ = client?.someBytes()
            client = nil
            #expect(eventually { daemon.generation.cancelledCount == before + 5 })
            // With pipelined requests behind it that fill the buffers, so that no end of file is seen.
            client = TestClient(daemon.socket)
            client?.request(.post, "/v1/completions", ["prompt": "stall", "max_tokens": 1000])
            client?.send(String(repeating: "GET /version HTTP/1.1\r\nHost: x\r\n\r\n", count: 12_000))
            client = nil
            #expect(eventually { daemon.generation.cancelledCount == before + 6 })
        }
        #expect(daemon.generation.runningCount == 0)
    }

    @Test func aClientThatDoesNotRead() {
        let daemon = TestDaemon().waitUntilReady()
        defer { daemon.stop() }
        besideAStream(daemon) {
            let before = daemon.generation.cancelledCount
            let client = TestClient(daemon.socket)!
            client.request(.post, "/v1/completions", ["prompt": "flood", "max_tokens": 1900, "stream": true])
            #expect(eventually { daemon.generation.cancelledCount == before + 1 })
            #expect(daemon.generation.submitted.last.map { $0.maxTokens == 1900 } == true)
        }
    }

    @Test func aClientThatReadsLate() {
        let daemon = TestDaemon().waitUntilReady()
        defer { daemon.stop() }
        let client = TestClient(daemon.socket)!
        client.request(.post, "/v1/completions", ["prompt": "flood", "max_tokens": 150, "stream": true])
        #expect(eventually { daemon.generation.runningCount == 0 && daemon.generation.submitted.count == 2 })
        usleep(50_000)
        let answer = client.answer()
        let wanted = output("flood", 150).map { String(repeating: String($0), count: 20_000) }.joined()
        #expect(answer.streamedText == wanted, "3 MB, all of it in order")
        #expect(answer.chunks.count < 150 && answer.events.last == "[DONE]", "what was held back went out in larger pieces")
        #expect(daemon.generation.cancelledCount == 0)
    }

    @Test func overload() {
        let daemon = TestDaemon().waitUntilReady()
        defer { daemon.stop() }
        let clients = (0..<3).map { _ in TestClient(daemon.socket)! }
        for client in clients { client.request(.post, "/v1/completions", ["prompt": "stall", "n": 100]) }
        #expect(eventually { daemon.generation.runningCount == 300 })
        let refused = post(daemon.socket, "/v1/completions", ["prompt": "x"])
        #expect(refused.status == .serviceUnavailable && refused.errorCode == "overloaded" && refused.fields[.retryAfter] != nil)
        #expect(get(daemon.socket, "/health/ready").status == .ok)
    }
}
