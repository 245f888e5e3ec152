// Files and batches over the wire, with the scripted model.

import BerthBatches
import BerthCore
import BerthEngine
import BerthHTTP
import BerthLoop
import Foundation
import HTTPTypes
import Testing

@testable import BerthServer

/// A folder for a daemon's state that outlives the daemon.
final class StateFolder {
    let path: String

    init() {
        var template = Array("/tmp/berth-state-XXXXXX".utf8CString)
        path = template.withUnsafeMutableBufferPointer { String(cString: mkdtemp($0.baseAddress!)) }
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    /// Where `TestDaemon` keeps batches.
    var batches: String {
        var configuration = Configuration()
        configuration.model = "/models/tiny"
        configuration.stateDirectory = path
        return configuration.batchDirectory!
    }

    var contents: [String] { (try? FileManager.default.contentsOfDirectory(atPath: batches + "/files")) ?? [] }
}

func form(_ content: [UInt8], purpose: String? = "batch", name: String = "in.jsonl", end: String = "--XyZ--\r\n") -> [UInt8] {
    var bytes: [UInt8] = []
    if let purpose { bytes += Array("--XyZ\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\n\(purpose)\r\n".utf8) }
    bytes += Array("--XyZ\r\nContent-Disposition: form-data; name=\"file\"; filename=\"\(name)\"\r\nContent-Type: application/octet-stream\r\n\r\n".utf8)
    return bytes + content + Array("\r\n\(end)".utf8)
}

extension TestClient {
    func upload(_ form: [UInt8]) -> Answer {
        expect(.post)
        send("POST /v1/files HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=XyZ\r\nContent-Length: \(form.count)\r\n\r\n")
        send(form)
        return answer()
    }

    /// Uploads lines and orders a batch of them.
    func order(_ lines: [JSON], endpoint: String = "/v1/completions", window: String = "24h") -> String {
        let file = upload(form(lines.flatMap { $0.utf8 + [0x0A] })).json["id"] ?? nil
        let batch = post("/v1/batches", ["input_file_id": file, "endpoint": .string(endpoint), "completion_window": .string(window)])
        return batch.json["id"]?.string ?? batch.text
    }

    func batch(_ id: String) -> JSON { get("/v1/batches/\(id)").json }

    /// The batch at its end.
    func ended(_ id: String) -> JSON {
        #expect(eventually { ["completed", "failed", "expired", "cancelled"].contains(batch(id)["status"]?.string) })
        return batch(id)
    }

    func results(_ file: JSON?) -> [JSON] {
        guard let id = file?.string else { return [] }
        return get("/v1/files/\(id)/content").body.split(separator: 0x0A).map { (try? JSON(parsing: Array($0))) ?? nil }
    }
}

func line(_ id: String, _ body: JSON, url: String = "/v1/completions") -> JSON { ["custom_id": .string(id), "method": "POST", "url": .string(url), "body": body] }

@Suite struct FileRouteTests {
    @Test func filesComeAndGo() {
        let state = StateFolder()
        let daemon = TestDaemon(state: state.path).waitUntilReady()
        defer { daemon.stop() }
        let client = TestClient(daemon.socket)!
        let content = Array("{\"a\": 1}\r\n--Xyz is no boundary here\n".utf8)
        let file = client.upload(form(content, name: "../../my \\\"in\\\".jsonl"))
        #expect(file.status == .ok && file.keepsAlive && file.json["object"] == "file" && file.json["purpose"] == "batch" && file.json["status"] == "processed")
        #expect(file.json["filename"] == "my \"in\".jsonl" && file.json["bytes"] == JSON(content.count))
        #expect(file.json["expires_at"]!.int! - file.json["created_at"]!.int! == Limits.batchFileLifeSeconds)
        let id = file.json["id"]!.string!
        #expect(client.get("/v1/files/\(id)").json == file.json)
        #expect(client.get("/v1/files/\(id)/content").body == content)
        client.request(.head, "/v1/files/\(id)/content")
        #expect(client.answer().status == .ok)
        let second = client.upload(form([])).json["id"]!
        #expect(client.get("/v1/files").json["data"]?.array?.map { $0["id"]! } == [second, .string(id)])
        let page = client.get("/v1/files?limit=1&purpose=batch&order=asc").json
        #expect(page["data"]?.array?.count == 1 && page["has_more"] == true && page["last_id"] == .string(id))
        #expect(client.get("/v1/files?after=\(id)&order=asc").json["data"]?.array?.map { $0["id"]! } == [second])
        #expect(client.get("/v1/files?limit=0").json["error"]?["param"] == "limit" && client.get("/v1/files?order=up").status == .badRequest)
        client.request(.delete, "/v1/files/\(id)")
        #expect(client.answer().json == ["id": .string(id), "object": "file", "deleted": true])
        #expect(client.get("/v1/files/\(id)").status == .notFound && client.get("/v1/files/\(id)/content").errorCode == "not_found")
        #expect(state.contents.count == 1)
    }

