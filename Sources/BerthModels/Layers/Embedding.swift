// From tokens to rows: the table of embeddings, and what adapters add to it.

import BerthKernels

/// Takes the rows of a table.
struct Embedding {
    let table: EmbeddingTable

    func callAsFunction(_ tokens: [Int32], into x: Rows, _ step: Step) {
        tokens.withUnsafeBufferPointer { step.compute.embed($0, from: table, into: x) }
        for segment in step.segments { apply(segment, tokens, into: x, step) }
    }

    /// An adapted embedding adds scale · A[:, token]·Bᵀ. Its A is stored by token, so that the rank numbers of a row's token are
    /// taken from one place; the product with B is then that of any linear layer whose A is the identity, in the same
    /// kernel. Multiplying by one is exact.
    private func apply(_ segment: AdapterSegment, _ tokens: [Int32], into x: Rows, _ step: Step) {
        guard let (table, call) = segment.adapter.embedding(rows: segment.rows) else { return }
        let rank = call.rank
        let gathered = Rows(base: step.scratch.embeddingRanks, count: step.rows, columns: rank)
        for row in segment.rows {
            let output = gathered[row], first = Int(tokens[row]) * rank
            for index in 0..<rank {
                switch call.type {
                case .f32: output[index] = table.load(fromByteOffset: (first + index) * 4, as: Float.self)
                default: output[index] = Float(Float16(bitPattern: table.load(fromByteOffset: (first + index) * 2, as: UInt16.self)))
                }
            }
        }
        step.compute.lora(gathered, segments: [call], into: x)
    }
}
