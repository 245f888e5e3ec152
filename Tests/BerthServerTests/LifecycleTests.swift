// Loading, readiness, draining and the service manager's protocol.

import BerthCore
import BerthHTTP
import BerthLoop
import Glibc
import HTTPTypes
import Testing

@testable import BerthServer

private func output(_ prompt: String, _ count: Int) -> String { ScriptedGeneration.output(prompt, adapter: nil, count: count) }

@Suite struct LifecycleTests {
    @Test func loadingThenReady() {
        let mayLoad = Box<Bool>()
        let daemon = TestDaemon { _ in _ = mayLoad.wait() }
        defer { daemon.stop() }
        let client = TestClient(daemon.socket)!
        #expect(client.get("/health/live").status == .ok)
        for target in ["/health", "/health/ready", "/v1/models"] {
            let answer = client.get(target)
            #expect(answer.status == .serviceUnavailable && answer.errorCode == "loading" && answer.fields[.retryAfter] == "5")
        }
        #expect(client.post("/v1/completions", ["prompt": "a"]).status == .serviceUnavailable)
        mayLoad.set(true)
        _ = daemon.waitUntilReady()
        #expect(client.post("/v1/completions", ["prompt": "a", "max_tokens": 2]).status == .ok, "on the same connection")
    }

    /// Whoever changes files while the model is loaded, and says so, is not forgotten.
    @Test func aReloadWhileLoadingComesAfterwards() {
        let mayLoad = Box<Bool>()
        let daemon = TestDaemon { _ in _ = mayLoad.wait() }
        defer { daemon.stop() }
        daemon.reload()
        // Answered by the loop, behind the reload.
        #expect(get(daemon.socket, "/health/live").status == .ok)
        mayLoad.set(true)
        _ = daemon.waitUntilReady()
        #expect(eventually { get(daemon.socket, "/v1/models/found").status == .ok })
        #expect(daemon.log.withLock { $0.contains { $0.contains("reloaded: 1 added, 0 changed, 0 removed, 0 refused, 0 as before") } })
    }

    @Test func aModelThatDoesNotLoadEndsTheDaemon() {
        let daemon = TestDaemon { _ in throw ConfigurationError("config.json is missing") }
        #expect(daemon.waitForExit() == 1)
        #expect(daemon.log.withLock { $0.contains { $0.hasPrefix("<3>config.json is missing") } })
        #expect(access(daemon.socket, F_OK) != 0)
    }

    @Test func drainingFinishesStreamsAndRefusesNewRequests() {
        let daemon = TestDaemon().waitUntilReady()
        let streaming = TestClient(daemon.socket)!
        streaming.request(.post, "/v1/completions", ["prompt": "slow stream", "max_tokens": 30, "stream": true])
        let kept = TestClient(daemon.socket)!
        #expect(kept.get("/version").keepsAlive)
        #expect(eventually { daemon.generation.runningCount == 1 })
        daemon.terminate()
        var refused = kept.post("/v1/completions", ["prompt": "a"])
        if refused.status == .ok { refused = post(daemon.socket, "/v1/completions", ["prompt": "a"]) }  // it was faster than the command
        #expect(refused.status == .serviceUnavailable && refused.errorCode == "draining" && !refused.keepsAlive)
        #expect(get(daemon.socket, "/health/ready").status == .serviceUnavailable && get(daemon.socket, "/health/live").status == .ok)
        let answer = streaming.answer()
        #expect(answer.streamedText == output("slow stream", 30) && answer.events.last == "[DONE]")
        #expect(daemon.waitForExit() == 0)
    }

