// Low-rank adapters: y[rows] += scale · (x[rows]·Aᵀ)·B for every segment of a batch, each with its own adapter and rank.
//
// *Shrink* is the product with A, *expand* the one with B (Punica, Chen et al. 2023; S-LoRA, Sheng et al. 2023). With many segments each is
// one task that does both, its products still in cache; with few, shrink is cut by ranks and expand by columns so that all threads take part. The
// operations per value are the same either way.

import BerthCore
import CKernels

extension Compute {
    /// Adjacent rows of one adapter, and the adapter's matrices for this linear layer.
    public struct LoRASegment {
        /// Rows of the batch.
        public var rows: Range<Int>
        public var rank: Int
        /// alpha / rank, or as the adapter says.
        public var scale: Float
        /// [rank][inputs], row-major.
        public var a: UnsafeRawPointer
        /// [rank][outputs], row-major: B transposed.
        public var b: UnsafeRawPointer
        /// Of both matrices.
        public var type: ElementType
        /// Columns of y that the segment adds to; nil for all. Lets the parts of a stacked layer (q, k, v) run in one call.
        public var columns: Range<Int>?

        public init(
            rows: Range<Int>, rank: Int, scale: Float, a: UnsafeRawPointer, b: UnsafeRawPointer, type: ElementType, columns: Range<Int>? = nil
        ) {
            self.rows = rows
            self.rank = rank
            self.scale = scale
            self.a = a
            self.b = b
            self.type = type
            self.columns = columns
        }
    }

    /// Rows of one segment that a task takes at a time.
    private static let loraRows = 32
    /// Columns that an expanding task takes at a time where a segment is cut.
    private static let loraColumns = 512
    private static let loraRanks = 8

    /// y[rows] += scale · (x[rows]·Aᵀ)·B for every segment. `x` has the adapters' inputs as columns. Segments that share rows must
    /// have distinct columns.
    public func lora(_ x: Rows, segments: [LoRASegment], into y: Rows) {
        guard !segments.isEmpty else { return }
        var tasks = 0
        for segment in segments {
            precondition(segment.rows.lowerBound >= 0 && segment.rows.upperBound <= min(x.count, y.count))
            precondition(segment.rank > 0 && segment.rank <= Limits.adapterRank)
            tasks += (segment.rows.count + Self.loraRows - 1) / Self.loraRows
        }
        if threads == 1 || tasks >= 4 * threads { loraBySegment(x, segments, y, tasks) } else { loraBySlice(x, segments, y) }
    }

    private func shrink(_ s: LoRASegment, _ x: Rows, rows: Range<Int>, ranks: Range<Int>, into t: UnsafeMutablePointer<Float>) {
        table.pointee.loraShrink(
            x[rows.lowerBound], x.stride, rows.count, x.columns, s.a, s.type.element, ranks.lowerBound, ranks.count, s.scale, t, s.rank)
    }

    /// `columns` are relative to the segment's.
    private func expand(_ s: LoRASegment, _ t: UnsafePointer<Float>, rows: Range<Int>, columns: Range<Int>, into y: Rows) {
        let range = s.columns ?? 0..<y.columns
        table.pointee.loraExpand(
            t, s.rank, rows.count, s.rank, s.b, s.type.element, range.count, columns.lowerBound, columns.count,
            y[rows.lowerBound] + range.lowerBound, y.stride)
    }

    private func loraBySegment(_ x: Rows, _ segments: [LoRASegment], _ y: Rows, _ tasks: Int) {
        precondition(Self.loraRows * Limits.adapterRank * 4 <= KernelScratchBytes)
        section(tasks) { task, scratch in
            var index = 0, block = task
            while true {
                let blocks = (segments[index].rows.count + Self.loraRows - 1) / Self.loraRows
                if block < blocks { break }
                block -= blocks
                index += 1
            }
            let segment = segments[index]
            let first = segment.rows.lowerBound + block * Self.loraRows
            let rows = first..<min(first + Self.loraRows, segment.rows.upperBound)
            let t = scratch.assumingMemoryBound(to: Float.self)
            shrink(segment, x, rows: rows, ranks: 0..<segment.rank, into: t)
            expand(segment, t, rows: rows, columns: 0..<(segment.columns ?? 0..<y.columns).count, into: y)
        }
    }

    private func loraBySlice(_ x: Rows, _ segments: [LoRASegment], _ y: Rows) {
        struct Slice {
            var segment: Int
            var rows, range: Range<Int>
        }
        var offsets: [Int] = []
        var shrinks: [Slice] = [], expands: [Slice] = []
        var floats = 0
        for (index, s) in segments.enumerated() {
            offsets.append(floats)
            floats += s.rows.count * s.rank
            let columns = (s.columns ?? 0..<y.columns).count
            for first in stride(from: s.rows.lowerBound, to: s.rows.upperBound, by: Self.loraRows) {
                let rows = first..<min(first + Self.loraRows, s.rows.upperBound)
                for rank in stride(from: 0, to: s.rank, by: Self.loraRanks) {
                    shrinks.append(Slice(segment: index, rows: rows, range: rank..<min(rank + Self.loraRanks, s.rank)))
                }
                for column in stride(from: 0, to: columns, by: Self.loraColumns) {
                    expands.append(Slice(segment: index, rows: rows, range: column..<min(column + Self.loraColumns, columns)))
                }
            }
        }
        let products = loraProducts.reserve(floats * 4).assumingMemoryBound(to: Float.self)
        func block(_ slice: Slice) -> UnsafeMutablePointer<Float> {
            let s = segments[slice.segment]
            return products + offsets[slice.segment] + (slice.rows.lowerBound - s.rows.lowerBound) * s.rank
        }
        parallel(shrinks.count) { i in
            shrink(segments[shrinks[i].segment], x, rows: shrinks[i].rows, ranks: shrinks[i].range, into: block(shrinks[i]))
        }
        parallel(expands.count) { i in
            expand(segments[expands[i].segment], block(expands[i]), rows: expands[i].rows, columns: expands[i].range, into: y)
        }
    }
}
