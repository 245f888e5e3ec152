// What one step has to compute and to read at least, counted from the shapes: the yardstick of a measured step.
//
// A row costs two operations for each weight of every linear layer it passes (of the experts, those it chooses; of the head,
// only if its logits are wanted) and four for each query head, head dimension and position that it sees. A step reads
// each weight once, and the keys and values of its sequences once. Which experts a step touches depends on the router:
// counted is what rows that choose evenly and independently would touch, exact for one row.

import BerthCore
import BerthKernels
import BerthModels
import BerthStore

/// Work of a step, or of several in turn.
struct StepWork {
    /// Operations of linear layers by the format of their weights. Attention and adapters compute in f32.
    private(set) var operations: [WeightFormat: Double] = [:]
    private(set) var bytes = 0.0

    mutating func compute(_ count: Double, in format: WeightFormat) { operations[format, default: 0] += count }
    mutating func read(_ count: Double) { bytes += count }

    var operationCount: Double { operations.values.reduce(0, +) }
    func computeSeconds(_ peaks: Peaks) -> Double { operations.reduce(0) { $0 + $1.value / peaks.operationsPerSecond(of: $1.key) } }
    func readSeconds(_ peaks: Peaks) -> Double { bytes / peaks.readBytesPerSecond }
    /// The least time: computing at the peak or reading at the peak, whichever is longer.
    func limitSeconds(_ peaks: Peaks) -> Double { max(computeSeconds(peaks), readSeconds(peaks)) }
}

/// Counts the work of batches of one model.
struct WorkCounter {
    private let configuration: ModelConfiguration
    private let layout: KVLayout
    /// What every row passes: operations by format and bytes of everything but embedding, head and experts.
    private var shared = StepWork()
    private var head = StepWork()
    /// One expert's worth of every layer.
    private var expert = StepWork()
    private var embeddingRowBytes = 0.0

    init(_ model: Model) {
        configuration = model.configuration
        layout = model.kvLayout
        let experts = configuration.experts
        for extent in model.weightPlan.extents {
            var work = StepWork()
            work.read(Double(extent.bytes))
            if case .matrix(let outputs, let inputs, let format) = extent.kind { work.compute(2 * Double(outputs) * Double(inputs), in: format) }
            switch extent.name {
            case "model.embed_tokens", "model.embed_tokens.residuals":
                embeddingRowBytes += Double(extent.bytes) / Double(configuration.vocabularySize)
                if case .matrix = extent.kind, configuration.tiesEmbeddings { head = work }
            case "lm_head": head = work
            default:
                if extent.expert != nil, let experts { expert.add(work, times: 1 / Double(experts.count)) } else { shared.add(work) }
            }
        }
    }

    /// The work of one batch. `adapters` says what each sequence's adapter costs; empty is the base model.
    func count(_ batch: Batch, adapters: [AdapterCost] = []) -> StepWork {
        var work = StepWork()
        let rows = Double(batch.tokens.count), logitRows = Double(batch.logitRowCount)
        work.add(shared, operationsTimes: rows)
        work.read(rows * embeddingRowBytes)
        if logitRows > 0 { work.add(head, operationsTimes: logitRows) }
        if let experts = configuration.experts {
            work.add(expert, operationsTimes: rows * Double(experts.chosen), bytesTimes: experts.expectedTouched(byRows: rows))
        }
        for sequence in batch.sequences { addAttention(of: sequence, to: &work) }
        for (sequence, cost) in zip(batch.sequences, adapters) {
            cost.add(to: &work, rows: Double(sequence.rowCount), logitRows: Double(sequence.logitRows.count), experts: configuration.experts)
        }
        return work
    }

    private func addAttention(of sequence: Batch.Sequence, to work: inout StepWork) {
        let bytesPerPosition = Double(layout.pageBytes) / Double(layout.blockTokens * layout.layers)
        for layer in configuration.layers {
            func seen(by row: Int) -> Int { min(sequence.startPosition + row + 1, layer.window ?? .max) }
            let positions = (0..<sequence.rowCount).reduce(0) { $0 + seen(by: $1) }
            work.compute(4 * Double(positions * configuration.queryWidth), in: .f32)
            // From the first position that the first row sees to the last row's own.
            work.read(bytesPerPosition * Double(seen(by: 0) + sequence.rowCount - 1))
        }
    }
}

extension StepWork {
    mutating func add(_ other: StepWork, times: Double = 1) { add(other, operationsTimes: times, bytesTimes: times) }

    mutating func add(_ other: StepWork, operationsTimes: Double, bytesTimes: Double = 1) {
        for (format, count) in other.operations { compute(count * operationsTimes, in: format) }
        read(other.bytes * bytesTimes)
    }
}

extension ModelConfiguration {
    /// The mixture, which is the same in every layer that has one.
    var experts: Experts? {
        for layer in layers { if case .experts(let experts) = layer.feedForward { return experts } }
        return nil
    }
}

extension ModelConfiguration.Experts {
    /// Experts that rows touch which choose evenly and independently: one row those it chooses, many rows all.
    func expectedTouched(byRows rows: Double) -> Double {
        var untouched = 1.0
        for _ in 0..<Int(rows) { untouched *= 1 - Double(chosen) / Double(count) }
        return Double(count) * (1 - untouched)
    }
}