    /// More than a request's body may have, in chunks and counted, while a stream goes on; what comes out is what went in.
    @Test func largeFilesPassThrough() {
        let state = StateFolder()
        let daemon = TestDaemon(state: state.path).waitUntilReady()
        defer { daemon.stop() }
        let content = (0..<(9 << 20)).map { UInt8(truncatingIfNeeded: $0 &* 31 ^ $0 >> 9) }
        let neighbour = TestClient(daemon.socket)!
        neighbour.request(.post, "/v1/completions", ["prompt": "slow neighbour", "max_tokens": 30, "stream": true])
        let client = TestClient(daemon.socket)!
        let counted = client.upload(form(content))
        #expect(counted.json["bytes"] == JSON(content.count))
        #expect(client.get("/v1/files/\(counted.json["id"]!.string!)/content").body == content)
        let chunked = TestClient(daemon.socket)!
        chunked.send("POST /v1/files HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=\"XyZ\"\r\nTransfer-Encoding: chunked\r\n\r\n")
        var rest = form(content)[...]
        while !rest.isEmpty {
            let piece = rest.prefix(100_003)
            chunked.send(Array("\(String(piece.count, radix: 16))\r\n".utf8) + piece + [0x0D, 0x0A])
            rest = rest.dropFirst(piece.count)
        }
        chunked.send("0\r\n\r\n")
        #expect(chunked.answer().json["bytes"] == JSON(content.count))
        #expect(neighbour.answer().streamedText == ScriptedGeneration.output("slow neighbour", adapter: nil, count: 30))
    }

