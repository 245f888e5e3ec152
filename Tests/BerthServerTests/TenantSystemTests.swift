// Tenants with the real model, engine and registry, and the daemon as a program with a real configuration.

import BerthClient
import BerthCore
import Foundation
import Testing

@testable import BerthServer

@Suite(.serialized) struct TenantSystemTests {
    private static let (acmeKey, betaKey) = (APIKey.random(), APIKey.random())
    private static let text = """
        [tenant acme]
        key-sha256 = \(acmeKey.digest)
        adapters = french
        max-adapters = 2
        kv-ceiling = 50%
        [tenant beta]
        key-sha256 = \(betaKey.digest)
        adapters = *
        adapter-bytes = 1K
        """
    private static let adapters = RealDaemon.demo + "/adapters"

    private func names(_ client: BerthClient) async throws -> Set<String> { Set(try await client.models().map(\.name)) }

    private func refusal(_ body: () async throws -> Void) async -> BerthClientError.Refusal? {
        do { try await body() } catch BerthClientError.refused(let refusal) { return refusal } catch {}
        return nil
    }

    @Test func whomAdaptersAreForIsRemembered() async throws {
        let state = NSTemporaryDirectory() + "berth-tenants-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: state) }
        for life in 0..<2 {
            let daemon = try await RealDaemon(state: state) { $0.tenants = tenants(Self.text) }
            defer { daemon.stop() }
            let (acme, beta) = (BerthClient(socketPath: daemon.client.socketPath, apiKey: Self.acmeKey.text), BerthClient(socketPath: daemon.client.socketPath, apiKey: Self.betaKey.text))
            if life == 0 {
                try await daemon.admin.loadAdapter("secret", path: Self.adapters + "/german", tenants: ["acme"])
                try await daemon.admin.loadAdapter("second", path: Self.adapters + "/german", tenants: ["acme"])
                let third = await refusal { try await daemon.admin.loadAdapter("third", path: Self.adapters + "/german", tenants: ["acme"]) }
                #expect(third?.status == 429 && third?.limit == "max-adapters" && third?.retryAfterSeconds == 60, "\(third as Any)")
                try await daemon.admin.unloadAdapter("second")
                try await daemon.admin.loadAdapter("secret", path: Self.adapters + "/roman")
                let large = await refusal { try await daemon.admin.loadAdapter("third", path: Self.adapters + "/german", tenants: ["beta"]) }
                #expect(large?.status == 429 && large?.limit == "adapter-bytes")
            }
            let base = URL(fileURLWithPath: RealDaemon.demo).lastPathComponent
            #expect(try await names(acme) == [base, "french", "secret"], "life \(life)")
            let ofBeta = try await names(beta)
            #expect(ofBeta.contains("german") && ofBeta.contains("french") && !ofBeta.contains("secret") && !ofBeta.contains("third"))
            let options = SamplingOptions(maxTokens: 12, temperature: 0)
            #expect(try await acme.complete(CompletionRequest(model: "secret", prompt: "87 =", options: options)).text == " LXXXVII")
            #expect(await refusal { _ = try await beta.complete(CompletionRequest(model: "secret", prompt: "87 =", options: options)) }?.code == "model_not_found")
            #expect(await refusal { _ = try await daemon.client.models() }?.status == 401)
            // What they have used, from the engine's own books.
            let list = try await daemon.admin.tenants()
            #expect(list.tenants.map(\.name) == ["acme", "beta"] && list.tenants.allSatisfy(\.isConfigured) && list.reloadProblem == nil)
            let used = list.tenants[0]
            #expect(used.use.requests == 1 && used.use.promptTokens > 0 && used.use.generatedTokens > 0 && used.adapters.map(\.name) == ["secret"] && used.adapters[0].use == used.use)
            #expect(list.tenants[1].use.requests == 0)
            #expect(!list.json.text.contains(Self.acmeKey.digest.description), "not even hashes of keys")
        }
    }

    /// With files on disk: a section, one of `tenants.d`, a reload that is bad and one that is good; the tool's key opens the door.
    @Test func theDaemonReadsItsFiles() async throws {
        let folder = NSTemporaryDirectory() + "berth-conf-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: folder + "/tenants.d", withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        func write(_ name: String, _ text: String) throws { try text.write(toFile: "\(folder)/\(name)", atomically: true, encoding: .utf8) }
        let lines = try Programs.berth(["tenant", "key"]).text.split(separator: "\n").map(String.init)
        let key = try #require(lines.first.flatMap { APIKey($0) })
        #expect(lines.count == 2 && lines[1] == "key-sha256 = \(key.digest)")

        try write("berthd.conf", "model = \(RealDaemon.demo)\nmemory = 256M\nsocket = \(folder)/s\nadmin-socket = \(folder)/a\nstate-dir = \(folder)/state\ncache-dir = \(folder)/cache\n")
        try write("tenants.d/acme.conf", "[tenant acme]\n\(lines[1])\n")
        let (daemon, log) = (Process(), Pipe())
        daemon.executableURL = try Programs.url("berthd")
        daemon.arguments = ["--config", folder + "/berthd.conf"]
        daemon.standardError = log
        try daemon.run()
        defer {
            daemon.terminate()
            daemon.waitUntilExit()
        }
        let (stranger, acme) = (BerthClient(socketPath: folder + "/s"), BerthClient(socketPath: folder + "/s", apiKey: key.text))
        func eventually(_ condition: () async throws -> Bool) async throws -> Bool {
            for _ in 0..<1500 {
                if try await condition() { return true }
                try await Task.sleep(nanoseconds: 20_000_000)
            }
            return false
        }
        #expect(try await eventually { (try? await stranger.isReady()) == true })
        #expect(await refusal { _ = try await stranger.models() }?.code == "missing_api_key")
        #expect(try await acme.models().count == 1)
        #expect(try Programs.berth(["models", "--socket", folder + "/s"], ["BERTH_API_KEY": key.text]).code == 0)
        let advised = try Programs.berth(["models", "--socket", folder + "/s"])
        #expect(advised.code != 0 && advised.text.contains("BERTH_API_KEY"))

        try write("tenants.d/bad.conf", "[tenant beta]\nuid = 1\n[tenant gamma]\nuid = 1\n")
        kill(daemon.processIdentifier, SIGHUP)
        let admin = BerthAdmin(socketPath: folder + "/a")
        let problem = "\(folder)/tenants.d/bad.conf, line 4: uid 1 is tenant beta"
        #expect(try await eventually { try await admin.tenants().reloadProblem == problem })
        #expect(try await acme.models().count == 1, "what was there holds")
        #expect(try Programs.berth(["tenants", "--admin-socket", folder + "/a"]).text.contains("the last reload changed no settings: \(problem)"))
        try write("tenants.d/bad.conf", "[tenant beta]\nuid = \(geteuid())\n")
        kill(daemon.processIdentifier, SIGHUP)
        #expect(try await eventually { try await admin.tenants().tenants.map(\.name) == ["acme", "beta"] })
        #expect(try await admin.tenants().reloadProblem == nil)
        #expect(try await stranger.models().count == 1, "the user of these tests is beta now")
    }
}
