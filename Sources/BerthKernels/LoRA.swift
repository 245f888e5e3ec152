// Low-rank adapters: y[rows] += scale · (x[rows]·Aᵀ)·B for every segment of a batch, each with its own adapter and rank.
//
// *Shrink* is the product with A, *expand* the one with B (Punica, Chen et al. 2023; S-LoRA, Sheng et al. 2023). Around a linear layer neither is
// a section of its own: shrink runs beside the preparation of the same rows (PreparedRows.swift), and each task of the linear layer
// expands into the part of y that it has just written, while that is in the cache (Linear.swift). The operations per value are the same
// however the work is cut.

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

    /// y[rows] += scale · (x[rows]·Aᵀ)·B for every segment, where there is no linear layer to do it with. `x` has the adapters' inputs as
    /// columns. Segments rise with their rows; those that share rows have distinct columns.
    public func lora(_ x: Rows, segments: [LoRASegment], into y: Rows) {
        guard let firstRow = segments.first?.rows.lowerBound, let end = segments.last?.rows.upperBound else { return }
        loraProducts.plan(segments, rows: x.count, threads: threads)
        let products = loraProducts
        parallel(products.tasks.count) { products.shrink($0, x, table) }
        var pieces: [(rows: Range<Int>, columns: Range<Int>)] = []
        for first in stride(from: firstRow, to: end, by: LoRAProducts.rowsPerTask) {
            let rows = first..<min(first + LoRAProducts.rowsPerTask, end)
            for column in stride(from: 0, to: y.columns, by: Self.expandedColumns) {
                pieces.append((rows, column..<min(column + Self.expandedColumns, y.columns)))
            }
        }
        parallel(pieces.count) { products.expand(rows: pieces[$0].rows, columns: pieces[$0].columns, into: y, table) }
    }

    private static let expandedColumns = 512
}

/// scale · x[rows]·Aᵀ of every segment: what lies between shrink and expand.
struct LoRAProducts {
    /// A part of shrink: some rows and ranks of one segment.
    struct Task {
        var segment: Int
        var rows, ranks: Range<Int>
    }

    static let rowsPerTask = 32
    private static let ranksPerTask = 8

    private(set) var tasks: [Task] = []
    private var segments: [Compute.LoRASegment] = []
    /// Where each segment's products [rows][rank] start, in floats.
    private var offsets: [Int] = []
    var buffer = GrowingBuffer()
    private var products: UnsafeMutablePointer<Float> { buffer.base.assumingMemoryBound(to: Float.self) }

    var isEmpty: Bool { segments.isEmpty }

    /// Makes room for the products of these segments of `rows` rows, and cuts the work. With few segments ranks are cut too, so that all threads
    /// take part.
    mutating func plan(_ segments: [Compute.LoRASegment], rows: Int, threads: Int) {
        self.segments = segments
        tasks.removeAll(keepingCapacity: true)
        offsets.removeAll(keepingCapacity: true)
        var floats = 0, last = 0..<0
        for (index, s) in segments.enumerated() {
            precondition(
                s.rows.lowerBound >= last.lowerBound && s.rows.upperBound >= last.upperBound && s.rows.upperBound <= rows,
                "segments rise, and lie within the batch")
            precondition(s.rank > 0 && s.rank <= Limits.adapterRank)
            last = s.rows
            offsets.append(floats)
            floats += s.rows.count * s.rank
            let ranks = segments.count >= 4 * threads || threads == 1 ? s.rank : Self.ranksPerTask
            for first in stride(from: s.rows.lowerBound, to: s.rows.upperBound, by: Self.rowsPerTask) {
                for rank in stride(from: 0, to: s.rank, by: ranks) {
                    tasks.append(Task(
                        segment: index, rows: first..<min(first + Self.rowsPerTask, s.rows.upperBound), ranks: rank..<min(rank + ranks, s.rank)))
                }
            }
        }
        _ = buffer.reserve(floats * MemoryLayout<Float>.size)
    }

    private func product(_ index: Int, row: Int) -> UnsafeMutablePointer<Float> {
        products + offsets[index] + (row - segments[index].rows.lowerBound) * segments[index].rank
    }

    /// Runs one task on the rows that the segments count.
    func shrink(_ task: Int, _ x: Rows, _ table: UnsafePointer<KernelTable>) {
        let (task, s) = (tasks[task], segments[tasks[task].segment])
        table.pointee.loraShrink(
            x[task.rows.lowerBound], x.stride, task.rows.count, x.columns, s.a, s.type.element, task.ranks.lowerBound, task.ranks.count, s.scale,
            product(task.segment, row: task.rows.lowerBound), s.rank)
    }

    /// Adds to these rows and columns of y what the segments have for them.
    func expand(rows: Range<Int>, columns: Range<Int>, into y: Rows, _ table: UnsafePointer<KernelTable>) {
        // To the first segment that reaches `rows`.
        var low = 0, high = segments.count
        while low < high {
            let middle = (low + high) / 2
            if segments[middle].rows.upperBound <= rows.lowerBound { low = middle + 1 } else { high = middle }
        }
        for index in low..<segments.count {
            let s = segments[index]
            if s.rows.lowerBound >= rows.upperBound { break }
            let all = s.columns ?? 0..<y.columns
            let ownRows = s.rows.clamped(to: rows), own = all.clamped(to: columns)
            if ownRows.isEmpty || own.isEmpty { continue }
            table.pointee.loraExpand(
                product(index, row: ownRows.lowerBound), s.rank, ownRows.count, s.rank, s.b, s.type.element, all.count,
                own.lowerBound - all.lowerBound, own.count, y[ownRows.lowerBound] + all.lowerBound, y.stride)
        }
    }
}
