// The whole ring, with the demo model: what a user sees, compared exactly.

import BerthClient
import BerthCore
import BerthKernels
import Foundation
import Testing

@testable import BerthServer

@Suite(.serialized) struct SystemTests {
    /// What one stream delivered.
    private struct Outcome: Equatable, Sendable {
        var text: String
        var finish: String?
        var logprobs: [Double]
    }

    struct Setup: Sendable {
        var memory: String
        var weights: WeightFormat
        var kv: KVElement
    }

    private func run(_ client: BerthClient, _ request: CompletionRequest) async throws -> Outcome {
        var outcome = Outcome(text: "", logprobs: [])
        for try await chunk in try await client.stream(request) {
            outcome.text += chunk.text
            outcome.finish = chunk.finishReason ?? outcome.finish
            outcome.logprobs += chunk.logprobs.map(\.logprob)
        }
        return outcome
    }

    private static let models = ["base", "french", "german", "spanish", "roman", "ordinal", "digits"]

    private func request(_ index: Int, seed: UInt64) -> CompletionRequest {
        var random = RandomSource(seed: seed &+ UInt64(index))
        let count = 1 + index % 3
        let prompt = (0..<count).map { _ in "\(Int.random(in: 0..<4000, using: &random)) =" }.joined(separator: "\n")
        var options = SamplingOptions(maxTokens: 8 + index % 9, temperature: index % 2 == 0 ? 0 : 0.9, seed: index)
        options.ignoresEndTokens = index % 4 == 1 ? true : nil
        options.logprobs = 2
        return CompletionRequest(model: Self.models[index % Self.models.count], prompt: prompt, options: options)
    }

    /// The reference answers of transformers and PEFT, in text and in token ids.
    @Test func answersAsTheReferenceDoes() async throws {
        let daemon = try await RealDaemon()
        defer { daemon.stop() }
        let golden = try JSON(parsing: Array(Data(contentsOf: URL(fileURLWithPath: RealDaemon.repository + "/Tests/BerthServerTests/Fixtures/demo-golden.json"))))
        let entries = try #require(golden.array)
        #expect(entries.count >= 50)
        for entry in entries {
            let model = entry["adapter"]?.string ?? "base"
            let wanted = try #require(entry["text"]?.string)
            let options = SamplingOptions(maxTokens: 40, temperature: 0)
            if let prompt = entry["prompt"]?.string {
                #expect(try await daemon.client.tokenize(prompt).map(Int.init) == entry["promptIDs"]?.array?.compactMap(\.int))
                #expect(try await daemon.client.complete(CompletionRequest(model: model, prompt: prompt, options: options)).text == wanted, "\(model): \(prompt)")
            } else {
                let messages = (entry["messages"]?.array ?? []).map { ChatMessage(role: $0["role"]!.string!, content: $0["content"]!.string!) }
                #expect(try await daemon.client.chat(ChatRequest(model: model, messages: messages, options: options)).text == wanted, "\(model): \(messages)")
            }
        }
    }

