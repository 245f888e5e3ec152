// Measures what the simulator has to know of a machine: what steps of one checkpoint take on it.
//
// Each price comes of steps that differ in nothing else: the same rows with and without logits, after a long context and after none, with adapters and
// without. All steps are run in turn, round by round, and taken are the medians, so that a machine whose speed drifts or that others disturb makes no
// difference between two steps where there is none. The engine's own share comes from `EngineBenchmark`.

import BerthCore
import BerthKernels
import BerthModels
import BerthSimulator
import BerthText

struct Calibration {
    let model: Model
    let tokenizer: Tokenizer
    let adapters: [BenchAdapter]
    var rounds = 5
    /// Streams of the measurements of attention, sequences and adapters; and rows of those of a prompt's attention.
    var streams = 16
    private static let attendingRows = 32
    private static let longContext = 1024
    private static let engineSteps = 20

    /// A step that is measured.
    private enum Step: Hashable {
        /// A prompt's rows after nothing, or after the long context.
        case chunk(Int)
        case lateChunk
        /// So many streams, with logits or without.
        case decode(Int, logits: Bool)
        /// Streams after the long context.
        case lateDecode
        /// Streams that have so many different adapters among them.
        case adapted(Int)
    }

    private var context: Int { min(Self.longContext, model.contextLength - Self.attendingRows) }
    private var most: Int { min(model.maxRows, model.contextLength) }
    /// Half an octave apart.
    private var sizes: [Int] { (0..<20).flatMap { [1 << $0, 3 << $0] }.sorted().filter { $0 <= most } }
    /// Two octaves apart.
    private var logitSizes: [Int] { (0..<10).map { 1 << (2 * $0) }.filter { $0 <= min(model.maxRows, model.maxLogitRows) } }
    private var differentAdapters: Int { min(adapters.count, streams) }

    func run() throws -> StepCosts {
        guard context > 0, most >= Self.attendingRows, streams <= min(model.maxRows, model.maxLogitRows) else { throw BenchError("the model's steps or its context of \(model.contextLength) tokens are too short") }
        let times = measure()
        func nanoseconds(_ step: Step) -> Double { times[step]! }
        var costs = StepCosts()
        func attending(_ late: Step, _ early: Step, rows: Int) -> Double { max(0, nanoseconds(late) - nanoseconds(early)) / Double(rows * context) }
        costs.attendedByPrompt = attending(.lateChunk, .chunk(Self.attendingRows), rows: Self.attendingRows)
        costs.attendedByStream = attending(.lateDecode, .decode(streams, logits: false), rows: streams)
        costs.passes = CostTable(smoothing: sizes.map { rows in
            let attended = costs.attendedByPrompt * Double(rows * (rows + 1) / 2)
            return .init(rows: rows, nanoseconds: max(0, nanoseconds(.chunk(rows)) - attended))
        })
        costs.logits = CostTable(smoothing: logitSizes.map { rows in
            .init(rows: rows, nanoseconds: max(0, nanoseconds(.decode(rows, logits: true)) - nanoseconds(.decode(rows, logits: false))))
        })
        let plain = nanoseconds(.decode(streams, logits: false))
        costs.sequence = max(0, plain - costs.passes.nanoseconds(rows: streams)) / Double(streams)
        if differentAdapters > 1 {
            costs.adapter = max(0, nanoseconds(.adapted(differentAdapters)) - nanoseconds(.adapted(1))) / Double(differentAdapters - 1)
            costs.adapterRow = max(0, nanoseconds(.adapted(1)) - plain - costs.adapter) / Double(streams)
        }
        try addEngine(&costs)
        return costs
    }

    private func addEngine(_ costs: inout StepCosts) throws {
        var plan = EngineBenchmark.Plan()
        (plan.requests, plan.rounds, plan.steps) = ([1, streams], rounds, Self.engineSteps)
        let results = try EngineBenchmark(model: model, tokenizer: tokenizer, plan: plan).run().results
        let perSequence = max(0, results[1].overhead - results[0].overhead) / Double(streams - 1)
        costs.sequence += perSequence * 1e9
        costs.step = max(0, results[0].overhead - perSequence) * 1e9
    }

    // MARK: steps

    /// What the steps run on. A batch has the addresses of its pages and does not keep them.
    private struct Sequences {
        let prompt: BenchSequence
        let long: [BenchSequence]
        let short: [BenchSequence]
    }

    private func measure() -> [Step: Double] {
        let sequences = Sequences(
            prompt: BenchSequence(tokens: most, layout: model.kvLayout),
            long: (0..<streams).map { _ in BenchSequence(tokens: context + Self.attendingRows, layout: model.kvLayout) },
            short: (0..<max(streams, logitSizes.last ?? 0)).map { _ in BenchSequence(tokens: 1, layout: model.kvLayout) })
        return withExtendedLifetime(sequences) { measure(batches(sequences)) }
    }

    private func measure(_ steps: [(Step, Batch)]) -> [Step: Double] {
        var times: [Step: [Double]] = [:]
        for round in 0...rounds {
            for (step, batch) in steps {
                let start = monotonicSeconds()
                _ = model.forward(batch)
                // The first round brings everything to where the others find it.
                if round > 0 { times[step, default: []].append((monotonicSeconds() - start) * 1e9) }
            }
        }
        return times.mapValues { median($0) }
    }

    private func batches(_ sequences: Sequences) -> [(Step, Batch)] {
        let (prompt, long, short) = (sequences.prompt, sequences.long, sequences.short)
        func decode(_ count: Int, logits: Bool, after context: Int = 0, in sequences: [BenchSequence], adapter: (Int) -> AdapterWeights? = { _ in nil }) -> Batch {
            Batch(tokens: tokens(count), sequences: (0..<count).map { sequences[$0].rows(1, at: context, adapter: adapter($0), logits: logits ? 0..<1 : 0..<0) })
        }
        var steps: [(Step, Batch)] = sizes.map { (.chunk($0), chunk(prompt, $0, after: 0)) }
        steps.append((.lateChunk, chunk(long[0], Self.attendingRows, after: context)))
        steps.append((.lateDecode, decode(streams, logits: false, after: context, in: long)))
        for count in Set(logitSizes + [streams]).sorted() {
            for logits in [false, true] { steps.append((.decode(count, logits: logits), decode(count, logits: logits, in: short))) }
        }
        for different in differentAdapters > 1 ? [1, differentAdapters] : [] {
            steps.append((.adapted(different), decode(streams, logits: false, in: short) { adapters[$0 * different / streams].weights }))
        }
        return steps
    }

    private func chunk(_ sequence: BenchSequence, _ rows: Int, after context: Int) -> Batch {
        Batch(tokens: tokens(rows), sequences: [sequence.rows(rows, at: context, logits: 0..<0)])
    }

    private func tokens(_ count: Int) -> [Int32] { (0..<count).map { Int32($0 * 7 % model.vocabularySize) } }
}