    @Test func badUploadsLeaveNothing() {
        let state = StateFolder()
        let daemon = TestDaemon(state: state.path).waitUntilReady()
        defer { daemon.stop() }
        func refusal(_ form: [UInt8]) -> String {
            let answer = TestClient(daemon.socket)!.upload(form)
            return "\(answer.status.code) \(answer.json["error"]?["param"]?.string ?? "-")"
        }
        #expect(refusal(form([1, 2], purpose: nil)) == "400 purpose")
        #expect(refusal(form([1, 2], purpose: "fine-tune")) == "400 purpose")
        #expect(refusal(form([1, 2], end: "--XyZ\r\n")) == "400 -", "the last boundary is missing")
        #expect(refusal(form([1, 2], end: "--XyZ\r\n\r\n\r\n--XyZ--\r\n")) == "400 -", "a part without a name")
        #expect(refusal(Array("--XyZ\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n--XyZ--\r\n".utf8)) == "400 file")
        #expect(refusal(Array("--XyZ\r\n".utf8) + [UInt8](repeating: 65, count: 20_000)) == "400 -", "an endless header")
        #expect(refusal(form(Array("x".utf8), purpose: String(repeating: "b", count: Limits.partFieldBytes + 1))) == "400 purpose")
        let wrongType = TestClient(daemon.socket)!
        #expect(wrongType.post("/v1/files", ["a": 1]).status == .badRequest)
        let announced = TestClient(daemon.socket)!
        announced.send("POST /v1/files HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=XyZ\r\nContent-Length: 300000000\r\n\r\n")
        #expect(announced.answer().status == .contentTooLarge)
        // A client that vanishes half-way.
        var client: TestClient? = TestClient(daemon.socket)
        client?.send("POST /v1/files HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=XyZ\r\nContent-Length: 30000000\r\n\r\n")
        client?.send(form([UInt8](repeating: 65, count: 1 << 20)))
        #expect(eventually { !state.contents.isEmpty })
        client = nil
        #expect(eventually { state.contents.isEmpty })
        // An upload that was left no longer counts.
        for _ in 0..<(2 * Limits.uploads) { #expect(refusal(form([1], purpose: "x")) == "400 purpose") }
        #expect(TestClient(daemon.socket)!.upload(form([1])).status == .ok)
    }

    @Test func withoutAStateDirectoryThereAreNone() {
        let daemon = TestDaemon().waitUntilReady()
        defer { daemon.stop() }
        #expect(get(daemon.socket, "/v1/batches").errorCode == "no_state_directory")
        #expect(TestClient(daemon.socket)!.upload(form([1])).status == .notImplemented)
    }

    /// Two daemons of one state directory do not share its batches; the second serves everything else.
    @Test func oneDaemonHasTheBatches() {
        let state = StateFolder()
        let daemon = TestDaemon(state: state.path).waitUntilReady()
        defer { daemon.stop() }
        #expect(get(daemon.socket, "/v1/batches").status == .ok)
        let other = TestDaemon(state: state.path).waitUntilReady()
        defer { other.stop() }
        let refused = get(other.socket, "/v1/batches")
        #expect(refused.status == .serviceUnavailable && refused.errorCode == "storage_failed" && refused.errorMessage.contains("Another daemon"))
        #expect(!refused.text.contains(state.path), "clients see no paths")
        #expect(post(other.socket, "/v1/completions", ["prompt": "a", "max_tokens": 1]).status == .ok)
    }
}

@Suite struct BatchRouteTests {
    @Test func aBatchOfManyKinds() {
        let state = StateFolder()
        let daemon = TestDaemon(state: state.path).waitUntilReady()
        defer { daemon.stop() }
        let client = TestClient(daemon.socket)!
        var lines: [JSON] = []
        for index in 0..<60 {
            let model: JSON = index % 3 == 0 ? "base" : index % 3 == 1 ? "alpha" : "beta:2"
            lines.append(line("\(index)", ["model": model, "prompt": .string("p\(index)"), "max_tokens": 5, "n": index == 7 ? 3 : 1]))
        }
        lines += [
            line("fails", ["prompt": "fail"]), line("wrong", ["prompt": 5]), line("unknown", ["model": "nope", "prompt": "a"]), line("elsewhere", [:], url: "/v1/chat/completions"),
        ]
        let id = client.order(lines)
        let batch = client.ended(id)
        #expect(batch["status"] == "completed" && batch["object"] == "batch" && batch["endpoint"] == "/v1/completions" && batch["completion_window"] == "24h")
        #expect(batch["request_counts"] == ["total": 64, "completed": 60, "failed": 4])
        let output = client.results(batch["output_file_id"])
        #expect(output.map { $0["custom_id"]?.string } == (0..<60).map { "\($0)" })
        for (index, result) in output.enumerated() {
            let body = result["response"]?["body"]
            let adapter = index % 3 == 0 ? nil : AdapterName(index % 3 == 1 ? "alpha" : "beta:2")
            #expect(result["response"]?["status_code"] == 200 && body?["choices"]?.array?.count == (index == 7 ? 3 : 1))
            #expect(body?["choices"]?.array?[0]["text"]?.string == ScriptedGeneration.output("p\(index)", adapter: adapter, count: 5))
        }
        let errors = client.results(batch["error_file_id"])
        #expect(errors.map { "\($0["custom_id"]?.string ?? "") \($0["response"]?["status_code"]?.int ?? 0)" } == ["fails 422", "wrong 400", "unknown 404", "elsewhere 0"])
        #expect(errors[1]["response"]?["body"]?["error"]?["param"] == "prompt" && errors[3]["error"]?["line"] == 64)
        let mine = daemon.generation.submitted.filter { $0.prompt.first == 256 && $0.maxTokens == 5 }
        #expect(mine.count == 62 && mine.allSatisfy { $0.serviceClass == .bulk })
        #expect(client.get("/v1/batches").json["data"]?.array?.map { $0["id"] } == [.string(id)])
    }

