// The daemon and the files of its adapters: at start, when they change, on a reload.

import BerthClient
import BerthCore
import Foundation
import Testing

@testable import BerthServer

@Suite(.serialized) struct AdapterFilesTests {
    /// A directory of adapters that goes with the value.
    private final class Adapters: Sendable {
        let path = NSTemporaryDirectory() + "berth-adapters-\(UUID().uuidString)"

        /// Copies of the demo's adapters under other names.
        init(_ adapters: KeyValuePairs<String, String> = [:]) throws {
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
            for (name, adapter) in adapters { try put(adapter, as: name) }
        }

        deinit { try? FileManager.default.removeItem(atPath: path) }

        func file(_ name: String) -> String { "\(path)/\(name)" }

        func put(_ adapter: String, as name: String) throws {
            try remove(name)
            let parent = (file(name) as NSString).deletingLastPathComponent
            try FileManager.default.createDirectory(atPath: parent, withIntermediateDirectories: true)
            try FileManager.default.copyItem(atPath: "\(RealDaemon.demo)/adapters/\(adapter)", toPath: file(name))
        }

        func remove(_ name: String) throws {
            if FileManager.default.fileExists(atPath: file(name)) { try FileManager.default.removeItem(atPath: file(name)) }
        }

        func change(_ name: String, _ body: (inout Data) -> Void) throws {
            let url = URL(fileURLWithPath: file(name))
            var data = try Data(contentsOf: url)
            body(&data)
            try data.write(to: url)
        }

        func write(_ name: String, _ text: String) throws { try text.write(toFile: file(name), atomically: true, encoding: .utf8) }

        /// The first number becomes 1.7e38: finite as bf16, as it is saved, and infinite as f16.
        func overflow(_ name: String) throws {
            try change("\(name)/adapter_model.safetensors") { data in
                let header = data.prefix(8).reversed().reduce(0) { $0 << 8 | Int($1) }
                data[8 + header] = 0
                data[8 + header + 1] = 0x7F
            }
        }
    }

    private static let options = SamplingOptions(maxTokens: 24, temperature: 0)

    private func answer(_ daemon: RealDaemon, _ model: String) async throws -> String {
        try await daemon.client.complete(CompletionRequest(model: model, prompt: "87 =", options: Self.options)).text
    }

    private func answers(_ daemon: RealDaemon, _ models: [String]) async throws -> [String] {
        var answers: [String] = []
        for model in models { answers.append(try await answer(daemon, model)) }
        return answers
    }

    private func refusal(_ daemon: RealDaemon, _ model: String) async -> BerthClientError? {
        do {
            _ = try await answer(daemon, model)
            return nil
        } catch { return error as? BerthClientError }
    }

    private func message(_ error: BerthClientError?, status: Int) -> String? {
        guard case .refused(let refusal) = error, refusal.status == status else { return nil }
        return refusal.message
    }

    private func models(_ daemon: RealDaemon) async throws -> [String] { try await daemon.client.models().map(\.name) }

    private func reload(_ daemon: RealDaemon) async throws -> String {
        let count = daemon.lines.count
        daemon.reload()
        return try #require(try await daemon.line("reloaded", after: count))
    }

