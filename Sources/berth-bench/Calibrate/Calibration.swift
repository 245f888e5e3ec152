// Measures what the simulator has to know of a machine: what steps of one checkpoint take on it.
//
// Each price is a difference of two measured steps that differ in nothing else: the same rows with and without logits, after a long context
// and after none, with adapters and without. The engine's own share comes from `EngineBenchmark`.

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
    /// Streams of the measurements of logits, sequences and adapters; and rows of those of attention.
    var streams = 16
    private static let attendingRows = 32
    private static let longContext = 1024

    private var context: Int { min(Self.longContext, model.contextLength - Self.attendingRows) }
    private var most: Int { min(model.maxRows, model.contextLength) }

    func run() throws -> StepCosts {
        guard context > 0, streams <= min(model.maxRows, model.maxLogitRows) else { throw BenchError("the model's context of \(model.contextLength) tokens is too short") }
        var costs = StepCosts()
        let long = BenchSequence(tokens: context + Self.attendingRows, layout: model.kvLayout)
        func attending(_ rows: Int) -> Double { max(0, seconds(chunk(long, rows, after: context)) - seconds(chunk(long, rows, after: 0))) / Double(rows * context) * 1e9 }
        costs.attendedByPrompt = attending(Self.attendingRows)
        costs.attendedByStream = attending(1)
        costs.passes = sizes.map { rows in
            let sequence = BenchSequence(tokens: rows, layout: model.kvLayout)
            let attended = costs.attendedByPrompt * Double(rows * (rows + 1) / 2)
            return StepCosts.Pass(rows: rows, nanoseconds: max(0, seconds(chunk(sequence, rows, after: 0)) * 1e9 - attended))
        }
        let several = (0..<streams).map { _ in BenchSequence(tokens: 1, layout: model.kvLayout) }
        let plain = seconds(decode(several, logits: false))
        let withLogits = seconds(decode(several, logits: true))
        costs.logitRow = max(0, withLogits - plain) / Double(streams) * 1e9
        let together = costs.passes.first { $0.rows == streams }?.nanoseconds ?? 0
        costs.sequence = max(0, plain * 1e9 - together) / Double(streams)
        try addEngine(&costs)
        if adapters.count > 1 { addAdapters(&costs, several, plain) }
        return costs
    }

    /// An octave apart.
    private var sizes: [Int] { (0..<20).map { 1 << $0 }.filter { $0 <= most } }

    private func addEngine(_ costs: inout StepCosts) throws {
        var plan = EngineBenchmark.Plan()
        (plan.requests, plan.rounds, plan.steps) = ([1, streams], rounds, 50)
        let results = try EngineBenchmark(model: model, tokenizer: tokenizer, plan: plan).run().results
        let perSequence = max(0, results[1].overhead - results[0].overhead) / Double(streams - 1)
        costs.sequence += perSequence * 1e9
        costs.step = max(0, results[0].overhead - perSequence) * 1e9
    }

    private func addAdapters(_ costs: inout StepCosts, _ several: [BenchSequence], _ plain: Double) {
        let one = seconds(decode(several, logits: false) { _ in adapters[0].weights })
        let different = min(adapters.count, streams)
        let all = seconds(decode(several, logits: false) { adapters[$0 * different / streams].weights })
        costs.adapter = max(0, all - one) / Double(different - 1) * 1e9
        costs.adapterRow = max(0, (one - plain) * 1e9 - costs.adapter) / Double(streams)
    }

    // MARK: steps

    private func chunk(_ sequence: BenchSequence, _ rows: Int, after context: Int) -> Batch {
        Batch(tokens: tokens(rows), sequences: [sequence.rows(rows, at: context, logits: 0..<0)])
    }

    private func decode(_ sequences: [BenchSequence], logits: Bool, adapter: (Int) -> AdapterWeights? = { _ in nil }) -> Batch {
        Batch(tokens: tokens(sequences.count), sequences: sequences.enumerated().map { $1.rows(1, at: 0, adapter: adapter($0), logits: logits ? 0..<1 : 0..<0) })
    }

    private func tokens(_ count: Int) -> [Int32] { (0..<count).map { Int32($0 * 7 % model.vocabularySize) } }

    /// The median of some rounds, after one that is not counted.
    private func seconds(_ batch: Batch) -> Double {
        _ = model.forward(batch)
        return median(
            (0..<rounds).map { _ in
                let start = monotonicSeconds()
                _ = model.forward(batch)
                return monotonicSeconds() - start
            })
    }
}