    @Test func drainingHasALimit() {
        let daemon = TestDaemon(drainSeconds: 1).waitUntilReady()
        let streaming = TestClient(daemon.socket)!
        streaming.request(.post, "/v1/completions", ["prompt": "slow", "max_tokens": 1000, "stream": true])
        let waiting = TestClient(daemon.socket)!
        waiting.request(.post, "/v1/completions", ["prompt": "stall"])
        #expect(eventually { daemon.generation.runningCount == 2 })
        daemon.terminate()
        #expect(streaming.answer().chunks.last?["error"]?["code"] == "draining", "the stream says why it ends")
        #expect(waiting.answer().status == .serviceUnavailable)
        #expect(daemon.waitForExit() == 0)
        #expect(daemon.generation.cancelledCount == 2)
    }

    @Test func terminatingTwiceEndsAtOnce() {
        let daemon = TestDaemon(drainSeconds: 600).waitUntilReady()
        let client = TestClient(daemon.socket)!
        client.request(.post, "/v1/completions", ["prompt": "stall"])
        #expect(eventually { daemon.generation.runningCount == 1 })
        daemon.terminate()
        daemon.terminate()
        #expect(daemon.waitForExit() == 0)
    }

    @Test func terminatingWhileLoading() {
        let daemon = TestDaemon { context in
            while !context.isCancelled() { usleep(1000) }
            throw ConfigurationError("cancelled")
        }
        daemon.terminate()
        #expect(daemon.waitForExit() == 0)
    }

    @Test func serviceManager() throws {
        let path = "/tmp/berth-notify-\(getpid())"
        let descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)
        defer {
            close(descriptor)
            unlink(path)
        }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let bound = withUnsafePointer(to: &address) { $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) } }
        #expect(bound == 0)
        var timeout = timeval(tv_sec: 10, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
        /// Reads messages until one has `text`.
        func expectMessage(_ text: String) -> String? {
            var buffer = [UInt8](repeating: 0, count: 4096)
            for _ in 0..<1000 {
                let count = recv(descriptor, &buffer, buffer.count, 0)
                guard count > 0 else { return nil }
                let message = String(decoding: buffer[..<count], as: UTF8.self)
                if message.contains(text) { return message }
            }
            return nil
        }
        let isBad = Box<Bool>()
        let daemon = TestDaemon(environment: ["NOTIFY_SOCKET": path, "WATCHDOG_USEC": "300000"], reread: { isBad.current == true ? .failure(ConfigurationError("f, line 3: no")) : nil })
        #expect(expectMessage("EXTEND_TIMEOUT_USEC=") != nil)
        #expect(expectMessage("READY=1") == "READY=1\nSTATUS=Serving tiny")
        #expect(get(daemon.socket, "/health/ready").status == .ok, "ready is said only when requests are answered")
        for _ in 0..<3 { #expect(expectMessage("WATCHDOG=1") != nil) }
        daemon.reload()
        #expect(expectMessage("RELOADING=1")?.contains("MONOTONIC_USEC=") == true)
        #expect(expectMessage("READY=1") == "READY=1\nSTATUS=Serving tiny")
        #expect(get(daemon.socket, "/v1/models/found").status == .ok)
        isBad.set(true)
        daemon.reload()
        #expect(expectMessage("READY=1") == "READY=1\nSTATUS=Serving tiny; the last reload failed: f, line 3: no")
        daemon.terminate()
        #expect(expectMessage("STOPPING=1") != nil)
        #expect(daemon.waitForExit() == 0)
    }
}

