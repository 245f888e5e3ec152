// Batch invariance: a row's logits are the same bits alone and in company, whole and in chunks, on one thread and on three.

import BerthCore
import BerthKernels
import Testing

@testable import BerthModels

@Suite(.serialized) struct InvarianceTests {
    static let models = ["llama3_rope", "mistral", "qwen2_moe", "olmoe_clip", "qwen3_moe"].map(TestModel.fixture)

    static func tokens(_ count: Int, seed: UInt64, vocabulary: Int) -> [Int32] {
        var random = RandomSource(seed: seed)
        return (0..<count).map { _ in Int32.random(in: 0..<Int32(vocabulary), using: &random) }
    }

    /// A prompt cut in two at every place, token by token, and in threes, gives the logits of the whole.
    @Test(arguments: models, [KVElement.f16, .int8]) func chunksAndWhole(_ test: TestModel, _ kv: KVElement) throws {
        let model = try test.model(.bf16, kv: kv)
        let adapter = try test.adapter(test.adapters[0], of: model)
        let tokens = Self.tokens(21, seed: 1, vocabulary: model.vocabularySize)
        for weights in [nil, adapter.weights] {
            let whole = model.logits(tokens, weights)
            for split in 1..<tokens.count {
                #expect(model.logits(tokens, weights, chunks: [split, tokens.count - split]) == whole, "split at \(split)")
            }
            #expect(model.logits(tokens, weights, chunks: Array(repeating: 1, count: 21)) == whole)
            #expect(model.logits(tokens, weights, chunks: Array(repeating: 3, count: 7)) == whole)
        }
        withExtendedLifetime(adapter) {}
    }

    /// Prefill and decode of base and adapters, mixed in one batch, against each alone.
    @Test(arguments: models, [KVElement.f16, .int8]) func companyAndAlone(_ test: TestModel, _ kv: KVElement) throws {
        let seed: UInt64 = 7
        var random = RandomSource(seed: seed)
        let model = try test.model(.bf16, kv: kv)
        // Two loads of one adapter are two adapters to the model: their rows do not merge.
        let adapters = try (0..<2).map { _ in try test.adapter(test.adapters[0], of: model) }
        let choices: [AdapterWeights?] = [nil, adapters[0].weights, adapters[0].weights, adapters[1].weights, nil, adapters[1].weights]
        let prompts = choices.indices.map { Self.tokens(3 + $0 * 5, seed: UInt64($0), vocabulary: model.vocabularySize) }
        let alone = zip(prompts, choices).map { model.logits($0, $1) }
        for _ in 0..<6 {
            let sequences = zip(prompts, choices).map { TestSequence($0, $1, layout: model.kvLayout) }
            var together: [[[Float]]] = Array(repeating: [], count: prompts.count)
            while sequences.contains(where: { $0.done < $0.tokens.count }) {
                let running = sequences.indices.filter { sequences[$0].done < sequences[$0].tokens.count }
                let parts = running.map { sequences[$0].take(Int.random(in: 1...sequences[$0].tokens.count - sequences[$0].done, using: &random)) }
                let rows = model.forward(Batch(parts)).copied
                var next = 0
                for (index, part) in zip(running, parts) {
                    together[index] += rows[next..<next + part.tokens.count]
                    next += part.tokens.count
                }
            }
            #expect(together == alone, "seed \(seed)")
        }
        withExtendedLifetime(adapters) {}
    }

    @Test(arguments: models, WeightFormat.allCases) func threads(_ test: TestModel, _ format: WeightFormat) throws {
        let one = try test.model(format, threads: 1), three = try test.model(format, threads: 3)
        let tokens = Self.tokens(33, seed: 3, vocabulary: one.vocabularySize)
        #expect(one.logits(tokens) == three.logits(tokens))
    }

    /// A mixture whose places do not fit the scratch at once gives what it gives with room.
    @Test(arguments: ["olmoe_clip", "mixtral", "qwen2_moe_fused"].map(TestModel.fixture)) func portions(_ test: TestModel) throws {
        let small = try test.model(.bf16, maxRows: 33), large = try test.model(.bf16, maxRows: 512)
        let tokens = Self.tokens(33, seed: 4, vocabulary: small.vocabularySize)
        #expect(small.logits(tokens) == large.logits(tokens))
    }

    /// Only wanted rows have logits, and they are those of the rows.
    @Test func wantedRows() throws {
        let model = try TestModel.fixture("qwen3").model(.bf16)
        let tokens = Self.tokens(12, seed: 5, vocabulary: model.vocabularySize)
        let all = model.logits(tokens)
        #expect(model.logits(tokens, logitsFrom: 11) == [all[11]])
        #expect(model.logits(tokens, logitsFrom: 12) == [])
        #expect(model.logits(tokens, chunks: [5, 7], logitsFrom: 3) == Array(all[3...]))
    }

    /// The formats of 8 and 4 bits stay near the exact model.
    @Test(arguments: [(WeightFormat.int8, Float(0.15)), (.int4, 1.2)]) func quantized(_ format: WeightFormat, _ bound: Float) throws {
        for test in Self.models {
            let exact = try test.model(.f32), quantized = try test.model(format)
            let tokens = Self.tokens(24, seed: 6, vocabulary: exact.vocabularySize)
            let (expected, found) = (exact.logits(tokens), quantized.logits(tokens))
            let differences = zip(expected, found).flatMap { zip($0, $1).map { abs($0 - $1) } }
            let mean = differences.reduce(0, +) / Float(differences.count)
            #expect(mean < bound, "\(test.testDescription): mean difference \(mean)")
        }
    }
}
