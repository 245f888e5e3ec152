// Tenants over real sockets: who is let in, what each sees, and how much each may have. Clients are real users of the machine.

import BerthCore
import BerthEngine
import BerthHTTP
import BerthLoop
import Glibc
import HTTPTypes
import Synchronization
import Testing

@testable import BerthServer

private let (acmeKey, betaKey) = (APIKey.random(), APIKey.random())
private let three = """
    proxy-uid = 33
    [tenant acme]
    uid = 1001
    key-sha256 = \(acmeKey.digest)
    adapters = acme-*, shared-*
    context-length = 1000
    [tenant beta]
    uid = 1002
    key-sha256 = \(betaKey.digest)
    adapters = beta-*, shared-*
    [tenant gamma]
    uid = 1003
    """
private let adapters = ["acme-legal", "beta-legal", "shared-tone"]

extension Answer {
    fileprivate var models: [String] { (json["data"]?.array ?? []).compactMap { $0["id"]?.string } }
    /// Status and code.
    fileprivate var brief: String { "\(status.code) \(errorCode ?? "-")" }
}

@Suite(.enabled(if: mayBecomeOthers)) struct IdentityTests {
    @Test func eachUserIsATenantWithoutConfiguration() {
        let daemon = TestDaemon(tenants: TenantConfiguration()).waitUntilReady()
        defer { daemon.stop() }
        for user in [1001, 1002] as [UInt32] {
            let client = TestClient.of(user, daemon.socket)
            client.fields[.authorization] = "Bearer none"
            #expect(client.get("/v1/models").models == ["tiny", "alpha", "beta:2"])
            #expect(client.post("/v1/completions", ["prompt": "a", "max_tokens": 1]).status == .ok)
            #expect(daemon.generation.submitted.last?.tenant == TenantName(uid: user))
        }
        #expect(TestClient.of(1001, daemon.socket, tenant: "uid:1002").get("/v1/models").status == .forbidden)
        #expect(daemon.generation.policies.isEmpty)
    }

    @Test func callersAreIdentified() {
        let daemon = TestDaemon(adapters: adapters, tenants: tenants(three)).waitUntilReady()
        defer { daemon.stop() }
        func tenant(_ client: TestClient) -> String {
            let answer = client.post("/v1/completions", ["prompt": "a", "max_tokens": 1])
            return answer.status == .ok ? daemon.generation.submitted.last!.tenant.text : answer.brief
        }
        #expect(tenant(.of(1001, daemon.socket)) == "acme" && tenant(.of(1002, daemon.socket)) == "beta")
        #expect(tenant(.of(1002, daemon.socket, key: acmeKey)) == "acme")
        #expect(tenant(.of(9, daemon.socket)) == "401 missing_api_key" && tenant(.of(1001, daemon.socket, key: .random())) == "401 invalid_api_key")
        #expect(tenant(TestClient(daemon.socket)!) == "401 missing_api_key", "the daemon's own user, too")
        // A proxy keeps one connection for all of its clients.
        let proxy = TestClient.of(33, daemon.socket)
        for name in ["acme", "gamma", "acme"] {
            proxy.fields[.berthTenant] = name
            #expect(tenant(proxy) == name)
        }
        proxy.fields = [.authorization: "Bearer \(betaKey.text)"]
        #expect(tenant(proxy) == "beta")
        proxy.fields = [:]
        #expect(tenant(proxy) == "401 missing_api_key", "nothing is remembered of the request before")
        #expect(tenant(.of(1003, daemon.socket, tenant: "acme")) == "403 forbidden" && tenant(.of(1001, daemon.socket, tenant: "acme")) == "403 forbidden")
        let refused = TestClient.of(9, daemon.socket).get("/v1/models")
        #expect(refused.fields[.wwwAuthenticate] == "Bearer realm=\"berth\"" && refused.json["error"]?["type"] == "authentication_error" && refused.keepsAlive)
        #expect(daemon.log.withLock { log in !log.contains { line in [acmeKey, betaKey].contains { line.contains($0.text) } } }, "no key is in the log")
    }

    /// Whatever the target is, and however it is written, whoever is nobody hears the same; health is for all.
    @Test func oddTargets() {
        let state = StateFolder()
        let daemon = TestDaemon(state: state.path, adapters: adapters, tenants: tenants(three)).waitUntilReady()
        defer { daemon.stop() }
        let targets = [
            "/v1/models", "//v1/models", "/v1//models", "/V1/MODELS", "/v1/models/", "/v1/models/base", "/v1/%6Dodels", "/v1%2Fmodels", "/%2e%2e/v1/models", "/health/../v1/models",
            "/health/ready/../../v1/models", "/health/ready%2f..%2fv1/models", "/v1/models?x=/health/ready", "/health/ready/", "/health;/v1/models", "/version", "/", "/nope", "/metrics",
            "/v1/files", "/v1/batches", "/v1/files/file-1/content", "http://berth/v1/models", "http://berth/health/../v1/models", "HTTP://health/ready/v1/models", "/health/ready%00",
        ]
        for (user, key) in [(9, nil), (1001, APIKey.random())] as [(UInt32, APIKey?)] {
            let client = TestClient.of(user, daemon.socket, key: key)
            for method in [.get, .post, .delete, .head, .options, .put, HTTPRequest.Method("BREW")!] {
                for target in targets {
                    // "/health/ready" and its like are open to GET and HEAD alone.
                    client.request(method, target)
                    #expect(client.answer().status == .unauthorized, "\(method) \(target)")
                }
                client.request(method, "/health/ready")
                #expect(client.answer().status == (method == .get || method == .head ? .ok : .unauthorized), "\(method)")
            }
            client.request(.options, "*")
            #expect(client.answer().status == .unauthorized)
            for target in ["/health", "/health/live", "//health//live", "/health/ready?x=1", "http://berth/health/live"] { #expect(client.get(target).status == .ok, "\(target)") }
            for body in [#"{"prompt": "a"}"#, "{", ""] {
                let client = TestClient.of(user, daemon.socket, key: key)
                client.request(.post, "/v1/completions", raw: Array(body.utf8))
                let answer = client.answer()
                #expect(answer.status == .unauthorized && !answer.keepsAlive)
            }
        }
        #expect(daemon.generation.submitted.count == 1, "the daemon's own")
        // A body is refused before it is read.
        for (path, length) in [("/v1/files", 100_000_000), ("/v1/completions", 4_000_000), ("/v1/nope", 4_000_000)] {
            let upload = TestClient.of(9, daemon.socket)
            upload.expect(.post)
            upload.send("POST \(path) HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=XyZ\r\nContent-Length: \(length)\r\n\r\n--XyZ")
            #expect(upload.answer().status == .unauthorized && state.contents.isEmpty)
        }
        // Two keys in one request; a key where the version of HTTP is old; a header of another spelling.
        let raw = TestClient.of(9, daemon.socket)
        raw.expect(.get)
        raw.send("GET /v1/models HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer x\r\nauthorization: Bearer \(acmeKey.text)\r\n\r\n")
        #expect(raw.answer().status == .unauthorized)
        raw.expect(.get)
        raw.send("GET /v1/models HTTP/1.1\r\nHost: x\r\nAUTHORIZATION:   bearer   \(acmeKey.text)  \r\n\r\n")
        #expect(raw.answer().models == ["tiny", "acme-legal", "shared-tone"])
        raw.expect(.get)
        raw.send("GET /v1/models HTTP/1.1\r\nHost: x\r\nX-Api-Key: \(acmeKey.text)\r\nProxy-Authorization: Bearer \(acmeKey.text)\r\nCookie: Authorization=Bearer \(acmeKey.text)\r\n\r\n")
        #expect(raw.answer().status == .unauthorized)
        raw.expect(.get)
        raw.send("GET /v1/models?api_key=\(acmeKey.text) HTTP/1.0\r\n\r\n")
        #expect(raw.answer().status == .unauthorized)
    }

    /// A key does not open the admin socket, and nobody else can.
    @Test func theAdminSocketIsItsOwners() {
        let daemon = TestDaemon(adapters: adapters, tenants: tenants(three)).waitUntilReady()
        defer { daemon.stop() }
        #expect(get(daemon.adminSocket, "/adapters").status == .ok)
        let isRefused = Box<Bool>()
        let path = daemon.adminSocket
        asOther(1001) { isRefused.set(TestClient(path) == nil) }
        #expect(isRefused.current == true)
        for target in ["/tenants", "/requests", "/adapters", "/metrics", "/pool"] { #expect(TestClient.of(1001, daemon.socket).get(target).status == .notFound) }
    }
}

@Suite(.enabled(if: mayBecomeOthers)) struct VisibilityTests {
    @Test func aTenantSeesItsOwnAndSharedAdapters() {
        let daemon = TestDaemon(adapters: adapters, tenants: tenants(three)).waitUntilReady()
        defer { daemon.stop() }
        let (acme, beta, gamma) = (TestClient.of(1001, daemon.socket), TestClient.of(1002, daemon.socket), TestClient.of(1003, daemon.socket))
        #expect(acme.get("/v1/models").models == ["tiny", "acme-legal", "shared-tone"] && beta.get("/v1/models").models == ["tiny", "beta-legal", "shared-tone"])
        #expect(gamma.get("/v1/models").models == ["tiny"], "what nobody has said is not allowed")
        // Another's adapter is as one that does not exist, to the letter.
        func same(_ client: TestClient, _ name: String, _ ask: (String) -> Answer) {
            let missing = "none" + String(repeating: "-", count: name.count - 4)
            let (other, none) = (ask(name), ask(missing))
            #expect(other.status == none.status && other.text == none.text.replacing(missing, with: name) && other.fields == none.fields, "\(name): \(other.text)")
        }
        for (client, name) in [(acme, "beta-legal"), (beta, "acme-legal"), (gamma, "shared-tone")] {
            same(client, name) { client.get("/v1/models/\($0)") }
            same(client, name) { client.post("/v1/completions", ["model": .string($0), "prompt": "a"]) }
            same(client, name) { client.post("/v1/chat/completions", ["model": .string($0), "messages": [["role": "u", "content": "a"]]]) }
            same(client, name) { client.post("/tokenize", ["model": .string($0), "prompt": "a"]) }
            same(client, name) { client.post("/detokenize", ["model": .string($0), "tokens": [97]]) }
            #expect(client.get("/v1/models/\(name)").brief == "404 model_not_found")
        }
        for odd in ["BETA-LEGAL", "beta-legal%20", "%62eta-legal", "acme-legal/../beta-legal", "./beta-legal", "beta%2Dlegal"] { #expect(acme.get("/v1/models/\(odd)").status == .notFound, "\(odd)") }
        #expect(acme.post("/v1/completions", ["model": "shared-tone", "prompt": "a", "max_tokens": 1]).status == .ok)
        #expect(acme.post("/tokenize", ["prompt": "ab"]).json["count"] == 3 && gamma.post("/detokenize", ["tokens": [97]]).json["prompt"] == "a")
        // Its context is its own, too.
        #expect(acme.get("/v1/models/base").json["max_model_len"] == 1000 && beta.get("/v1/models/base").json["max_model_len"] == 2000)
        #expect(acme.post("/v1/completions", ["prompt": .string(String(repeating: "x", count: 1000))]).errorCode == "context_length_exceeded")
        #expect(acme.post("/v1/completions", ["prompt": "a", "max_tokens": -1]).json["usage"]?["completion_tokens"] == 998)
    }

    @Test func adaptersAreLoadedForSomebody() {
        let daemon = TestDaemon(adapters: adapters, tenants: tenants(three)).waitUntilReady()
        defer { daemon.stop() }
        let admin = TestClient(daemon.adminSocket)!
        func load(_ name: String, _ tenants: JSON?) -> Answer {
            var body: JSON = ["lora_name": .string(name), "lora_path": "/good"]
            if let tenants, case .object(var members) = body {
                members["tenants"] = tenants
                body = .object(members)
            }
            return admin.post("/v1/load_lora_adapter", body)
        }
        func see(_ name: String) -> [UInt32] { [1001, 1002, 1003].filter { TestClient.of($0, daemon.socket).get("/v1/models/\(name)").status == .ok } }
        #expect(load("x", ["gamma"]).json["tenants"] == ["gamma"] && see("x") == [1003])
        #expect(load("x", nil).json["tenants"] == ["gamma"] && see("x") == [1003], "a new version is for whom the old one was")
        #expect(load("x", ["*"]).json["tenants"] == ["*"] && see("x") == [1001, 1002, 1003])
        #expect(load("acme-secret", ["beta"]).status == .ok && see("acme-secret") == [1002], "what was said of one holds before what is said of names")
        #expect(load("acme-new", nil).json["tenants"] == JSON.null && see("acme-new") == [1001])
        #expect(load("y", []).status == .ok && see("y") == [])
        #expect(load("z", ["acme", "nobody"]).json["warnings"] == ["There is no tenant 'nobody' in the configuration."])
        for bad in [["-a"], [3], "acme", ["a b"], [nil]] as [JSON] { #expect(load("bad", bad).json["error"]?["param"] == "tenants", "\(bad)") }
        #expect(admin.get("/adapters").json["adapters"]?.array?.first { $0["name"] == "x" }?["tenants"] == ["*"])
    }

    @Test func filesAndBatchesAreTheirTenants() {
        let state = StateFolder()
        let daemon = TestDaemon(state: state.path, adapters: adapters, tenants: tenants(three)).waitUntilReady()
        defer { daemon.stop() }
        let (acme, beta) = (TestClient.of(1001, daemon.socket), TestClient.of(1002, daemon.socket))
        let batch = acme.order([
            line("own", ["model": "acme-legal", "prompt": "a", "max_tokens": 2]), line("others", ["model": "beta-legal", "prompt": "a"]),
            line("none", ["model": "none-legal", "prompt": "a"]),
        ])
        let ended = acme.ended(batch)
        #expect(ended["request_counts"] == ["total": 3, "completed": 1, "failed": 2])
        let errors = acme.results(ended["error_file_id"]).map { $0["response"]?["body"]?.text ?? "" }
        #expect(errors.count == 2 && errors[0].contains("model_not_found") && errors[0].replacing("beta-legal", with: "none-legal") == errors[1])
        #expect(daemon.generation.submitted.last { $0.adapter != nil }?.tenant.text == "acme" && daemon.generation.submitted.last?.serviceClass == .bulk)
        let (input, output) = (ended["input_file_id"]!.string!, ended["output_file_id"]!.string!)
        let (mine, file) = (beta.order([line("x", ["prompt": "a"])]), beta.get("/v1/files").json["data"]!.array![0]["id"]!.string!)
        _ = beta.ended(mine)
        func refused(_ answer: Answer, like other: Answer, _ id: String, _ odd: String) {
            #expect(answer.status == .notFound && answer.text == other.text.replacing(odd, with: id), "\(answer.text)")
        }
        let odd = "file-0123456789abcdef0123456789abcdef"
        for id in [input, output] {
            refused(beta.get("/v1/files/\(id)"), like: beta.get("/v1/files/\(odd)"), id, odd)
            refused(beta.get("/v1/files/\(id)/content"), like: beta.get("/v1/files/\(odd)/content"), id, odd)
            beta.request(.delete, "/v1/files/\(id)")
            let deleted = beta.answer()
            beta.request(.delete, "/v1/files/\(odd)")
            refused(deleted, like: beta.answer(), id, odd)
            refused(beta.get("/v1/files?after=\(id)"), like: beta.get("/v1/files?after=\(odd)"), id, odd)
            #expect(acme.get("/v1/files/\(id)").status == .ok)
        }
        let stolen = beta.post("/v1/batches", ["input_file_id": .string(input), "endpoint": "/v1/completions", "completion_window": "24h"])
        #expect(stolen.status == .badRequest && stolen.errorMessage == "There is no file '\(input)'.")
        let none = "batch_0123456789abcdef0123456789abcdef"
        refused(beta.get("/v1/batches/\(batch)"), like: beta.get("/v1/batches/\(none)"), batch, none)
        refused(beta.post("/v1/batches/\(batch)/cancel", [:]), like: beta.post("/v1/batches/\(none)/cancel", [:]), batch, none)
        refused(beta.get("/v1/batches?after=\(batch)"), like: beta.get("/v1/batches?after=\(none)"), batch, none)
        #expect(Set(acme.get("/v1/batches").json["data"]!.array!.map { $0["id"]!.string! }) == [batch] && Set(beta.get("/v1/batches").json["data"]!.array!.map { $0["id"]!.string! }) == [mine])
        #expect(acme.get("/v1/files").json["data"]?.array?.contains { $0["id"]?.string == file } == false)
        #expect(beta.get("/v1/files").json["data"]?.array?.allSatisfy { ![input, output].contains($0["id"]?.string) } == true)
    }
}

@Suite(.enabled(if: mayBecomeOthers)) struct TenantLimitTests {
    /// What is left of a batch whose tenant has gone does not run.
    @Test func batchesOfAFormerTenant() {
        let state = StateFolder()
        let first = TestDaemon(state: state.path, adapters: adapters, tenants: tenants(three)).waitUntilReady()
        let acme = TestClient.of(1001, first.socket)
        let batch = acme.order([line("a", ["prompt": "a"]), line("b", ["prompt": "stall"])])
        #expect(eventually { acme.batch(batch)["request_counts"]?["completed"] == 1 })
        first.stop()
        let without = "[tenant beta]\nuid = 1002\nadapters = *\n"
        let second = TestDaemon(state: state.path, adapters: adapters, tenants: tenants(without)).waitUntilReady()
        let beta = TestClient.of(1002, second.socket)
        #expect(beta.get("/v1/batches/\(batch)").status == .notFound && beta.ended(beta.order([line("x", ["prompt": "a"])]))["status"] == "completed")
        second.stop()
        let third = TestDaemon(state: state.path, adapters: adapters, tenants: tenants(three)).waitUntilReady()
        defer { third.stop() }
        let again = TestClient.of(1001, third.socket)
        let ended = again.ended(batch)
        #expect(ended["request_counts"] == ["total": 2, "completed": 1, "failed": 1])
        #expect(again.results(ended["error_file_id"]).first?["response"]?["status_code"] == 403)
        #expect(second.generation.submitted.allSatisfy { $0.tenant.text != "acme" })
    }

    @Test func limitsAreEnforcedAndCounted() {
        let text = "[tenant slow]\nuid = 1001\nmax-queued = 3\nmax-running = 2\nweight = 3\nkv-floor = 10%\n[tenant poor]\nuid = 1002\ntokens-per-minute = 60\n[tenant rich]\nuid = 1003\n"
        let daemon = TestDaemon(tenants: tenants(text)).waitUntilReady()
        defer { daemon.stop() }
        #expect(daemon.generation.policies[TenantName("slow")!]?.maxRunning == 2 && daemon.generation.policies[TenantName("slow")!]?.weight == 3)
        #expect(daemon.generation.policies[TenantName("slow")!]?.kv.floorPages == 1 && daemon.generation.policies.count == 3)
        daemon.generation.setPages(50)
        #expect(eventually { daemon.generation.policies[TenantName("slow")!]?.kv.floorPages == 5 }, "per cent are of what the pool has now")
        let (waiting, slow, poor) = (TestClient.of(1001, daemon.socket), TestClient.of(1001, daemon.socket), TestClient.of(1002, daemon.socket))
        waiting.request(.post, "/v1/completions", ["prompt": "stall", "n": 2])
        #expect(eventually { daemon.generation.runningCount == 2 })
        let refused = slow.post("/v1/completions", ["prompt": "a", "n": 2])
        #expect(refused.brief == "429 rate_limit_exceeded" && refused.fields[.berthLimit] == "max-queued" && refused.fields[.retryAfter] == "1" && refused.errorMessage.contains("max-queued"))
        #expect(slow.post("/v1/completions", ["prompt": "a", "n": 4]).brief == "400 max_queued_exceeded")
        #expect(slow.post("/v1/completions", ["prompt": "a", "max_tokens": 1]).status == .ok && slow.get("/v1/models").status == .ok)
        // What has a token does not wait; what has left frees its place.
        let streaming = TestClient.of(1001, daemon.socket)
        streaming.request(.post, "/v1/completions", ["prompt": "slow", "max_tokens": 1000, "stream": true])
        _ = streaming.someBytes()
        #expect(slow.post("/v1/completions", ["prompt": "a", "max_tokens": 1]).status == .ok)

        // 60 tokens: 4 of the prompt (its beginning has a token, too) and 70 of the answer.
        #expect(poor.post("/v1/completions", ["prompt": "abc", "max_tokens": 70]).status == .ok)
        let limited = poor.post("/v1/completions", ["prompt": "abc", "max_tokens": 1])
        #expect(limited.fields[.berthLimit] == "tokens-per-minute" && (14...18).contains(Int(limited.fields[.retryAfter] ?? "") ?? 0), "\(limited.text)")
        #expect(poor.get("/v1/models").status == .ok && poor.post("/tokenize", ["prompt": "a"]).status == .ok, "what generates nothing costs nothing")
        #expect(TestClient.of(1003, daemon.socket).post("/v1/completions", ["prompt": "abc", "max_tokens": 70]).status == .ok, "nobody else notices")

        let report = get(daemon.adminSocket, "/tenants").json["tenants"]?.array ?? []
        #expect(report.map { $0["name"]?.string } == ["poor", "rich", "slow"])
        #expect(report[0]["refused"] == ["tokens-per-minute": 1] && report[2]["refused"] == ["max-queued": 1] && report[1]["refused"] == [:])
        #expect(report[2]["settings"]?["max_running"] == 2 && report[2]["settings"]?["uid"] == [1001] && report[2]["settings"]?["kv_floor"] == "10.0%")
        #expect(get(daemon.adminSocket, "/metrics").text.contains("berth_tenant_refused_total{model_name=\"tiny\",tenant=\"poor\",limit=\"tokens-per-minute\"} 1"))
    }

    /// Lines of a tenant without tokens wait; those of others, which come later, do not.
    @Test func linesWaitForTheirTenantsTokens() {
        let state = StateFolder()
        let text = "[tenant poor]\nuid = 1001\ntokens-per-minute = 1000\n[tenant rich]\nuid = 1002\n"
        let daemon = TestDaemon(state: state.path, tenants: tenants(text)).waitUntilReady()
        defer { daemon.stop() }
        let (poor, rich) = (TestClient.of(1001, daemon.socket), TestClient.of(1002, daemon.socket))
        let held = poor.order((0..<1200).map { line("\($0)", ["prompt": "abc", "max_tokens": 100]) })
        #expect(eventually { (poor.batch(held)["request_counts"]?["completed"]?.int ?? 0) >= 9 })
        let other = rich.order((0..<600).map { line("\($0)", ["prompt": "abc", "max_tokens": 2]) })
        #expect(rich.ended(other)["request_counts"]?["completed"] == 600)
        let done = poor.batch(held)["request_counts"]?["completed"]?.int ?? 0
        #expect(done < 700, "\(done) lines of 104 tokens")
        let cancelled = poor.post("/v1/batches/\(held)/cancel", [:])
        #expect(cancelled.status == .ok && poor.ended(held)["status"] == "cancelled")
    }

    @Test func storesHaveTheirShare() {
        let state = StateFolder()
        let text = "[tenant small]\nuid = 1001\nbatch-bytes = 1K\nbatch-lines = 3\n[tenant other]\nuid = 1002\n"
        let daemon = TestDaemon(state: state.path, tenants: tenants(text)).waitUntilReady()
        defer { daemon.stop() }
        let (small, other) = (TestClient.of(1001, daemon.socket), TestClient.of(1002, daemon.socket))
        #expect(small.upload(form([UInt8](repeating: 65, count: 600))).status == .ok)
        let refused = small.upload(form([UInt8](repeating: 65, count: 600)))
        #expect(refused.status == .tooManyRequests && refused.fields[.berthLimit] == "batch-bytes" && refused.fields[.retryAfter] == "60", "\(refused.text)")
        #expect(eventually { state.contents.count == 1 }, "nothing is left of it")
        #expect(other.upload(form([UInt8](repeating: 65, count: 600))).status == .ok)
        let again = TestClient.of(1001, daemon.socket)
        let batch = again.order((0..<3).map { line("\($0)", ["prompt": "stall"]) })
        #expect(eventually { again.batch(batch)["request_counts"]?["total"] == 3 }, "\(batch)")
        let file = again.batch(batch)["input_file_id"] ?? nil
        let second = again.post("/v1/batches", ["input_file_id": file, "endpoint": "/v1/completions", "completion_window": "24h"])
        #expect(second.status == .tooManyRequests && second.fields[.berthLimit] == "batch-lines", "\(second.text)")
        _ = again.post("/v1/batches/\(batch)/cancel", [:])
        _ = again.ended(batch)
        #expect(again.post("/v1/batches", ["input_file_id": file, "endpoint": "/v1/completions", "completion_window": "24h"]).status == .ok)
    }

    @Test func reloading() {
        let next = Mutex<Result<TenantConfiguration, ConfigurationError>?>(nil)
        let daemon = TestDaemon(adapters: adapters, tenants: tenants(three), reread: { next.withLock { $0 } }).waitUntilReady()
        defer { daemon.stop() }
        func reload(_ result: Result<TenantConfiguration, ConfigurationError>, _ words: String) {
            next.withLock { $0 = result }
            let before = daemon.log.withLock { $0.count }
            daemon.reload()
            #expect(eventually { daemon.log.withLock { $0.dropFirst(before).contains { $0.contains(words) } } }, "\(words)")
        }
        let acme = TestClient.of(1001, daemon.socket)
        #expect(acme.get("/v1/models").status == .ok)
        reload(.failure(ConfigurationError("/etc/berth/x.conf, line 3: uid 5 is tenant a")), "reloaded in part: 1 added, 0 changed, 0 removed, 0 refused, 0 as before; /etc/berth/x.conf, line 3: uid 5 is tenant a")
        #expect(acme.get("/v1/models").status == .ok && get(daemon.adminSocket, "/tenants").json["reload_problem"] == "/etc/berth/x.conf, line 3: uid 5 is tenant a", "a bad file keeps what was")
        // A stream of a tenant that is removed ends as it began; the next request of the same connection is nobody's.
        acme.request(.post, "/v1/completions", ["model": "acme-legal", "prompt": "slow", "max_tokens": 20, "stream": true])
        #expect(eventually { daemon.generation.runningCount == 1 })
        reload(.success(tenants("[tenant beta]\nuid = 1002\nadapters = *\nmax-running = 7")), "reloaded: 1 added")
        #expect(acme.answer().streamedText == ScriptedGeneration.output("slow", adapter: AdapterName("acme-legal"), count: 20))
        #expect(acme.get("/v1/models").brief == "403 unknown_tenant")
        #expect(TestClient.of(1002, daemon.socket).get("/v1/models").models == ["tiny", "acme-legal", "beta-legal", "found", "shared-tone"])
        #expect(eventually { daemon.generation.policies.keys.map(\.text) == ["beta"] && daemon.generation.policies[TenantName("beta")!]?.maxRunning == 7 })
        #expect(get(daemon.adminSocket, "/tenants").json["reload_problem"] == JSON.null)
        reload(.success(TenantConfiguration()), "reloaded: 1 added")
        #expect(acme.get("/v1/models").status == .ok && eventually { daemon.generation.policies.isEmpty })
    }

    /// Whoever opens all connections and uploads that there are leaves others theirs.
    @Test func floodsLeaveRoomForOthers() {
        let state = StateFolder()
        let daemon = TestDaemon(state: state.path, tenants: TenantConfiguration()).waitUntilReady()
        defer { daemon.stop() }
        var uploads: [TestClient] = []
        var refused: Answer?
        for _ in 0..<Limits.uploads where refused == nil {
            let client = TestClient.of(1001, daemon.socket)
            client.send("POST /v1/files HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=XyZ\r\nContent-Length: 30000000\r\n\r\n--XyZ")
            let before = client.isAnswered(within: 200)
            client.expect(.post)
            if before { refused = client.answer() } else { uploads.append(client) }
        }
        #expect(uploads.count == Limits.uploads / 2 && refused?.fields[.berthLimit] == "queue-share")
        #expect(TestClient.of(1002, daemon.socket).upload(form([1])).status == .ok)

        // Bodies that never end: half of the room, and none of anybody else's.
        var bodies: [TestClient] = []
        for _ in 0..<(Limits.bodiesBytes / Limits.bodyBytes / 2) {
            let client = TestClient.of(1001, daemon.socket)
            client.send("POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: \(Limits.bodyBytes)\r\n\r\n{")
            bodies.append(client)
        }
        #expect(eventually { TestClient.of(1001, daemon.socket).post("/v1/completions", ["prompt": "a", "max_tokens": 1]).fields[.berthLimit] == "queue-share" })
        #expect(TestClient.of(1002, daemon.socket).post("/v1/completions", ["prompt": "a", "max_tokens": 1]).status == .ok)
        bodies.removeAll()
        #expect(eventually { TestClient.of(1001, daemon.socket).post("/v1/completions", ["prompt": "a", "max_tokens": 1]).status == .ok })

        var idle: [TestClient] = []
        while idle.count < Limits.connections {
            let client = TestClient.of(1001, daemon.socket)
            guard client.get("/health/live").status == .ok else { break }
            idle.append(client)
        }
        #expect((Limits.connections / 2 - 10...Limits.connections / 2).contains(idle.count + uploads.count), "\(idle.count)")
        #expect(TestClient.of(1002, daemon.socket).get("/v1/models").status == .ok)
        idle.removeAll()
        #expect(eventually { TestClient.of(1001, daemon.socket).get("/health/live").status == .ok })
    }
}
