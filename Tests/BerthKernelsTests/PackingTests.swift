import BerthCore
import Testing

@testable import BerthKernels

@Suite struct PackingTests {
    /// f32 keeps every bit, bf16 rounds to nearest even, int8 stays within a step.
    @Test func formatsKeepWhatTheyPromise() {
        let outputs = 19, inputs = 100
        for format in WeightFormat.allCases {
            let matrix = Matrix(outputs: outputs, inputs: inputs, format: format, seed: 1)
            for o in 0..<outputs {
                let wanted = Array(matrix.source[o * inputs..<(o + 1) * inputs]), got = matrix.unpacked(o)
                for group in stride(from: 0, to: inputs, by: 32) {
                    let range = group..<min(group + 32, inputs)
                    let largest = wanted[range].map(abs).max()!, row = wanted.map(abs).max()!
                    for k in range {
                        let error = abs(got[k] - wanted[k])
                        switch format {
                        case .f32: #expect(error == 0)
                        case .bf16: #expect(error <= abs(wanted[k]) / 256)
                        case .int8: #expect(error <= largest / 127 + 8 * row / 127 / 255)  // the search goes eight codes up
                        case .int4: #expect(error <= largest / 7 * 2.6)  // the search may clip the largest
                        }
                    }
                }
            }
        }
    }

    /// The scale search must beat plain scaling by the largest magnitude, as Q8_0 and Q4_0 have it, in squared error.
    @Test(arguments: [(WeightFormat.int8, Float(127), Float(-127) ... 127), (.int4, -8, -8 ... 7)])
    func searchIsBetterThanPlainMaximumScaling(format: WeightFormat, limit: Float, range: ClosedRange<Float>) {
        let inputs = 4096
        let matrix = Matrix(outputs: 4, inputs: inputs, format: format, seed: 9)
        var ours: Float = 0, plain: Float = 0
        for o in 0..<4 {
            let wanted = Array(matrix.source[o * inputs..<(o + 1) * inputs]), got = matrix.unpacked(o)
            for (g, w) in zip(got, wanted) { ours += (g - w) * (g - w) }
            for group in stride(from: 0, to: inputs, by: 32) {
                let values = wanted[group..<group + 32]
                let step = values.max { abs($0) < abs($1) }! / limit
                for w in values {
                    let q = step == 0 ? 0 : min(range.upperBound, max(range.lowerBound, (w / step).rounded()))
                    plain += (w - q * step) * (w - q * step)
                }
            }
        }
        #expect(ours < 0.93 * plain, "squared error \(ours) against \(plain)")
    }