    /// Sixteen streams on seven models at once, greedy and sampled: every stream's tokens and log-probabilities are those of the same request alone.
    /// With room for everything, and with so little that adapters and requests push each other out; with weights, keys and values as they are, and quantised.
    @Test(arguments: [
        Setup(memory: "256M", weights: .bf16, kv: .f16), Setup(memory: "90M", weights: .bf16, kv: .f16),
        Setup(memory: "256M", weights: .int8, kv: .int8), Setup(memory: "90M", weights: .int4, kv: .int8),
    ])
    func streamsAreTheSameTogetherAsAlone(setup: Setup) async throws {
        let daemon = try await RealDaemon {
            $0.memory = ByteSize(setup.memory)
            $0.weights = setup.weights
            $0.kv = setup.kv
        }
        defer { daemon.stop() }
        let seed: UInt64 = 20
        var alone: [Outcome] = []
        for index in 0..<16 { alone.append(try await run(daemon.client, request(index, seed: seed))) }
        #expect(Set(alone.map(\.text)).count > 8)
        for _ in 0..<3 {
            let together = try await withThrowingTaskGroup(of: (Int, Outcome).self) { group in
                for index in 0..<16 {
                    let request = request(index, seed: seed)
                    group.addTask { (index, try await run(daemon.client, request)) }
                }
                return try await group.reduce(into: [Int: Outcome]()) { $0[$1.0] = $1.1 }
            }
            for index in 0..<16 { #expect(together[index] == alone[index], "seed \(seed), stream \(index)") }
        }
        let pool = try await daemon.admin.pool()
        #expect(pool["classes"]?["kv"]?.int == pool["cached"]?.int, "all requests have ended: \(pool.text)")
    }

    /// Clients that vanish, in prefill too, leave nothing behind and change nobody's tokens.
    @Test func vanishingClientsHarmNobody() async throws {
        let daemon = try await RealDaemon()
        defer { daemon.stop() }
        let alone = try await run(daemon.client, request(3, seed: 5))
        for round in 0..<5 {
            let stayed = Task { try await run(daemon.client, request(3, seed: 5)) }
            var leaving: [Task<Void, any Error>] = []
            for index in 0..<8 {
                var options = SamplingOptions(maxTokens: 200, temperature: 0)
                options.ignoresEndTokens = true
                let prompt = String(repeating: "12 = ", count: 1 + 30 * (index % 3))
                let request = CompletionRequest(model: Self.models[index % 7], prompt: prompt, options: options)
                leaving.append(Task {
                    for try await _ in try await daemon.client.stream(request) { if (index + round) % 2 == 0 { return } }
                })
            }
            try await Task.sleep(nanoseconds: UInt64(round) * 4_000_000)
            for task in leaving { task.cancel() }
            #expect(try await stayed.value == alone)
            for task in leaving { _ = await task.result }
        }
        for _ in 0..<500 {
            if try await daemon.admin.requests()["requests"]?.array?.isEmpty == true { break }
            try await Task.sleep(nanoseconds: 10_000_000)
        }
        let pool = try await daemon.admin.pool()
        #expect(pool["classes"]?["kv"]?.int == pool["cached"]?.int)
    }

    /// A prompt that goes on from another costs what is new, says so, and gives the same text as without the cache.
    @Test func conversationsAreComputedOnce() async throws {
        var texts: [[String]] = []
        for choice in PrefixCacheChoice.allCases {
            let daemon = try await RealDaemon { $0.prefixCache = choice }
            defer { daemon.stop() }
            var (prompt, answers) = ("17 + 25 = ", [String]())
            for turn in 0..<4 {
                let options = SamplingOptions(maxTokens: 12, temperature: 0)
                let answer = try await daemon.client.complete(CompletionRequest(model: "base", prompt: prompt, options: options))
                let cached = answer.usage?.cachedTokens ?? -1
                // The daemon has tried the model with a token of its own at the start.
                #expect(choice == .off ? cached == 0 : turn == 0 ? cached <= 1 : cached >= 3 * turn, "turn \(turn): \(cached) tokens were there")
                answers.append(answer.text)
                prompt += answer.text + " and 3 + \(turn) = "
            }
            texts.append(answers)
            let hits = try await daemon.admin.pool()["prefix_cache"]?["found_tokens"]?.int ?? 0
            #expect((hits > 0) == (choice != .off))
        }
        #expect(texts[0] == texts[1] && texts[1] == texts[2])
    }

    /// Adapters come and go while requests run, and a restart finds them.
    @Test func adaptersAreLoadedHotAndSurviveARestart() async throws {
        let first = try await RealDaemon(adapters: nil)
        #expect(try await first.client.models().map(\.name) == ["demo"])
        let receipt = try await first.admin.loadAdapter("fr", path: RealDaemon.demo + "/adapters/french", pinned: true)
        #expect(receipt["modules"]?.int ?? 0 > 0)
        #expect(try await first.client.chat(ChatRequest(model: "fr", messages: [.user("80")], options: SamplingOptions(maxTokens: 20, temperature: 0))).text == "quatre-vingts")
        await #expect(throws: BerthClientError.self) { try await first.admin.loadAdapter("bad", path: RealDaemon.demo) }
        await #expect(throws: BerthClientError.self) { try await first.admin.loadAdapter("demo", path: RealDaemon.demo + "/adapters/french") }
        try await first.admin.loadAdapter("gone", path: RealDaemon.demo + "/adapters/german")
        try await first.admin.unloadAdapter("gone")
        let state = first.directory + "/state"
        first.stop()

        // The cache may be emptied.
        let second = try await RealDaemon(adapters: nil, state: state)
        #expect(try await second.client.models().map(\.name) == ["demo", "fr"])
        #expect(try await second.admin.adapters()["adapters"]?.array?.map { $0["pinned"] } == [true])
        #expect(try await second.client.complete(CompletionRequest(model: "fr", prompt: "80 =", options: SamplingOptions(maxTokens: 20, temperature: 0))).text == " quatre-vingts")
        second.stop()
    }

    /// An adapter for another model and a damaged one are refused with the reason; their neighbours serve.
    @Test func badAdaptersAreNamedAndHarmNobody() async throws {
        let folder = NSTemporaryDirectory() + "berth-adapters-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: folder) }
        for name in ["good", "truncated", "other"] {
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            try FileManager.default.copyItem(atPath: RealDaemon.demo + "/adapters/ordinal", toPath: "\(folder)/\(name)")
        }
        let tensors = "\(folder)/truncated/adapter_model.safetensors"
        try Data(contentsOf: URL(fileURLWithPath: tensors)).prefix(3000).write(to: URL(fileURLWithPath: tensors))
        // A rank that the tensors do not have: what an adapter of another shape looks like.
        let configuration = "\(folder)/other/adapter_config.json"
        let text = try String(contentsOfFile: configuration, encoding: .utf8)
        try text.replacingOccurrences(of: "\"r\": 4", with: "\"r\": 5").write(toFile: configuration, atomically: true, encoding: .utf8)

        let daemon = try await RealDaemon(adapters: folder)
        defer { daemon.stop() }
        #expect(try await daemon.client.models().map(\.name) == ["demo", "good"])
        for name in ["truncated", "other"] {
            await #expect { _ = try await daemon.client.complete(CompletionRequest(model: name, prompt: "1 =")) } throws: { error in
                guard case BerthClientError.refused(let refusal) = error else { return false }
                return refusal.status == 422 && !refusal.message.contains(folder)
            }
        }
        #expect(try await daemon.client.complete(CompletionRequest(model: "good", prompt: "21 =", options: SamplingOptions(maxTokens: 20, temperature: 0))).text == " twenty-first")
    }

