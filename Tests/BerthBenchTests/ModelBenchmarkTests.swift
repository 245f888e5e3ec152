import BerthKernels
import BerthModels
import Testing

@testable import berth_bench

@Suite struct ModelBenchmarkTests {
    /// Every kind of work is there, and base and adapters are told apart.
    @Test(arguments: [("demo", 3), ("qwen2_moe", 1), ("llama3_rope", 1)])
    func tinyRunMeasuresEverything(name: String, adapters: Int) throws {
        let directory = name == "demo" ? Repository.demo : Repository.fixture(name)
        let model = try Repository.model(directory)
        let loaded = try BenchAdapter.load(adapters, from: directory + "/adapters", model: model)
        var benchmark = try ModelBenchmark(model: model, adapters: loaded, plan: .tiny)
        let report = try benchmark.run()
        // Two prefills; a decode of one sequence with its three companions, and one of three with or without them.
        #expect(report.results.count == 2 + 4 + (adapters == 3 ? 4 : 1))
        for result in report.results {
            #expect(result.seconds.count == 2 && result.tokensPerSecond > 0, "\(result.name)")
            #expect(result.percent { $0.limitSeconds(report.peak) } > 0, "\(result.name)")
            #expect((report.ratio(of: result) != nil) == result.name.contains("adapter"), "\(result.name)")
        }
        let prefill = report.results[1]
        #expect(prefill.tokens == 70 && prefill.steps == 2)
        for result in report.results {
            guard let base = result.base.map({ report.results[$0] }) else { continue }
            #expect(base.tokens == result.tokens)
            #expect(result.work.reduce(0) { $0 + $1.operationCount } > base.work.reduce(0) { $0 + $1.operationCount })
            #expect(result.work.reduce(0) { $0 + $1.bytes } > base.work.reduce(0) { $0 + $1.bytes })
        }
        #expect(report.json["results"]?.array?.count == report.results.count)
        #expect(report.table.contains("prefill 70"))
    }

    /// A dense layer's and a mixture's operations, by hand from the configurations.
    @Test func operationsAreCounted() throws {
        let dense = try Repository.model(Repository.fixture("llama3_rope"))
        let c = dense.configuration
        guard case .dense(let width) = c.layers[0].feedForward else { return #expect(Bool(false), "not dense") }
        let layer = c.hiddenSize * c.qkvWidth + c.queryWidth * c.hiddenSize + 3 * c.hiddenSize * width
        let sequence = BenchSequence(tokens: 16, layout: dense.kvLayout)
        let batch = Batch(tokens: [1, 2, 3], sequences: [sequence.rows(3, at: 4, logits: 2..<3)])
        // The three rows see 5, 6 and 7 positions.
        let expected = c.layers.count * (3 * 2 * layer + 4 * c.queryWidth * (5 + 6 + 7)) + 2 * c.hiddenSize * c.vocabularySize
        let work = WorkCounter(dense).count(batch)
        #expect(work.operationCount == Double(expected))

        // A sliding window bounds what a row sees, and what a step reads of the cache.
        let sliding = try Repository.model(Repository.fixture("mistral")), window = try #require(sliding.configuration.layers[0].window)
        let far = BenchSequence(tokens: 4 * window, layout: sliding.kvLayout)
        let works = [2 * window, 3 * window].map { WorkCounter(sliding).count(Batch(tokens: [1, 2], sequences: [far.rows(2, at: $0, logits: 0..<0)])) }
        #expect(works[0].operationCount == works[1].operationCount && works[0].bytes == works[1].bytes)

        let mixture = try Repository.model(Repository.fixture("qwen3_moe"))
        let m = mixture.configuration, experts = try #require(m.experts)
        let one = Batch(tokens: [1], sequences: [BenchSequence(tokens: 16, layout: mixture.kvLayout).rows(1, at: 0, logits: 0..<0)])
        var operations = 0
        for layer in m.layers {
            operations += 2 * (m.hiddenSize * m.qkvWidth + m.queryWidth * m.hiddenSize) + 4 * m.queryWidth
            switch layer.feedForward {
            case .dense(let width): operations += 6 * m.hiddenSize * width
            case .experts(let e): operations += 2 * m.hiddenSize * e.count + 6 * m.hiddenSize * e.intermediateSize * e.chosen
            }
        }
        #expect(abs(WorkCounter(mixture).count(one).operationCount - Double(operations)) < 1)
        #expect(abs(experts.expectedTouched(byRows: 1) - Double(experts.chosen)) < 1e-9)
        #expect(experts.expectedTouched(byRows: 1000) > Double(experts.count) - 0.001)
    }

    @Test func refusesWhatDoesNotFit() throws {
        let model = try Repository.model(Repository.fixture("qwen3"), maxRows: 8)
        var plan = ModelBenchmark.Plan.tiny
        plan.prefill = [model.contextLength + 1]
        #expect(throws: BenchError.self) { try ModelBenchmark(model: model, adapters: [], plan: plan) }
        plan = .tiny
        plan.decode = [9]
        #expect(throws: BenchError.self) { try ModelBenchmark(model: model, adapters: [], plan: plan) }
        #expect(throws: BenchError.self) { try BenchAdapter.load(1, from: Repository.root + "/Sources", model: model) }
        for arguments in [["--prefill", "12,x"], ["--decode", "0"], ["--steps", "0"], ["--threads", "0"], ["--weights", "int3"]] {
            #expect(throws: (any Error).self) { try ModelCommand.parse(["model"] + arguments) }
        }
    }
}
