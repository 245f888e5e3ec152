// Every family against transformers and PEFT: the log-probabilities in golden.json, base and adapters.

import BerthCore
import BerthKernels
import Testing

@testable import BerthModels

@Suite(.serialized) struct GoldenTests {
    /// Differences of a run from the reference.
    struct Differences {
        var largest: Float = 0
        var sum: Float = 0
        var count = 0
        /// Steps where the reference's margin is clear, and those of them where another token came first.
        var clearSteps = 0
        var wrongTokens = 0
        var mean: Float { sum / Float(max(count, 1)) }
    }

    /// The margin of log-probability between the two best tokens above which a rounded model must agree.
    static let clearMargin: Float = 0.2

    func compare(_ test: TestModel, _ model: Model) throws -> Differences {
        var result = Differences()
        var adapters: [String: LoadedAdapter] = [:]
        for completion in try test.golden() {
            if let name = completion.adapter, adapters[name] == nil { adapters[name] = try test.adapter(name, of: model) }
            let adapter = completion.adapter.map { adapters[$0]!.weights }
            let first = completion.prompt.count - 1
            let logits = model.logits(completion.tokens, adapter, logitsFrom: first)
            #expect(logits.count == completion.steps.count)
            for (row, step) in zip(logits, completion.steps) {
                row.withUnsafeBufferPointer { row in
                    let normalizer = model.compute.logSumExp(row.baseAddress!, row.count)
                    for (token, logprob) in step {
                        let difference = abs(row[Int(token)] - normalizer - logprob)
                        result.largest = max(result.largest, difference)
                        result.sum += difference
                        result.count += 1
                    }
                    if step[0].logprob - step[1].logprob > Self.clearMargin {
                        result.clearSteps += 1
                        if model.compute.argmax(row.baseAddress!, row.count) != Int(step[0].token) {
                            result.wrongTokens += 1
                            print("wrong token: adapter \(completion.adapter ?? "none"), prompt of \(completion.prompt.count), margin \(step[0].logprob - step[1].logprob)")
                        }
                    }
                }
            }
        }
        return result
    }

    func checkExact(_ test: TestModel) throws {
        let differences = try compare(test, test.model(.f32, .scalar))
        print("golden \(test.testDescription) scalar f32: largest \(differences.largest), mean \(differences.mean), \(differences.count) values")
        #expect(differences.largest <= 0.002)
        #expect(differences.wrongTokens == 0)
    }

    func checkRounded(_ test: TestModel, kv: KVElement) throws {
        let model = try test.model(.bf16, kv: kv)
        let differences = try compare(test, model)
        print("golden \(test.testDescription) best bf16, kv \(kv): largest \(differences.largest), mean \(differences.mean), wrong \(differences.wrongTokens)/\(differences.clearSteps)")
        // The heads of these models have 16 dimensions and their adapters are random: a rounding in one dimension of a key hardly averages out.
        #expect(differences.mean <= (kv == .int8 ? 0.04 : 0.02))
        #expect(differences.wrongTokens <= (kv == .int8 ? differences.clearSteps / 100 : 0))
    }

    @Test(arguments: TestModel.fixtures) func scalarF32(_ test: TestModel) throws { try checkExact(test) }
    @Test(arguments: TestModel.fixtures) func fastBF16(_ test: TestModel) throws { try checkRounded(test, kv: .f16) }
    @Test(arguments: TestModel.fixtures) func int8KV(_ test: TestModel) throws { try checkRounded(test, kv: .int8) }
    @Test(arguments: TestModel.shared) func sharedScalarF32(_ test: TestModel) throws { try checkExact(test) }
    @Test(arguments: TestModel.shared) func sharedFastBF16(_ test: TestModel) throws { try checkRounded(test, kv: .f16) }
    @Test(arguments: TestModel.shared) func sharedInt8KV(_ test: TestModel) throws { try checkRounded(test, kv: .int8) }

    /// The fixtures are there, with every family among them.
    @Test func everyFamilyHasFixture() throws {
        var families: Set<ModelFamily> = []
        for test in TestModel.fixtures {
            families.insert(try ModelConfiguration(config: JSON(parsing: contents(of: test.folder + "/config.json"))).family)
        }
        #expect(families == Set(ModelFamily.allCases))
    }
}
