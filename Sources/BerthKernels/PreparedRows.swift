// Activations in the form that a weight format's kernels read, and what adapters make of the same rows: the input of a linear layer.

import BerthCore
import CKernels

/// Rows arranged for one weight format: f32 in blocks, rounded to bf16, or quantised. Reused from call to call; its buffer only grows.
public final class PreparedRows {
    public private(set) var count = 0
    public private(set) var columns = 0
    public private(set) var format = WeightFormat.f32

    /// Blocks of inputs, each of all rows, as `LinearCall` has them.
    var values: UnsafeRawPointer?
    /// The rows times the A of their adapters, for the linear layer to expand.
    var adapters = LoRAProducts()
    private var buffer = GrowingBuffer()

    public init() {}

    /// Rows in memory of the owner's, which lives longer, as far as it reaches: their values, and what adapters make of them.
    public init(values: UnsafeMutableRawBufferPointer, adapters memory: UnsafeMutableRawBufferPointer) {
        buffer.lent = values
        adapters.buffer.lent = memory
    }

    /// Room for the rows of `x` in blocks of `blockColumns` inputs that take `blockBytes`.
    func reserve(_ x: Rows, as format: WeightFormat, blockColumns: Int, blockBytes: Int) -> UnsafeMutableRawPointer {
        (count, columns, self.format) = (x.count, x.columns, format)
        let memory = buffer.reserve(x.count * ((x.columns + blockColumns - 1) / blockColumns) * blockBytes)
        values = UnsafeRawPointer(memory)
        return memory
    }

    /// Bytes that a row takes at most, whatever the format and the kernels: those of f32, to a whole block.
    public static func mostBytes(columns: Int) -> Int { columns * 4 + KernelRowBlockBytes }
}

extension Compute {
    /// Arranges, rounds or quantises `x` for weights of `format`, and multiplies it with the A of its rows' adapters, so that the linear layer that reads
    /// `p` adds what they do. Each row by itself, so batches do not matter.
    ///
    /// - Parameter adapters: segments of the rows of `x`, as `lora` takes them.
    public func prepare(_ x: Rows, for format: WeightFormat, adapters: [LoRASegment] = [], into p: PreparedRows) {
        p.adapters.plan(adapters, rows: x.count, threads: threads)
        let shrink = { [products = p.adapters, table] (task: Int) in products.shrink(task, x, table) }
        let shrinks = p.adapters.tasks.count
        let table = table.pointee
        switch format {
        case .f32, .bf16:
            let rounds = format == .bf16 && table.bf16Rows != 0
            let blockColumns = KernelRowBlockBytes / (rounds ? 2 : 4)
            let memory = p.reserve(x, as: format, blockColumns: blockColumns, blockBytes: KernelRowBlockBytes)
            overRows(x.count, columns: x.columns, after: shrinks, shrink) { rows in
                for row in rows {
                    var block = memory + row * KernelRowBlockBytes
                    for column in stride(from: 0, to: x.columns, by: blockColumns) {
                        let columns = min(blockColumns, x.columns - column)
                        if rounds {
                            table.roundRow(x[row] + column, columns, (columns + 1) / 2 * 2, block.assumingMemoryBound(to: UInt16.self))
                        } else {
                            block.copyMemory(from: x[row] + column, byteCount: columns * 4)
                        }
                        block += x.count * KernelRowBlockBytes
                    }
                }
            }
        case .int8, .int4:
            let memory = p.reserve(x, as: format, blockColumns: KernelBlockInputs, blockBytes: MemoryLayout<ActivationBlock>.stride)
                .assumingMemoryBound(to: ActivationBlock.self)
            let weightOffset: Int32 = format == .int8 ? 128 : 8
            overRows(x.count, columns: x.columns, after: shrinks, shrink) { rows in
                for row in rows { table.quantizeRow(x[row], x.columns, weightOffset, memory + row, x.count) }
            }
        }
    }
}
