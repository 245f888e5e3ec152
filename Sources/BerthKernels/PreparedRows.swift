// Activations in the form that a weight format's kernels read. Made once and shared by all linears of the same input.

import BerthCore
import CKernels

/// Rows rounded or quantised for one weight format. Reused from call to call; its buffers only grow.
///
/// For f32 weights, and for bf16 weights where the kernels multiply in f32, this is a view of the rows given to `prepare`: they
/// must stay as they are until the linears have run.
public final class PreparedRows {
    public private(set) var count = 0
    public private(set) var columns = 0
    public private(set) var format = WeightFormat.f32

    var values: UnsafeRawPointer?
    /// Of the float forms; int8 and int4 are `ActivationBlock[][count]`.
    var strideBytes = 0

    private var valueBuffer = GrowingBuffer()

    public init() {}

    func view(_ x: Rows, as format: WeightFormat) {
        (count, columns, self.format) = (x.count, x.columns, format)
        values = UnsafeRawPointer(x.base)
        strideBytes = x.stride * 4
    }

    /// Room for `bytes`, which become rows in `format`.
    func reserve(_ x: Rows, as format: WeightFormat, bytes: Int, strideBytes: Int = 0) -> UnsafeMutableRawPointer {
        (count, columns, self.format) = (x.count, x.columns, format)
        self.strideBytes = strideBytes
        let memory = valueBuffer.reserve(bytes)
        values = UnsafeRawPointer(memory)
        return memory
    }
}

extension Compute {
    /// Bytes from one row to the next: an odd number of cache lines, so that rows do not crowd into the same sets of a cache.
    private static func spread(_ bytes: Int) -> Int { ((bytes + 63) / 64 | 1) * 64 }

    /// Rounds or quantises `x` for weights of `format`. Each row by itself, so batches do not matter.
    public func prepare(_ x: Rows, for format: WeightFormat, into p: PreparedRows) {
        let table = table.pointee
        switch format {
        case .f32:
            p.view(x, as: format)
        case .bf16 where table.bf16Rows == 0:
            p.view(x, as: format)
        case .bf16:
            let padded = (x.columns + 1) / 2 * 2
            let stride = Self.spread(padded * 2)
            let memory = p.reserve(x, as: format, bytes: x.count * stride, strideBytes: stride)
            overRows(x.count, columns: x.columns) { rows in
                for row in rows {
                    table.roundRow(x[row], x.columns, padded, (memory + row * stride).assumingMemoryBound(to: UInt16.self))
                }
            }
        case .int8, .int4:
            let blocks = (x.columns + KernelBlockInputs - 1) / KernelBlockInputs
            let memory = p.reserve(x, as: format, bytes: x.count * blocks * MemoryLayout<ActivationBlock>.stride)
                .assumingMemoryBound(to: ActivationBlock.self)
            let weightOffset: Int32 = format == .int8 ? 128 : 8
            overRows(x.count, columns: x.columns) { rows in
                for row in rows { table.quantizeRow(x[row], x.columns, weightOffset, memory + row, x.count) }
            }
        }
    }
}
