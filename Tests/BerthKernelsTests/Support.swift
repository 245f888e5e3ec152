// What the kernel tests share: seeded values, owned matrices, and every table that this machine runs.

import BerthCore
import Glibc

@testable import BerthKernels

/// Values that tests can repeat.
struct Values {
    private var state: UInt64
    init(seed: UInt64) { state = seed &* 0x9E37_79B9_7F4A_7C15 | 1 }

    mutating func next() -> UInt64 {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return state
    }

    /// In −1..<1.
    mutating func float() -> Float { Float(Int64(next() >> 40) - (1 << 23)) / Float(1 << 23) }

    /// Like activations: mostly small, now and then ten times as large.
    mutating func activation() -> Float { float() * float() * (next() % 61 == 0 ? 10 : 1) }

    /// Like trained weights: nearly normal, deviation 0.1.
    mutating func weight() -> Float { (0..<4).reduce(0) { sum, _ in sum + float() } * 0.0866 }

    mutating func array(_ count: Int, _ scale: Float = 1) -> [Float] { (0..<count).map { _ in activation() * scale } }
}

/// Rows that own their memory.
final class Block {
    let buffer: AlignedBuffer
    let rows: Rows

    init(_ count: Int, _ columns: Int, stride: Int? = nil, fill: (() -> Float)? = nil) {
        let stride = stride ?? columns
        buffer = AlignedBuffer(bytes: max(1, count * stride) * 4)
        rows = Rows(base: buffer.floats, count: count, columns: columns, stride: stride)
        for i in 0..<count * stride { buffer.floats[i] = fill?() ?? .nan }
    }

    convenience init(_ count: Int, _ columns: Int, seed: UInt64, scale: Float = 1) {
        var values = Values(seed: seed)
        self.init(count, columns, fill: { values.activation() * scale })
    }

    func row(_ r: Int) -> [Float] { Array(UnsafeBufferPointer(start: rows[r], count: rows.columns)) }
    var all: [[Float]] { (0..<rows.count).map(row) }
}

/// A packed matrix that owns its memory, with the values it was packed from.
final class Matrix {
    let packed: PackedMatrix
    let source: [Float]
    private let buffer: AlignedBuffer

    init(outputs: Int, inputs: Int, format: WeightFormat, seed: UInt64) {
        var values = Values(seed: seed)
        source = (0..<outputs * inputs).map { _ in values.weight() }
        buffer = AlignedBuffer(bytes: PackedMatrix.byteCount(outputs: outputs, inputs: inputs, format: format))
        let (source, buffer) = (source, buffer)
        source.withUnsafeBytes {
            PackedMatrix.pack([.init(base: $0.baseAddress!, type: .f32, outputs: outputs)], inputs: inputs, format: format, into: buffer.base, using: nil)
        }
        packed = PackedMatrix(outputs: outputs, inputs: inputs, format: format, memory: buffer.base)
    }

    func unpacked(_ output: Int) -> [Float] {
        [Float](unsafeUninitializedCapacity: packed.inputs) { memory, count in
            packed.unpack(output: output, into: memory.baseAddress!)
            count = packed.inputs
        }
    }
}

/// Every table of this machine, and those that it can imitate, with the given number of threads.
func everyCompute(threads: Int = 1) throws -> [Compute] {
    try KernelChoice.available.map { try Compute(kernels: $0, threads: threads) } + Compute.imitations(threads: threads)
}

/// The largest difference, relative to the largest magnitude of the wanted values (so that sums that cancel do not mislead).
func relativeError(_ got: [[Float]], _ wanted: [[Float]]) -> Float {
    var difference: Float = 0, magnitude: Float = 1e-20
    for (g, w) in zip(got.joined(), wanted.joined()) {
        if !(abs(g - w) <= .greatestFiniteMagnitude) { return .infinity }
        difference = max(difference, abs(g - w))
        magnitude = max(magnitude, abs(w))
    }
    return difference / magnitude
}

func bits(_ rows: [[Float]]) -> [[UInt32]] { rows.map { $0.map(\.bitPattern) } }