    @Test func chatsAndOrders() {
        let state = StateFolder()
        let daemon = TestDaemon(state: state.path).waitUntilReady()
        defer { daemon.stop() }
        let client = TestClient(daemon.socket)!
        let chat = line("c", ["messages": [["role": "user", "content": "hi"]], "max_tokens": 4], url: "/v1/chat/completions")
        let batches = (0..<3).map { _ in client.order([chat], endpoint: "/v1/chat/completions") }
        let batch = client.ended(batches[0])
        let message = client.results(batch["output_file_id"]).first?["response"]?["body"]?["choices"]?.array?[0]["message"]?["content"]
        #expect(message?.string == ScriptedGeneration.output("user: hi\nassistant: ", adapter: nil, count: 4))
        let page = client.get("/v1/batches?limit=2").json
        #expect(page["data"]?.array?.map { $0["id"]?.string } == [batches[2], batches[1]] && page["has_more"] == true && page["first_id"]?.string == batches[2])
        #expect(client.get("/v1/batches?limit=2&after=\(batches[1])").json["data"]?.array?.map { $0["id"]?.string } == [batches[0]])
        func refusal(_ change: (inout [String: JSON]) -> Void) -> String {
            var body: [String: JSON] = ["input_file_id": batch["input_file_id"]!, "endpoint": "/v1/completions", "completion_window": "24h"]
            change(&body)
            let answer = client.post("/v1/batches", .object(.init(body.map { ($0, $1) }, uniquingKeysWith: { $1 })))
            return "\(answer.status.code) \(answer.json["error"]?["param"]?.string ?? "-")"
        }
        #expect(refusal { $0["endpoint"] = "/v1/embeddings" } == "400 endpoint")
        #expect(refusal { $0["endpoint"] = nil } == "400 endpoint")
        #expect(refusal { $0["completion_window"] = "soon" } == "400 completion_window")
        #expect(refusal { $0["completion_window"] = "90d" } == "400 completion_window")
        #expect(refusal { $0["input_file_id"] = "file-none" } == "400 input_file_id")
        #expect(refusal { $0["input_file_id"] = 7 } == "400 input_file_id")
        #expect(refusal { $0["metadata"] = ["a": 1] } == "400 metadata")
        #expect(refusal { $0["output_expires_after"] = ["anchor": "created_at", "seconds": 5] } == "400 output_expires_after.seconds")
        #expect(client.get("/v1/batches/nope").status == .notFound && client.post("/v1/batches/nope/cancel", [:]).status == .notFound)
        #expect(client.post("/v1/batches/\(batches[0])/cancel", [:]).status == .conflict)
    }

    @Test func cancellingStopsWhatRuns() {
        let state = StateFolder()
        let daemon = TestDaemon(state: state.path).waitUntilReady()
        defer { daemon.stop() }
        let client = TestClient(daemon.socket)!
        let id = client.order((0..<20).map { line("\($0)", ["prompt": .string($0 % 2 == 0 ? "stall" : "a"), "max_tokens": 1]) })
        #expect(eventually { client.batch(id)["request_counts"]?["completed"] == 10 && daemon.generation.runningCount == 10 })
        let cancelled = client.post("/v1/batches/\(id)/cancel", [:])
        #expect(cancelled.status == .ok && cancelled.json["cancelling_at"]?.int != nil)
        #expect(eventually { daemon.generation.runningCount == 0 })
        let batch = client.ended(id)
        #expect(batch["status"] == "cancelled" && client.results(batch["output_file_id"]).count == 10)
        #expect(client.results(batch["error_file_id"]).map { $0["error"]?["code"] } == [JSON?](repeating: "batch_cancelled", count: 10))
        // The runner is free for others.
        #expect(client.ended(client.order([line("x", ["prompt": "a"])]))["status"] == "completed")
    }

    /// Lines wait for room in the engine's queue; requests of clients have what the lines leave.
    @Test func linesGoRoundAFullEngine() {
        let state = StateFolder()
        let daemon = TestDaemon(state: state.path).waitUntilReady()
        defer { daemon.stop() }
        let stalling = (0..<3).map { index -> TestClient in
            let client = TestClient(daemon.socket)!
            client.request(.post, "/v1/completions", ["prompt": "stall", "n": JSON(index < 2 ? 128 : ScriptedGeneration.queueLimit - 256 - 3)])
            return client
        }
        #expect(eventually { daemon.generation.runningCount == ScriptedGeneration.queueLimit - 3 })
        let client = TestClient(daemon.socket)!
        let id = client.order((0..<40).map { line("\($0)", ["prompt": "a", "max_tokens": 3]) })
        let batch = client.ended(id)
        #expect(batch["request_counts"] == ["total": 40, "completed": 40, "failed": 0])
        withExtendedLifetime(stalling) {}
    }

    /// A daemon that ends does not wait for batches; the next one goes on with them.
    @Test func aBatchOutlivesItsDaemon() {
        let state = StateFolder()
        let first = TestDaemon(drainSeconds: 600, state: state.path).waitUntilReady()
        let client = TestClient(first.socket)!
        let id = client.order((0..<600).map { line("\($0)", ["prompt": .string($0 % 4 == 0 ? "slow \($0)" : "p\($0)"), "max_tokens": 40]) })
        #expect(eventually { (client.batch(id)["request_counts"]?["completed"]?.int ?? 0) > 50 })
        first.stop()
        let second = TestDaemon(state: state.path).waitUntilReady()
        defer { second.stop() }
        let next = TestClient(second.socket)!
        let batch = next.ended(id)
        #expect(batch["request_counts"] == ["total": 600, "completed": 600, "failed": 0])
        let output = next.results(batch["output_file_id"])
        #expect(output.map { $0["custom_id"]?.string } == (0..<600).map { "\($0)" })
        for (index, result) in output.enumerated() {
            let prompt = index % 4 == 0 ? "slow \(index)" : "p\(index)"
            #expect(result["response"]?["body"]?["choices"]?.array?[0]["text"]?.string == ScriptedGeneration.output(prompt, adapter: nil, count: 40))
        }
        #expect(second.generation.submitted.count < 600, "what was answered is not answered again")
    }

