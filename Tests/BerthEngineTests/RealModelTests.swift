// The engine on real, tiny models with real adapters: what the fake model promises must hold for the kernels too.

import BerthCore
import BerthKernels
import BerthModels
import BerthStore
import Testing

@testable import BerthEngine

@Suite struct RealModelTests {
    /// Beside this folder.
    static let fixtures = #filePath.split(separator: "/").dropLast(2).map { "/" + $0 }.joined() + "/BerthModelsTests/Fixtures"

    /// Storms on few pages: base requests, two adapters of the same files under two names, evictions and chunks.
    /// Every request's tokens, texts and log-probabilities are those that it has alone, bit for bit.
    @Test(arguments: [("qwen3", WeightFormat.bf16), ("qwen2_moe", .bf16), ("mixtral", .int8), ("mistral", .int4), ("llama3_rope", .f32)])
    func aStormChangesNothing(fixture: String, format: WeightFormat) throws {
        let folder = Self.fixtures + "/" + fixture
        let model = try Model(checkpoint: Checkpoint(directory: folder), format: format, compute: Compute(threads: 2), maxRows: 64, maxLogitRows: 16)
        let name = fixture == "mixtral" ? "experts" : "adapter-0"
        let checkpoint = try AdapterCheckpoint(directory: "\(folder)/adapters/\(name)", base: model.catalog)
        let source = AdapterSource(checkpoint, plan: model.plan(checkpoint))
        let requests = randomRequests(
            24, seed: 11, vocabulary: model.vocabularySize, adapters: [nil, AdapterName("one"), AdapterName("two")], maxTokens: 0...30)

        func harness(pages: Int, _ configuration: EngineConfiguration = EngineConfiguration()) throws -> Harness {
            let harness = try Harness(model, pages: pages, configuration: configuration)
            for name in ["one", "two"] { try harness.engine.registerAdapter(AdapterName(name)!, source) }
            return harness
        }
        var configuration = EngineConfiguration()
        configuration.stepTokens = 60
        configuration.stepLogits = 8
        let pageBytes = (model.kvLayout.pageBytes + 4095) / 4096 * 4096
        let adapterPages = (source.bytes + pageBytes - 1) / pageBytes
        // Room for many at once, and room for hardly anything.
        let storms = try [6 + 2 * adapterPages, 1 + adapterPages].map { pages in
            let storm = try harness(pages: pages, configuration)
            // Steps are left in the middle, for whatever comes then.
            var turns = RandomSource(seed: 12)
            storm.engine.peek = { _ in Int.random(in: 0..<3, using: &turns) == 0 }
            for request in requests {
                storm.submit(request)
                if request.id.rawValue % 2 == 0 { storm.step() }
                if request.id.rawValue % 5 == 0 { storm.reader.completeAll(in: storm.engine) }
            }
            storm.run()
            return storm
        }
        // Preemption is the fake model's part: a block holds the whole context of models as small as these.
        #expect(storms[0].engine.counterSnapshot.computedTokens > 4 * storms[0].engine.counterSnapshot.steps)
        #expect(storms[1].engine.counterSnapshot.adapterEvictions > 0)

        var adapted = 0
        for request in requests {
            let alone = try harness(pages: 200)
            alone.isProving = false
            alone.submit(request)
            alone.run()
            for storm in storms { #expect(storm.outcomes[request.id] == alone.outcomes[request.id], "request \(request.id)") }
            guard request.adapter != nil, request.maxTokens > 0 else { continue }
            // And the adapter does something.
            let base = try harness(pages: 200)
            var plain = request
            plain.adapter = nil
            base.submit(plain)
            base.run()
            if base.outcomes[request.id]!.logprobs != alone.outcomes[request.id]!.logprobs { adapted += 1 }
        }
        #expect(adapted > 5)
    }
}
