// A model's weights in memory, by name.
//
// Filled once, at start, in one of two ways: the tensors of a checkpoint are packed into memory of our own, or packed
// bytes that lie in memory already (a prepared image, WeightCache.swift) are taken as they are. From then on read-only until
// the model goes.

import BerthCore
import BerthKernels
import BerthStore

/// Packed weights, laid out as a plan says.
final class WeightStore {
    let plan: WeightPlan
    /// Bytes from `base` on that are in memory: all, or those before the experts.
    private let residentBytes: Int
    private let base: UnsafeMutableRawPointer
    /// Keeps the memory alive.
    private let owner: AnyObject

    /// Looks at packed weights that `owner` keeps at `base`.
    init(_ plan: WeightPlan, at base: UnsafeMutableRawPointer, residentBytes: Int? = nil, owner: AnyObject) {
        self.plan = plan
        self.residentBytes = residentBytes ?? plan.bytes
        self.base = base
        self.owner = owner
    }

    /// Packs the tensors of a checkpoint. They must have been checked against the plan.
    convenience init(_ plan: WeightPlan, packing checkpoint: Checkpoint, compute: Compute) {
        let buffer = AlignedBuffer(bytes: plan.bytes)
        self.init(plan, at: buffer.base, owner: buffer)
        // Large matrices are packed by all threads together, the many small ones each by one.
        let isLarge = { (extent: WeightExtent) in extent.bytes >= Self.largeBytes }
        for extent in plan.extents where isLarge(extent) { extent.pack(checkpoint, into: base + extent.offset, compute) }
        let small = plan.extents.filter { !isLarge($0) }
        compute.parallel(small.count) { [base] in small[$0].pack(checkpoint, into: base + small[$0].offset, nil) }
    }

    private static let largeBytes = 8 << 20

    var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base, count: residentBytes) }

    func matrix(_ name: String) -> PackedMatrix {
        let extent = plan[name]
        guard case .matrix(let outputs, let inputs, let format) = extent.kind else { preconditionFailure("\(name) is no matrix") }
        precondition(extent.offset + extent.bytes <= residentBytes, "\(name) is on disk")
        return PackedMatrix(outputs: outputs, inputs: inputs, format: format, memory: base + extent.offset)
    }

    /// The format of a matrix, wherever it is.
    func format(of name: String) -> WeightFormat {
        guard case .matrix(_, _, let format) = plan[name].kind else { preconditionFailure("\(name) is no matrix") }
        return format
    }

    /// The table of embeddings, with residuals where the plan has them.
    func embeddingTable() -> EmbeddingTable {
        let residuals = TensorNames.embeddingResiduals
        return EmbeddingTable(
            matrix(TensorNames.embedding), residuals: plan.contains(residuals) ? UnsafeRawPointer(base + plan[residuals].offset) : nil)
    }

    func vector(_ name: String) -> UnsafePointer<Float> {
        let extent = plan[name]
        guard case .vector = extent.kind else { preconditionFailure("\(name) is no vector") }
        return UnsafePointer((base + extent.offset).assumingMemoryBound(to: Float.self))
    }

    func vectorIfPresent(_ name: String) -> UnsafePointer<Float>? { plan.contains(name) ? vector(name) : nil }
}

extension WeightExtent {
    /// Packs the extent's tensors, which were checked, into `memory` (`bytes` long), and gives their pages back. Without `compute` on
    /// the calling thread alone.
    func pack(_ checkpoint: Checkpoint, into memory: UnsafeMutableRawPointer, _ compute: Compute?) {
        let sources = sources.map { source in
            guard let tensor = checkpoint.tensors[source.tensor] else { preconditionFailure("\(source.tensor) was not checked") }
            return (tensor: tensor, rows: source.rows)
        }
        withExtendedLifetime(sources) {
            func rows(of columns: Int) -> [PackedMatrix.Source] {
                sources.map { source in
                    PackedMatrix.Source(
                        base: source.tensor.bytes.baseAddress! + source.rows.lowerBound * columns * source.tensor.type.bytes, type: source.tensor.type,
                        outputs: source.rows.count)
                }
            }
            switch kind {
            case .matrix(_, let inputs, let format):
                PackedMatrix.pack(rows(of: inputs), inputs: inputs, format: format, into: memory, using: compute)
            case .residuals(_, let columns):
                EmbeddingTable.packResiduals(rows(of: columns), columns: columns, into: memory, using: compute)
            case .vector:
                var next = memory.assumingMemoryBound(to: Float.self)
                for source in sources {
                    source.tensor.writeFloats(to: next)
                    next += source.tensor.count
                }
            }
            // Of a fused tensor with every expert: the pages before are given back again, those ahead were not read yet.
            for source in sources { source.tensor.discard() }
        }
    }
}

extension TensorView {
    /// Writes the values as f32.
    func writeFloats(to output: UnsafeMutablePointer<Float>) {
        let bytes = bytes
        for index in 0..<count {
            switch type {
            case .f32: output[index] = bytes.loadUnaligned(fromByteOffset: index * 4, as: Float.self)
            case .bf16: output[index] = Float(bitPattern: UInt32(bytes.loadUnaligned(fromByteOffset: index * 2, as: UInt16.self)) << 16)
            case .f16: output[index] = Float(Float16(bitPattern: bytes.loadUnaligned(fromByteOffset: index * 2, as: UInt16.self)))
            }
        }
    }
}