    /// The daemon looks at the clock: a batch that ran out of time while no daemon was there ends at once.
    @Test func timeRunsOut() throws {
        let state = StateFolder()
        let mine = TenantName(uid: geteuid())
        do {
            let store = try BatchStore(directory: state.batches, random: RandomSource(seed: 1), heir: mine)
            let upload = try store.beginUpload(of: mine)
            try upload.write(line("late", ["prompt": "stall"]).utf8)
            let file = try store.finish(upload, name: "in", lifeSeconds: nil, now: 1000)
            _ = try store.create(BatchOrder(input: file.id, endpoint: "/v1/completions", windowSeconds: 60), of: mine, now: 1000)
            while try store.step(now: 1000) {}
        }
        let daemon = TestDaemon(state: state.path).waitUntilReady()
        defer { daemon.stop() }
        let client = TestClient(daemon.socket)!
        let id = client.get("/v1/batches").json["data"]!.array![0]["id"]!.string!
        let batch = client.ended(id)
        #expect(batch["status"] == "expired" && client.results(batch["error_file_id"]).first?["error"]?["code"] == "batch_expired")
        #expect(eventually { daemon.generation.runningCount == 0 })
    }

    /// A request's own, that of all its choices, that of work that nobody waits for, and that of a batch's line; one that is none is the line's error.
    @Test func prioritiesReachTheEngine() {
        let state = StateFolder()
        let daemon = TestDaemon(state: state.path).waitUntilReady()
        defer { daemon.stop() }
        let client = TestClient(daemon.socket)!
        for (body, priorities) in [(["n": 2, "priority": -3], [-3, -3]), (["service_tier": "flex", "priority": 12], [12]), ([:], [0])] as [([String: JSON], [Int])] {
            let before = daemon.generation.submitted.count
            let call = body.merging(["prompt": "a", "max_tokens": 1]) { $1 }
            #expect(client.post("/v1/completions", JSON(fields: call.map { ($0.key, $0.value) })).status == .ok)
            #expect(daemon.generation.submitted.dropFirst(before).map(\.priority) == priorities)
        }
        let before = daemon.generation.submitted.count
        let id = client.order([line("good", ["prompt": "a", "max_tokens": 1, "priority": 5]), line("bad", ["prompt": "a", "max_tokens": 1, "priority": 5000])])
        let batch = client.ended(id)
        #expect(daemon.generation.submitted.dropFirst(before).map { [$0.priority, $0.serviceClass == .bulk ? 1 : 0] } == [[5, 1]])
        let error = client.results(batch["error_file_id"]).first
        #expect(error?["custom_id"] == "bad" && error?["response"]?["body"]?["error"]?["param"] == "priority", "\(error as Any)")
    }

    @Test func serviceTiers() {
        let daemon = TestDaemon().waitUntilReady()
        defer { daemon.stop() }
        let client = TestClient(daemon.socket)!
        for (tier, shown, serviceClass) in [(nil, nil, .interactive), ("auto", "default", .interactive), ("default", "default", .interactive), ("flex", "flex", .bulk)] as [(JSON?, JSON?, ServiceClass)] {
            let answer = client.post("/v1/completions", ["prompt": "a", "max_tokens": 1, "service_tier": tier ?? nil])
            #expect(answer.json["service_tier"] == shown && daemon.generation.submitted.last?.serviceClass == serviceClass)
        }
        let streamed = client.post("/v1/chat/completions", ["messages": [["role": "user", "content": "a"]], "stream": true, "service_tier": "flex"])
        #expect(streamed.chunks.allSatisfy { $0["service_tier"] == "flex" })
        let refused = client.post("/v1/completions", ["prompt": "a", "service_tier": "priority"])
        #expect(refused.status == .badRequest && refused.json["error"]?["param"] == "service_tier" && refused.errorMessage.contains("priority"))
    }
}
