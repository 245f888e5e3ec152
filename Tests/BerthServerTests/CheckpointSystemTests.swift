// Checkpoints as the world has them: what is odd about their files is done, or said.

import BerthClient
import BerthCore
import BerthText
import Foundation
import Testing

@testable import BerthServer

@Suite(.serialized) final class CheckpointSystemTests {
    private let folder = NSTemporaryDirectory() + "berth-model-\(UUID().uuidString)"

    init() throws { try FileManager.default.copyItem(atPath: RealDaemon.demo, toPath: folder) }
    deinit { try? FileManager.default.removeItem(atPath: folder) }

    private func edit(_ file: String, _ change: (inout [String: Any]) -> Void) throws {
        let url = URL(fileURLWithPath: "\(folder)/\(file)")
        var members = FileManager.default.fileExists(atPath: url.path) ? try JSONSerialization.jsonObject(with: Data(contentsOf: url)) as! [String: Any] : [:]
        change(&members)
        try JSONSerialization.data(withJSONObject: members).write(to: url)
    }

    private func refusal(_ work: () async throws -> Void) async -> String {
        do {
            try await work()
            return "accepted"
        } catch BerthClientError.refused(let refusal) {
            return "\(refusal.status) \(refusal.message)"
        } catch { return "\(error)" }
    }

    /// An added token without an embedding: the daemon serves everything that does not contain it.
    @Test func aTokenBeyondTheEmbeddings() async throws {
        let rows = try JSON(parsing: Array(Data(contentsOf: URL(fileURLWithPath: folder + "/config.json"))))["vocab_size"]?.int ?? 0
        try edit("tokenizer.json") { members in
            var added = members["added_tokens"] as! [[String: Any]]
            let vocabulary = ((members["model"] as! [String: Any])["vocab"] as! [String: Any]).count
            for id in vocabulary...rows {
                let content = id < rows ? "<unused \(id)>" : "<nobody>"
                added.append(["id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true])
            }
            members["added_tokens"] = added
        }
        let daemon = try await RealDaemon(model: folder, adapters: nil)
        defer { daemon.stop() }
        #expect(daemon.lines.contains { $0.contains("none for '<nobody>' (\(rows))") }, "\(daemon.lines)")
        let greedy = SamplingOptions(maxTokens: 4, temperature: 0)
        let plain = try await daemon.client.complete(CompletionRequest(prompt: "5 =", options: greedy))
        for prompt in ["5 <nobody>", "<nobody>"] {
            let said = await refusal { _ = try await daemon.client.complete(CompletionRequest(prompt: prompt, options: greedy)) }
            #expect(said.hasPrefix("400") && said.contains("'<nobody>' (\(rows))"), "\(said)")
            let chat = await refusal { _ = try await daemon.client.chat(ChatRequest(messages: [.user(prompt)], options: greedy)) }
            #expect(chat.hasPrefix("400") && chat.contains("'<nobody>'"), "\(chat)")
        }
        #expect(try await daemon.client.complete(CompletionRequest(prompt: "5 =", options: greedy)).text == plain.text)
    }

    /// The tokenizer's eos_token ends an answer, whether it is written as a text or as an object.
    @Test(arguments: [false, true])
    func theTokenizersEndEndsAnAnswer(asObject: Bool) async throws {
        let end = try #require((try JSON(parsing: Array(Data(contentsOf: URL(fileURLWithPath: folder + "/generation_config.json")))))["eos_token_id"]?.int)
        let name = try Tokenizer(directory: folder).decode([Int32(end)], skipSpecialTokens: false)
        for file in ["config.json", "generation_config.json"] { try edit(file) { $0["eos_token_id"] = end == 1 ? 0 : 1 } }
        let parts: [String: Any] = ["content": name, "lstrip": false, "rstrip": false, "normalized": false, "single_word": false, "special": true]
        try edit("tokenizer_config.json") { $0["eos_token"] = asObject ? parts : name }
        let daemon = try await RealDaemon(model: folder, adapters: nil)
        defer { daemon.stop() }
        #expect(daemon.lines.contains { $0.contains("'\(name)' (\(end)) ends an answer, too") }, "\(daemon.lines)")
        let request = CompletionRequest(model: "base", prompt: "5 =", options: SamplingOptions(maxTokens: 30, temperature: 0))
        let answer = try await daemon.client.complete(request)
        #expect(answer.choices[0].finishReason == "stop" && answer.text == " five", "\(answer)")
    }
}
