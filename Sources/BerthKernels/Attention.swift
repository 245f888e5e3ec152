// Causal attention over pages, with grouped query heads and an optional sliding window.
//
// A context is cut into tiles of 256 absolute positions, each of which gives an online-softmax state that is merged in order
// (FlashAttention, Dao et al. 2022). With many rows or heads a task takes some rows of one key-value head over all tiles; when
// that leaves threads idle, one task takes one tile and states are merged afterwards (Flash-Decoding, Dao et al. 2023). Both
// do the same operations in the same order per row, so the bits agree.

import CKernels

/// Adjacent rows of one sequence, and its pages: `pages[i]` holds tokens i · blockTokens ..< (i + 1) · blockTokens.
public struct AttentionSequence {
    /// The first of the sequence's rows in the batch.
    public var firstRow: Int
    public var rowCount: Int
    /// The absolute position of that row's token.
    public var startPosition: Int
    public var pages: [UnsafeMutableRawPointer]

    public init(firstRow: Int, rowCount: Int, startPosition: Int, pages: [UnsafeMutableRawPointer]) {
        self.firstRow = firstRow
        self.rowCount = rowCount
        self.startPosition = startPosition
        self.pages = pages
    }
}

/// One task of an attention section. Where `partial` is not negative the tiles' states go to that place in the partial buffer.
struct AttentionTask {
    var sequence, kvHead, firstRow, rows, firstTile, tiles: Int
    var partial = -1
}

extension Compute {
    /// Writes rows of keys and values [rows, kvHeads · headDim] into their sequences' pages. Sequences must not share pages
    /// that they write.
    public func storeKV(keys: Rows, values: Rows, sequences: [AttentionSequence], layout: KVLayout, layer: Int) {
        precondition(keys.columns == layout.kvHeads * layout.headDim && values.columns == keys.columns)
        let store = { (sequence: AttentionSequence, head: Int) in
            var row = 0
            while row < sequence.rowCount {
                let token = sequence.startPosition + row
                let count = min(sequence.rowCount - row, layout.blockTokens - token % layout.blockTokens)
                let page = sequence.pages[token / layout.blockTokens] + layout.offset(layer: layer) + head * layout.headBytes
                kv_store(
                    layout.element.element, layout.blockTokens, layout.headDim, page, page + layout.valueOffset, token % layout.blockTokens,
                    count, keys[sequence.firstRow + row] + head * layout.headDim, keys.stride,
                    values[sequence.firstRow + row] + head * layout.headDim, values.stride)
                row += count
            }
        }
        let small = sequences.reduce(0) { $0 + $1.rowCount } * keys.columns < 16 << 10
        if small {
            for sequence in sequences { for head in 0..<layout.kvHeads { store(sequence, head) } }
        } else {
            parallel(sequences.count * layout.kvHeads) { store(sequences[$0 / layout.kvHeads], $0 % layout.kvHeads) }
        }
    }

    /// y = softmax(scale · q·Kᵀ)·V for every row of every sequence, over tokens j <= i with i − j < window. `queries` and `y` are
    /// [rows, heads · headDim]; query head h uses key-value head h / (heads / kvHeads). Keys and values of the rows themselves
    /// are in the pages already.
    public func attention(
        queries: Rows, sequences: [AttentionSequence], layout: KVLayout, layer: Int, window: Int?, scale: Float, into y: Rows
    ) {
        let heads = queries.columns / layout.headDim, groupHeads = heads / layout.kvHeads
        precondition(heads * layout.headDim == queries.columns && groupHeads * layout.kvHeads == heads && y.columns == queries.columns)
        precondition(groupHeads <= KernelAttentionRows, "\(groupHeads) query heads share one key-value head")
        let tile = KernelAttentionTile
        let rowsPerTask = max(1, KernelAttentionRows / groupHeads)
        let stateFloats = kernel_partial_stride(layout.headDim)

        // Tiles that rows see: from the first visible token of the first row to the last row's own.
        func tiles(_ sequence: AttentionSequence, _ firstRow: Int, _ rows: Int) -> Range<Int> {
            let position = sequence.startPosition + firstRow
            let low = window.map { max(0, position - $0 + 1) } ?? 0
            return low / tile..<(position + rows - 1) / tile + 1
        }

        attentionTasks.removeAll(keepingCapacity: true)
        for (index, sequence) in sequences.enumerated() {
            precondition(sequence.firstRow >= 0 && sequence.firstRow + sequence.rowCount <= queries.count)
            precondition(sequence.pages.count * layout.blockTokens >= sequence.startPosition + sequence.rowCount, "missing pages")
            for row in stride(from: 0, to: sequence.rowCount, by: rowsPerTask) {
                let rows = min(rowsPerTask, sequence.rowCount - row)
                let range = tiles(sequence, row, rows)
                for head in 0..<layout.kvHeads {
                    attentionTasks.append(AttentionTask(
                        sequence: index, kvHead: head, firstRow: row, rows: rows, firstTile: range.lowerBound, tiles: range.count))
                }
            }
        }
        guard !attentionTasks.isEmpty else { return }
        var merges: [AttentionTask] = []
        var partialFloats = 0
        if attentionTasks.count < 2 * threads, attentionTasks.contains(where: { $0.tiles > 1 }) {
            merges = attentionTasks
            attentionTasks.removeAll(keepingCapacity: true)
            for index in merges.indices {
                let task = merges[index]
                merges[index].partial = partialFloats
                for tile in 0..<task.tiles {
                    var one = task
                    one.firstTile += tile
                    one.tiles = 1
                    one.partial = partialFloats
                    attentionTasks.append(one)
                    partialFloats += task.rows * groupHeads * stateFloats
                }
            }
        }
        let partials = attentionPartials.reserve(partialFloats * 4).assumingMemoryBound(to: Float.self)

        let call = { (sequence: AttentionSequence, pages: UnsafePointer<UnsafeMutableRawPointer?>) in
            AttentionCall(
                queries: queries[sequence.firstRow], queryStride: queries.stride, y: y[sequence.firstRow], yStride: y.stride, pages: pages,
                blockTokens: layout.blockTokens, layerOffset: layout.offset(layer: layer), headBytes: layout.headBytes,
                valueOffset: layout.valueOffset, headDim: layout.headDim, groupHeads: groupHeads, startPosition: sequence.startPosition,
                window: window ?? Int.max, scale: scale, element: layout.element.element)
        }
        let kernel = table.pointee.attention!
        attentionTasks.withUnsafeBufferPointer { tasks in
            section(tasks.count) { index, scratch in
                let task = tasks[index]
                let sequence = sequences[task.sequence]
                sequence.pages.withUnsafeBufferPointer { pages in
                    pages.baseAddress!.withMemoryRebound(to: UnsafeMutableRawPointer?.self, capacity: pages.count) { pages in
                        withUnsafePointer(to: call(sequence, pages)) {
                            kernel(
                                $0, task.kvHead, task.firstRow, task.rows, task.firstTile, task.tiles,
                                task.partial < 0 ? nil : partials + task.partial, scratch)
                        }
                    }
                }
            }
        }
        let merge = table.pointee.attentionMerge!
        parallel(merges.count) { index in
            let task = merges[index]
            let sequence = sequences[task.sequence]
            for state in 0..<task.rows * groupHeads {
                let head = task.kvHead * groupHeads + state % groupHeads
                let row = sequence.firstRow + task.firstRow + state / groupHeads
                merge(
                    partials + task.partial + state * stateFloats, task.rows * groupHeads * stateFloats, task.tiles, layout.headDim,
                    y[row] + head * layout.headDim)
            }
        }
    }
}