    /// A row's scale suits its codes and integers best: no factor brings the row nearer to its weights.
    @Test func int8ScalesAreThoseOfLeastSquares() {
        for inputs in [1, 31, 33, 100, 1024] {
            let matrix = Matrix(outputs: 19, inputs: inputs, format: .int8, seed: UInt64(inputs))
            for o in 0..<19 {
                let wanted = Array(matrix.source[o * inputs..<(o + 1) * inputs]), got = matrix.unpacked(o)
                func squaredError(_ factor: Double) -> Double {
                    zip(got, wanted).reduce(0) { $0 + (factor * Double($1.0) - Double($1.1)) * (factor * Double($1.0) - Double($1.1)) }
                }
                let products = zip(got, wanted).reduce(0.0) { $0 + Double($1.0) * Double($1.1) }
                let squares = got.reduce(0.0) { $0 + Double($1) * Double($1) }
                #expect(abs(products / squares - 1) < 1e-6, "\(inputs) inputs, output \(o)")
                for factor in [0.999, 1.001] { #expect(squaredError(1) <= squaredError(factor)) }
            }
        }
    }

    /// Stacked, unaligned sources of all element types; packing on threads changes nothing.
    @Test func sourcesAreStackedAlongOutputs() throws {
        let inputs = 37
        var values = Values(seed: 77)
        let q = values.array(20 * inputs), k = values.array(5 * inputs), v = values.array(9 * inputs)
        func bytes(_ x: [Float], _ type: ElementType) -> [UInt8] {
            var out: [UInt8] = [0]  // one byte off
            for value in x {
                switch type {
                case .f32: withUnsafeBytes(of: value.bitPattern.littleEndian) { out += Array($0) }
                case .bf16: withUnsafeBytes(of: UInt16(value.bitPattern >> 16)) { out += Array($0) }
                case .f16: withUnsafeBytes(of: Self.half(value)) { out += Array($0) }
                }
            }
            return out
        }
        let (qBytes, kBytes, vBytes) = (bytes(q, .f32), bytes(k, .bf16), bytes(v, .f16))
        let size = PackedMatrix.byteCount(outputs: 34, inputs: inputs, format: .f32)
        let one = AlignedBuffer(bytes: size), two = AlignedBuffer(bytes: size)
        qBytes.withUnsafeBytes { q in
            kBytes.withUnsafeBytes { k in
                vBytes.withUnsafeBytes { v in
                    let sources: [PackedMatrix.Source] = [
                        .init(base: q.baseAddress! + 1, type: .f32, outputs: 20), .init(base: k.baseAddress! + 1, type: .bf16, outputs: 5),
                        .init(base: v.baseAddress! + 1, type: .f16, outputs: 9),
                    ]
                    PackedMatrix.pack(sources, inputs: inputs, format: .f32, into: one.base, using: nil)
                    PackedMatrix.pack(sources, inputs: inputs, format: .f32, into: two.base, using: try? Compute(threads: 2))
                }
            }
        }
        #expect((0..<size).allSatisfy { one.base.load(fromByteOffset: $0, as: UInt8.self) == two.base.load(fromByteOffset: $0, as: UInt8.self) })
        let packed = PackedMatrix(outputs: 34, inputs: inputs, format: .f32, memory: one.base)
        var row = [Float](repeating: 0, count: inputs)
        for output in 0..<34 {
            packed.unpack(output: output, into: &row)
            for i in 0..<inputs {
                if output < 20 {
                    #expect(row[i] == q[output * inputs + i])
                } else if output < 25 {
                    #expect(abs(row[i] - k[(output - 20) * inputs + i]) <= abs(row[i]) / 64)
                } else {
                    #expect(abs(row[i] - v[(output - 25) * inputs + i]) <= max(abs(row[i]) / 1024, 1e-4))
                }
            }
        }
    }

    /// Truncating conversion, for values of ordinary size.
    private static func half(_ value: Float) -> UInt16 {
        let bits = value.bitPattern, exponent = Int(bits >> 23 & 0xFF) - 112
        guard exponent > 0 else { return UInt16(bits >> 16 & 0x8000) }
        return UInt16(bits >> 16 & 0x8000) | UInt16(exponent) << 10 | UInt16(bits >> 13 & 0x3FF)
    }

    @Test func zeroAndBadWeightsPackToNumbers() {
        for format in [WeightFormat.int8, .int4] {
            let source: [Float] = (0..<64).map { $0 < 32 ? 0 : $0 == 40 ? .nan : $0 == 41 ? .infinity : 1 }
            let buffer = AlignedBuffer(bytes: PackedMatrix.byteCount(outputs: 2, inputs: 32, format: format))
            source.withUnsafeBytes {
                PackedMatrix.pack([.init(base: $0.baseAddress!, type: .f32, outputs: 2)], inputs: 32, format: format, into: buffer.base, using: nil)
            }
            let packed = PackedMatrix(outputs: 2, inputs: 32, format: format, memory: buffer.base)
            var row = [Float](repeating: .nan, count: 32)
            packed.unpack(output: 0, into: &row)
            #expect(row.allSatisfy { $0 == 0 })
            packed.unpack(output: 1, into: &row)
            #expect(row.allSatisfy(\.isFinite) && abs(row[0] - 1) < 0.2)
        }
    }
}
