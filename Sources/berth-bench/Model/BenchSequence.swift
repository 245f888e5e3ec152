// A sequence with pages of its own, outside any pool.

import BerthKernels
import BerthModels
import Glibc

/// Made before anything is measured; whoever runs it over again overwrites what an earlier run left in its pages.
struct BenchSequence {
    private let memory: AlignedBuffer
    private let pages: [UnsafeMutableRawPointer]

    /// Pages for `tokens` tokens.
    init(tokens: Int, layout: KVLayout) {
        let count = (tokens + layout.blockTokens - 1) / layout.blockTokens
        let stride = (layout.pageBytes + 4095) / 4096 * 4096
        let memory = AlignedBuffer(bytes: count * stride)
        self.memory = memory
        // Pages that nobody has written are all one page of zeros, which costs nothing to read. These bytes are a small number in every format.
        memset(memory.base, 0x2C, memory.bytes)
        pages = (0..<count).map { memory.base + $0 * stride }
    }

    func rows(_ count: Int, at start: Int, adapter: AdapterWeights? = nil, logits: Range<Int>) -> Batch.Sequence {
        Batch.Sequence(rowCount: count, startPosition: start, pages: pages, adapter: adapter, logitRows: logits)
    }
}

extension BenchSequence {
    /// Batches of at most `most` rows that run `count` rows of one sequence, the last row with its logits if `wantsLogits`.
    func prefill(_ tokens: [Int32], most: Int, wantsLogits: Bool) -> [Batch] {
        stride(from: 0, to: tokens.count, by: most).map { start in
            let end = min(start + most, tokens.count)
            let logits = wantsLogits && end == tokens.count ? end - start - 1..<end - start : 0..<0
            return Batch(tokens: Array(tokens[start..<end]), sequences: [rows(end - start, at: start, logits: logits)])
        }
    }
}
