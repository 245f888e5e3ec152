// From rows to logits, only for the rows whose logits somebody wants.

import BerthKernels

/// The last norm and the projection onto the vocabulary.
struct LMHead {
    let norm: RMSNorm
    let weights: PackedMatrix

    /// Gathers the wanted rows of `hidden`, and returns their logits.
    func callAsFunction(_ hidden: Rows, _ batch: Batch, _ step: Step) -> Rows {
        let wanted = step.scratch.logitHidden
        var count = 0, firstRow = 0
        var segments: [AdapterSegment] = []
        for sequence in batch.sequences {
            segments.append(rows: count..<count + sequence.logitRows.count, of: sequence.adapter)
            for row in sequence.logitRows {
                wanted[count].update(from: hidden[firstRow + row], count: hidden.columns)
                count += 1
            }
            firstRow += sequence.rowCount
        }
        let rows = wanted.first(count)
        let logits = step.scratch.logits.first(count)
        if count == 0 { return logits }
        norm(rows, into: rows, step.compute)
        let part = Linear.Part(module: ModuleMap.head, columns: 0..<weights.outputs)
        step.compute.prepare(rows, for: weights.format, adapters: [part].adapted(by: segments), into: step.scratch.prepared)
        step.compute.linear(step.scratch.prepared, weights, into: logits)
        return logits
    }
}
