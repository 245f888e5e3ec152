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
    var strideBytes = 0
    var groups: UnsafePointer<ActivationGroup>?
    var groupStride = 0

    private var valueBuffer = GrowingBuffer()
    private var groupBuffer = GrowingBuffer()

    public init() {}

    func view(_ x: Rows, as format: WeightFormat) {
        (count, columns, self.format) = (x.count, x.columns, format)
        values = UnsafeRawPointer(x.base)
        strideBytes = x.stride * 4
        groups = nil
    }

    /// Room for `rows` rows of `strideBytes`.
    func reserve(_ x: Rows, as format: WeightFormat, strideBytes: Int) -> UnsafeMutableRawPointer {
        (count, columns, self.format) = (x.count, x.columns, format)
        self.strideBytes = strideBytes
        let memory = valueBuffer.reserve(x.count * strideBytes)
        values = UnsafeRawPointer(memory)
        groups = nil
        return memory
    }

    func reserveGroups(_ perRow: Int) -> UnsafeMutablePointer<ActivationGroup> {
        let memory = groupBuffer.reserve(count * perRow * MemoryLayout<ActivationGroup>.stride)
        let pointer = memory.assumingMemoryBound(to: ActivationGroup.self)
        groups = UnsafePointer(pointer)
        groupStride = perRow
        return pointer
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
            let memory = p.reserve(x, as: format, strideBytes: stride)
            overRows(x.count, columns: x.columns) { rows in
                for row in rows {
                    table.roundRow(x[row], x.columns, padded, (memory + row * stride).assumingMemoryBound(to: UInt16.self))
                }
            }
        case .int8, .int4:
            let group = KernelGroupInputs
            let perRow = (x.columns + group - 1) / group
            let stride = Self.spread(perRow * group)
            let memory = p.reserve(x, as: format, strideBytes: stride)
            let groups = p.reserveGroups(perRow)
            let weightOffset: Int32 = format == .int8 ? 128 : 8
            overRows(x.count, columns: x.columns) { rows in
                for row in rows {
                    let q = (memory + row * stride).assumingMemoryBound(to: Int8.self)
                    table.quantizeRow(x[row], x.columns, weightOffset, q, groups + row * perRow)
                }
            }
        }
    }
}