    /// What came, went, changed and broke is in the log by name, and in the answers; a stream that runs ends on what it began with.
    @Test func aReloadServesWhatIsThere() async throws {
        let adapters = try Adapters(["changed": "french", "gone": "german", "same": "ordinal", "broken": "roman"])
        let elsewhere = try Adapters(["hot": "spanish", "lost": "digits"])
        let daemon = try await RealDaemon(adapters: adapters.path)
        defer { daemon.stop() }
        try await daemon.admin.loadAdapter("org/hot", path: elsewhere.file("hot"))
        try await daemon.admin.pinAdapter("org/hot")
        try await daemon.admin.loadAdapter("lost", path: elsewhere.file("lost"))
        let french = try await answer(daemon, "changed"), spanish = try await answer(daemon, "org/hot")
        let ordinal = try await answer(daemon, "same"), german = try await answer(daemon, "gone")
        #expect(Set([french, spanish, ordinal, german]).count == 4)

        var long = CompletionRequest(model: "changed", prompt: "5 =", options: SamplingOptions(maxTokens: 400, temperature: 0))
        long.options.ignoresEndTokens = true
        let alone = try await daemon.client.complete(long).text
        var text = ""
        var summary = ""
        for try await chunk in try await daemon.client.stream(long) {
            text += chunk.text
            guard summary.isEmpty else { continue }
            try adapters.put("spanish", as: "changed")
            try adapters.remove("gone")
            try adapters.put("german", as: "new")
            try adapters.change("broken/adapter_model.safetensors") { $0.removeLast(500) }
            try elsewhere.put("french", as: "hot")
            try elsewhere.remove("lost")
            summary = try await reload(daemon)
        }
        #expect(text == alone)
        #expect(summary.contains("1 added, 2 changed, 1 removed, 2 refused, 1 as before"), "\(summary)")
        for line in [
            "adapter new is new", "adapter changed has changed", "adapter org/hot has changed", "adapter gone is removed", "adapter broken is refused: ",
            "adapter lost is refused: \(elsewhere.file("lost")): cannot open lost: No such file or directory; it stays listed until it is unloaded",
        ] { #expect(daemon.lines.contains { $0.contains(line) }, "\(line): \(daemon.lines)") }
        #expect(try await models(daemon) == ["demo", "changed", "same", "org/hot", "new"])
        #expect(try await answers(daemon, ["changed", "org/hot"]) == [spanish, french])
        #expect(try await answers(daemon, ["same", "new"]) == [ordinal, german])
        #expect(message(await refusal(daemon, "gone"), status: 404) != nil)
        #expect(message(await refusal(daemon, "broken"), status: 422)?.contains("cannot be used") == true)
        let listed = try await daemon.admin.adapters()["adapters"]?.array ?? []
        #expect(listed.first { $0["name"] == "org/hot" }?["pinned"] == true)
        #expect(listed.first { $0["name"] == "lost" }?["state"] == "rejected")

        // Nothing has changed since; and what was lost comes back.
        #expect(try await reload(daemon).contains("0 added, 0 changed, 0 removed, 2 refused, 4 as before"))
        try elsewhere.put("german", as: "lost")
        try adapters.put("ordinal", as: "broken")
        #expect(try await reload(daemon).contains("0 added, 2 changed, 0 removed, 0 refused, 4 as before"))
        #expect(try await answers(daemon, ["lost", "broken"]) == [german, ordinal])
    }

    /// A reload that cannot look says so, and takes nothing away.
    @Test func aFailedReloadIsSaidAndHarmsNothing() async throws {
        let adapters = try Adapters(["a": "ordinal"])
        let daemon = try await RealDaemon(adapters: adapters.path)
        defer { daemon.stop() }
        try FileManager.default.moveItem(atPath: adapters.path, toPath: adapters.path + "-away")
        defer { try? FileManager.default.removeItem(atPath: adapters.path + "-away") }
        #expect(try await reload(daemon).contains("reloaded in part"))
        #expect(daemon.lines.contains { $0.contains("adapters directory \(adapters.path): No such file") })
        #expect(try await models(daemon) == ["demo", "a"])
        try FileManager.default.moveItem(atPath: adapters.path + "-away", toPath: adapters.path)
        #expect(try await reload(daemon).contains("1 as before"))
    }

    /// Whatever lies in memory: a request that begins now gets what is there now, or is told what is wrong with it.
    @Test func aRequestGetsWhatIsThereNow() async throws {
        let adapters = try Adapters(["a": "german"])
        let daemon = try await RealDaemon(adapters: adapters.path)
        defer { daemon.stop() }
        let base = try await answer(daemon, "base"), german = try await answer(daemon, "a")
        #expect(base != german)
        // The configuration alone: without a scale the adapter does nothing.
        try adapters.change("a/adapter_config.json") { $0 = Data(String(decoding: $0, as: UTF8.self).replacingOccurrences(of: "\"lora_alpha\": 48", with: "\"lora_alpha\": 0").utf8) }
        #expect(try await answer(daemon, "a") == base)
        #expect(daemon.lines.contains { $0.contains("adapter a has changed") })
        // The tensors, in place and half-way.
        let whole = try Data(contentsOf: URL(fileURLWithPath: adapters.file("a/adapter_model.safetensors")))
        try adapters.change("a/adapter_model.safetensors") { $0.removeLast(700) }
        #expect(message(await refusal(daemon, "a"), status: 422)?.contains("data_offsets end at") == true)
        try adapters.change("a/adapter_model.safetensors") { $0 = whole }
        #expect(try await answer(daemon, "a") == base)
        try adapters.put("german", as: "a")
        #expect(try await answer(daemon, "a") == german)
        // Gone is not changed: a folder that is being replaced is gone for a moment.
        try adapters.remove("a")
        #expect(try await answer(daemon, "a") == german)
        try adapters.put("french", as: "a")
        let french = try await answer(daemon, "a")
        #expect(french != german && french != base)
    }

    /// PEFT saves an adapter with a name one folder further down. What cannot be served is in the log, whatever it is.
    @Test func foldersOfAllKinds() async throws {
        let adapters = try Adapters(["plain": "ordinal", "nested/german": "german", "two/french": "french", "two/spanish": "spanish", "bad name": "digits"])
        try FileManager.default.createDirectory(atPath: adapters.file("empty/deeper"), withIntermediateDirectories: true)
        try adapters.write("README.md", "Files are nobody's business.")
        let daemon = try await RealDaemon(adapters: adapters.path)
        defer { daemon.stop() }
        #expect(try await models(daemon) == ["demo", "nested", "plain"])
        try await daemon.admin.loadAdapter("hot", path: adapters.file("nested"))
        let same = try await answers(daemon, ["nested", "hot"])
        #expect(same[0] == same[1])
        for line in [
            "adapter folder empty is left out: there is no adapter_config.json in it or one folder further down",
            "adapter folder bad name is left out: its name cannot be an adapter's", "2 adapters registered, 2 of them found",
            "adapter two is refused: \(adapters.file("two")): the folder holds 2 adapters (french, spanish), and one name can serve only one of them: give each",
        ] { #expect(daemon.lines.contains { $0.contains(line) }, "\(line): \(daemon.lines)") }
        #expect(!daemon.lines.contains { $0.contains("README") })
        #expect(message(await refusal(daemon, "two"), status: 422)?.contains("(french, spanish)") == true)
        try await daemon.admin.loadAdapter("two", path: adapters.file("two/french"))
        #expect(Set(try await answers(daemon, ["two", "plain"])).count == 2)
    }

    /// Numbers that cannot be computed with are found without a request, and what has been found good is not read again in the next life.
    @Test func badNumbersAreFoundAfterTheStart() async throws {
        let adapters = try Adapters(["big": "german", "good": "ordinal", "fine": "french"])
        try adapters.overflow("big")
        let reason = "holds a value that is too large for f16, in which adapters are computed here"
        let first = try await RealDaemon(adapters: adapters.path)
        #expect(try await first.line("adapter big is refused")?.contains(reason) == true)
        #expect(try await first.line("adapters read whole and checked: 3") != nil)
        #expect(try await models(first) == ["demo", "fine", "good"])
        #expect(message(await refusal(first, "big"), status: 422)?.contains(reason) == true)
        await #expect { try await first.admin.loadAdapter("hot", path: adapters.file("big")) } throws: { message($0 as? BerthClientError, status: 422)?.contains(reason) == true }
        try adapters.overflow("good")
        try adapters.put("roman", as: "newer")
        try adapters.overflow("newer")
        #expect(try await reload(first).contains("0 added, 0 changed, 0 removed, 3 refused, 1 as before"))
        let cache = first.directory + "/cache"
        first.stop()

        let second = try await RealDaemon(adapters: adapters.path, cache: cache)
        defer { second.stop() }
        #expect(try await second.line("adapters read whole and checked: 3") != nil, "all but the good one: \(second.lines)")
        #expect(try await models(second) == ["demo", "fine"])
        // With exact weights adapters are computed in f32, which is another question.
        let third = try await RealDaemon(adapters: adapters.path, cache: cache) { $0.weights = .f32 }
        #expect(try await third.line("adapters read whole and checked: 4") != nil)
        #expect(try await models(third) == ["demo", "big", "fine", "good", "newer"])
        third.stop()
    }

    /// An adapter's own tokenizer and template are not used: whoever loads it is told.
    @Test func textOfItsOwnIsSaid() async throws {
        let adapters = try Adapters(["same": "ordinal", "template": "german", "tokens/inner": "french"])
        for name in ["same", "template", "tokens"] {
            for file in ["tokenizer.json", "tokenizer_config.json", "chat_template.jinja"] {
                try FileManager.default.copyItem(atPath: "\(RealDaemon.demo)/\(file)", toPath: adapters.file("\(name)/\(file)"))
            }
        }
        // Written anew by another program: other white space, and padding, which is nothing to us.
        try adapters.change("same/tokenizer.json") { data in
            let object = try! JSONSerialization.jsonObject(with: data)
            data = try! JSONSerialization.data(withJSONObject: object, options: [.sortedKeys])
        }
        try adapters.change("same/chat_template.jinja") { $0.append(0x0A) }
        try adapters.change("template/chat_template.jinja") { $0.append(contentsOf: Array("Answer in German.".utf8)) }
        try adapters.change("tokens/tokenizer.json") { data in
            var object = try! JSONSerialization.jsonObject(with: data) as! [String: Any]
            var added = object["added_tokens"] as! [[String: Any]]
            var token = added[0]
            token["id"] = 864
            token["content"] = "<|tool|>"
            added.append(token)
            object["added_tokens"] = added
            data = try! JSONSerialization.data(withJSONObject: object)
        }
        let template = "its chat template is another than the base model's, which is the one that is used"
        let daemon = try await RealDaemon(adapters: adapters.path)
        #expect(try await daemon.line("adapter template: \(template)") != nil)
        #expect(try await daemon.line("adapter tokens: its tokenizer is another than the base model's (token 864 is '<|tool|>' there and none here)") != nil, "\(daemon.lines)")
        #expect(try await daemon.line("adapters read whole and checked: 3") != nil)
        #expect(!daemon.lines.contains { $0.contains("adapter same: ") })
        let receipt = try await daemon.admin.loadAdapter("hot", path: adapters.file("template"))
        #expect(receipt["warnings"]?.array?.compactMap(\.string) == [template])
        let listed = try await daemon.admin.adapters()["adapters"]?.array ?? []
        #expect(listed.first { $0["name"] == "tokens" }?["warnings"]?.array?.count == 1)
        // A tokenizer that comes later, and one that is none.
        try FileManager.default.copyItem(atPath: adapters.file("template/chat_template.jinja"), toPath: adapters.file("tokens/inner/chat_template.jinja"))
        #expect(mkfifo(adapters.file("same/added_tokens.json"), 0o644) == 0)
        #expect(try await reload(daemon).contains("0 added, 0 changed, 0 removed, 0 refused, 4 as before"))
        #expect(try await daemon.line("adapter tokens: \(template)") != nil)
        #expect(try await daemon.line("adapter same: its tokenizer cannot be compared with the base model's, which is the one that is used: added_tokens.json: not a regular file") != nil)
        #expect(try await daemon.line("adapters read whole and checked: 2") != nil)
        try adapters.remove("same/added_tokens.json")
        let (cache, state) = (daemon.directory + "/cache", daemon.directory + "/state")
        daemon.stop()
        // Remembered with what was read.
        let second = try await RealDaemon(adapters: adapters.path, cache: cache, state: state)
        #expect(second.lines.contains { $0.contains("adapter hot: \(template)") } && second.lines.contains { $0.contains("adapter tokens: ") })
        #expect(!second.lines.contains { $0.contains("read whole") })
        second.stop()
    }

    /// The list of loaded adapters has moved out of the cache, and what cannot be read of it is kept.
    @Test func theListOfLoadedAdaptersIsNeverLost() async throws {
        let adapters = try Adapters(["x": "ordinal"])
        let first = try await RealDaemon(adapters: nil)
        try await first.admin.loadAdapter("x", path: adapters.file("x"))
        let (cache, state) = (first.directory + "/cache", first.directory + "/state")
        first.stop()
        let name = try #require(FileManager.default.contentsOfDirectory(atPath: state).first { $0.hasPrefix("adapters-") })
        #expect(!FileManager.default.fileExists(atPath: "\(cache)/\(name)"))
        try FileManager.default.moveItem(atPath: "\(state)/\(name)", toPath: "\(cache)/\(name)")

        let second = try await RealDaemon(adapters: nil, cache: cache, state: state)
        #expect(try await models(second) == ["demo", "x"])
        #expect(second.lines.contains { $0.contains("has moved from \(cache)/\(name) to \(state)/\(name)") })
        second.stop()
        #expect(FileManager.default.fileExists(atPath: "\(state)/\(name)") && !FileManager.default.fileExists(atPath: "\(cache)/\(name)"))

        try Data("{\"loaded\": {".utf8).write(to: URL(fileURLWithPath: "\(state)/\(name)"))
        let third = try await RealDaemon(adapters: nil, cache: cache, state: state)
        #expect(third.lines.contains { $0.contains("the list of loaded adapters cannot be read") })
        #expect(third.lines.contains { $0.contains("is kept as \(state)/\(name).unreadable-1") })
        try await third.admin.loadAdapter("y", path: adapters.file("x"))
        third.stop()
        #expect(try String(contentsOfFile: "\(state)/\(name).unreadable-1", encoding: .utf8) == "{\"loaded\": {")

        let fourth = try await RealDaemon(adapters: nil, cache: cache, state: state)
        #expect(try await models(fourth) == ["demo", "y"])
        fourth.stop()
    }
}