@Suite struct AdminTests {
    @Test func adapters() {
        let daemon = TestDaemon().waitUntilReady()
        defer { daemon.stop() }
        var status = stat()
        #expect(lstat(daemon.adminSocket, &status) == 0 && status.st_mode & 0o777 == 0o600)
        let admin = TestClient(daemon.adminSocket)!
        #expect(admin.get("/adapters").json["adapters"]?.array?.map { $0["name"]?.string } == ["alpha", "beta:2"])
        let loaded = admin.post("/v1/load_lora_adapter", ["lora_name": "new", "lora_path": "/good", "pinned": true])
        #expect(loaded.status == .ok && loaded.json["name"] == "new" && loaded.json["pinned"] == true)
        #expect(post(daemon.socket, "/v1/completions", ["model": "new", "prompt": "a", "max_tokens": 1]).status == .ok)
        let rejected = admin.post("/v1/load_lora_adapter", ["lora_name": "bad", "lora_path": "/bad"])
        #expect(rejected.status == .unprocessableContent && rejected.errorMessage == "adapter_config.json is missing")
        for name in ["tiny", "base"] { #expect(admin.post("/v1/load_lora_adapter", ["lora_name": .string(name), "lora_path": "/good"]).status == .badRequest) }
        #expect(admin.post("/adapters/new/pin", ["pinned": false]).json["pinned"] == false)
        #expect(admin.post("/adapters/nope/pin", [:]).status == .notFound)
        #expect(admin.post("/v1/unload_lora_adapter", ["lora_name": "new"]).status == .ok)
        #expect(admin.post("/v1/unload_lora_adapter", ["lora_name": "new"]).status == .notFound)
        #expect(get(daemon.socket, "/v1/models/new").status == .notFound)
        #expect(admin.post("/v1/completions", ["prompt": "a"]).status == .notFound)
    }

    @Test func status() {
        let daemon = TestDaemon().waitUntilReady()
        defer { daemon.stop() }
        let streaming = TestClient(daemon.socket)!
        streaming.request(.post, "/v1/completions", ["model": "alpha", "prompt": "slow", "max_tokens": 1000, "stream": true, "priority": -4])
        #expect(eventually { daemon.generation.runningCount == 1 })
        let admin = TestClient(daemon.adminSocket)!
        let pool = admin.get("/pool").json
        #expect(pool["page_bytes"] == 65536 && pool["pages"] == 10 && pool["free"] == 6 && pool["classes"] == ["kv": 4] && pool["waste_bytes"] == ["kv": 512])
        #expect(pool["by_class"]?["kv"] == ["pages": 4, "in_use": 3, "pinned": 0, "loading": 0, "cached": 1] && pool["holders"]?.array?.first?["name"] == "5")
        #expect(pool["evictions"] == [["class": "adapter", "cause": "pressure", "count": 2]] && pool["tenants"] == [["name": "acme", "pages": 3]])
        let requests = admin.get("/requests").json
        #expect(requests["running"] == 1 && requests["requests"]?.array?[0]["adapter"] == "alpha" && requests["requests"]?.array?[0]["tenant"] == .string("uid:\(geteuid())"))
        #expect(requests["requests"]?.array?[0]["priority"] == -4)
        _ = post(daemon.socket, "/v1/completions", ["prompt": "a", "max_tokens": 4])
        let metrics = admin.get("/metrics")
        #expect(metrics.fields[.contentType] == "text/plain; version=0.0.4; charset=utf-8")
        let lines = metrics.text.split(separator: "\n")
        for line in [
            "vllm:num_requests_running{model_name=\"tiny\"} 1", "vllm:kv_cache_usage_perc{model_name=\"tiny\"} 0.4",
            "vllm:request_success_total{model_name=\"tiny\",finished_reason=\"length\"} 1", "berth_pool_pages{model_name=\"tiny\",class=\"free\"} 6",
            "berth_pool_cached_pages{model_name=\"tiny\",class=\"kv\"} 1", "berth_pool_evictions_total{model_name=\"tiny\",class=\"adapter\",cause=\"pressure\"} 2",
            "# TYPE vllm:time_to_first_token_seconds histogram", "vllm:e2e_request_latency_seconds_count{model_name=\"tiny\"} 1",
        ] { #expect(lines.contains(line[...]), "\(line)") }
        #expect(lines.contains { $0.hasPrefix("vllm:lora_requests_info{model_name=\"tiny\",max_lora=\"2\",running_lora_adapters=\"alpha\",waiting_lora_adapters=\"\"} ") })
        #expect(lines.count { $0.hasPrefix("vllm:lora_requests_info{") } == 1)
    }
}