    /// Checkpoints that are damaged or do not fit are refused at start, with the cause.
    @Test func badCheckpointsAreRefusedAtStart() async throws {
        let folder = NSTemporaryDirectory() + "berth-model-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: folder) }
        func damaged(_ file: String, _ change: (inout Data) -> Void) async throws -> String {
            try? FileManager.default.removeItem(atPath: folder)
            try FileManager.default.copyItem(atPath: RealDaemon.demo, toPath: folder)
            let url = URL(fileURLWithPath: "\(folder)/\(file)")
            var data = try Data(contentsOf: url)
            change(&data)
            try data.write(to: url)
            let daemon = try await RealDaemon(model: folder, adapters: nil)
            #expect(daemon.code == 1, "\(file)")
            return daemon.lines.joined(separator: "\n")
        }
        #expect(try await damaged("model.safetensors") { $0[7] = 0x7F }.contains("model.safetensors"))
        #expect(try await damaged("model.safetensors") { $0.removeLast(1000) }.contains("model.safetensors"))
        #expect(try await damaged("tokenizer.json") { $0.removeLast($0.count / 2) }.contains("tokenizer.json"))
        #expect(try await damaged("config.json") { $0 = Data(#"{"architectures":["GPT2LMHeadModel"],"model_type":"gpt2"}"#.utf8) }.contains("GPT2LMHeadModel"))
        let small = try await RealDaemon { $0.memory = ByteSize("64M") }
        #expect(small.code == 1 && small.lines.contains { $0.contains("the least is --memory") }, "\(small.lines)")
    }

    /// SIGTERM lets running streams end as they would have.
    @Test func drainingFinishesStreams() async throws {
        let daemon = try await RealDaemon()
        var options = SamplingOptions(maxTokens: 400, temperature: 0)
        options.ignoresEndTokens = true
        let request = CompletionRequest(prompt: "5 =", options: options)
        let alone = try await daemon.client.complete(request).text
        var text = ""
        var isTerminated = false
        for try await chunk in try await daemon.client.stream(request) {
            text += chunk.text
            if !isTerminated {
                daemon.terminate()
                isTerminated = true
            }
        }
        #expect(text == alone)
        daemon.stop()
    }
}
