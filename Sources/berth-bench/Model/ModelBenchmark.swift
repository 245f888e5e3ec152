// What `berth-bench model` measures: whole steps of `Model.forward`, without an engine around them.
//
// Three kinds of work: *prefill* runs one prompt, *decode* one row each of several sequences after a context, and *mixed* runs decode
// and a prefill of short prompts with as many different adapters as there are sequences, next to the same without adapters.
// A round measures everything once, base and adapters in changing order, so that a machine that drifts does so for all.

import BerthCore
import BerthKernels
import BerthModels

struct ModelBenchmark {
    /// What to measure, and how long.
    struct Plan {
        /// Rows of the one prompt.
        var prefill = [128, 512]
        /// Sequences that decode at once.
        var decode = [1, 4, 16, 32]
        /// Tokens before the first decoded one.
        var context = 64
        /// Decode steps of one measurement.
        var steps = 8
        /// Rows of each prompt in the mixed prefill.
        var mixedRows = 31
        var rounds = 3
        /// For each of the machine's peaks, in every round, and the bytes that are in no cache.
        var peakSeconds = 0.1
        var peakBytes = 256 << 20

        static let tiny: Plan = {
            var plan = Plan()
            (plan.prefill, plan.decode, plan.context, plan.steps, plan.mixedRows) = ([9, 70], [1, 3], 5, 2, 7)
            (plan.rounds, plan.peakSeconds, plan.peakBytes) = (2, 0.001, 64 << 10)
            return plan
        }()

        /// Tokens of the longest sequence.
        var longest: Int { max(prefill.max() ?? 0, context + steps, mixedRows) }
        var mostSequences: Int { decode.max() ?? 0 }
    }

    /// Batches that are run one after another and timed together.
    private struct Job {
        var name: String
        var sequences: Int
        var batches: [Batch]
        /// The batches' pages.
        var memory: [BenchSequence]
        var work: [StepWork]
        /// Index of the job that this one is compared with.
        var base: Int?

        var result: ModelReport.Result {
            .init(
                name: name, sequences: sequences, steps: batches.count, tokens: batches.reduce(0) { $0 + $1.tokens.count }, work: work, base: base)
        }
    }

    let model: Model
    let plan: Plan
    private let adapters: [BenchAdapter]
    private let counter: WorkCounter
    private var random = RandomSource(seed: 1)

    /// `adapters` may be fewer than the sequences; mixed work is then measured as far as every sequence has one of its own.
    init(model: Model, adapters: [BenchAdapter], plan: Plan) throws {
        guard plan.longest <= model.contextLength else {
            throw BenchError("\(plan.longest) tokens are more than the model's context of \(model.contextLength)")
        }
        guard plan.mostSequences <= min(model.maxRows, model.maxLogitRows), plan.mixedRows <= model.maxRows else {
            throw BenchError("\(plan.mostSequences) sequences are more than a batch holds")
        }
        self.model = model
        self.plan = plan
        self.adapters = adapters
        counter = WorkCounter(model)
    }

    mutating func run() throws -> ModelReport {
        let jobs = makeJobs()
        var report = ModelReport(
            model: "\(model.configuration.family)", format: model.format, kernels: model.compute.kernelName,
            results: jobs.map(\.result), peak: measuredPeaks())
        for job in jobs { _ = model.forward(job.batches[0]) }
        for round in 0..<plan.rounds {
            if round > 0 { report.peak.improve(by: measuredPeaks()) }
            for index in round % 2 == 0 ? Array(jobs.indices) : jobs.indices.reversed() {
                let start = monotonicSeconds()
                for batch in jobs[index].batches { _ = model.forward(batch) }
                report.results[index].seconds.append(monotonicSeconds() - start)
            }
        }
        // Batches only point to pages and adapters.
        return withExtendedLifetime((jobs, adapters)) { report }
    }

    private func measuredPeaks() -> Peaks { Peaks(model.compute, seconds: plan.peakSeconds, readBytes: plan.peakBytes) }

    private mutating func tokens(_ count: Int) -> [Int32] {
        (0..<count).map { _ in Int32.random(in: 0..<Int32(model.vocabularySize), using: &random) }
    }

    private mutating func makeJobs() -> [Job] {
        var jobs: [Job] = []
        func append(_ name: String, _ sequences: Int, _ batches: [Batch], in memory: [BenchSequence], costs: [[AdapterCost]] = [], base: Int? = nil) {
            let work = batches.enumerated().map { index, batch in counter.count(batch, adapters: costs.isEmpty ? [] : costs[index]) }
            jobs.append(Job(name: name, sequences: sequences, batches: batches, memory: memory, work: work, base: base))
        }
        for rows in plan.prefill {
            let sequence = BenchSequence(tokens: rows, layout: model.kvLayout)
            append("prefill \(rows)", 1, sequence.prefill(tokens(rows), most: model.maxRows, wantsLogits: true), in: [sequence])
        }
        let sequences = (0..<plan.mostSequences).map { _ in BenchSequence(tokens: plan.context + plan.steps, layout: model.kvLayout) }
        for sequence in sequences {
            for batch in sequence.prefill(tokens(plan.context), most: model.maxRows, wantsLogits: false) { _ = model.forward(batch) }
        }
        let short = (0..<min(plan.mostSequences, adapters.count)).map { _ in BenchSequence(tokens: plan.mixedRows, layout: model.kvLayout) }
        for count in plan.decode {
            let stepTokens = (0..<plan.steps).map { _ in tokens(count) }
            func decode(_ adapters: [BenchAdapter]) -> [Batch] {
                stepTokens.enumerated().map { step, tokens in
                    let rows = (0..<count).map { index in
                        sequences[index].rows(1, at: plan.context + step, adapter: adapters.isEmpty ? nil : adapters[index].weights, logits: 0..<1)
                    }
                    return Batch(tokens: tokens, sequences: rows)
                }
            }
            append("decode \(count)", count, decode([]), in: sequences)
            guard count <= adapters.count else { continue }
            let costs = adapters.prefix(count).map(\.cost), adapted = count == 1 ? "1 adapter" : "\(count) adapters"
            append(
                "decode \(count), \(adapted)", count, decode(adapters), in: sequences, costs: stepTokens.map { _ in costs }, base: jobs.count - 1)

            // Whole prompts, as many in a batch as it holds.
            let prompt = tokens(count * plan.mixedRows), perBatch = model.maxRows / plan.mixedRows
            let groups = stride(from: 0, to: count, by: perBatch).map { $0..<min($0 + perBatch, count) }
            func prefill(_ adapters: [BenchAdapter]) -> [Batch] {
                groups.map { group in
                    let rows = group.map { index in
                        short[index].rows(
                            plan.mixedRows, at: 0, adapter: adapters.isEmpty ? nil : adapters[index].weights, logits: plan.mixedRows - 1..<plan.mixedRows)
                    }
                    return Batch(tokens: Array(prompt[group.lowerBound * plan.mixedRows..<group.upperBound * plan.mixedRows]), sequences: rows)
                }
            }
            append("prefill \(count) x \(plan.mixedRows)", count, prefill([]), in: short)
            append(
                "prefill \(count) x \(plan.mixedRows), \(adapted)", count, prefill(adapters), in: short, costs: groups.map { costs[$0].map(\.self) },
                base: jobs.count - 1)
        }
        return jobs
    }
}
