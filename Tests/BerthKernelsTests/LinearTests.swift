import BerthCore
import Testing

@testable import BerthKernels

@Suite struct LinearTests {
    static func run(
        _ compute: Compute, _ x: Rows, _ w: PackedMatrix, bias: [Float]? = nil, accumulate: Bool = false, into given: Block? = nil
    ) -> [[Float]] {
        let prepared = PreparedRows()
        let y = given ?? Block(x.count, w.outputs)
        compute.prepare(x, for: w.format, into: prepared)
        if let bias {
            bias.withUnsafeBufferPointer { compute.linear(prepared, w, into: y.rows, bias: $0.baseAddress, accumulate: accumulate) }
        } else {
            compute.linear(prepared, w, into: y.rows, accumulate: accumulate)
        }
        return y.all
    }

    /// The scalar kernels against sums in Double over the unpacked weights.
    @Test(arguments: WeightFormat.allCases)
    func scalarAgreesWithDoubleSums(format: WeightFormat) throws {
        let compute = try Compute(kernels: .scalar, threads: 1)
        for (rows, inputs, outputs) in [(1, 1, 1), (3, 33, 17), (2, 130, 40), (4, 64, 16)] {
            let x = Block(rows, inputs, seed: 5), w = Matrix(outputs: outputs, inputs: inputs, format: format, seed: 7)
            let wanted = (0..<rows).map { r in
                (0..<outputs).map { o in Float(zip(x.row(r), w.unpacked(o)).reduce(0.0) { $0 + Double($1.0) * Double($1.1) }) }
            }
            let got = Self.run(compute, x.rows, w.packed)
            // Weights are exact here; int8 and int4 also quantise the activations, to 1/254 of a group's largest.
            let tolerance: Float = format == .f32 || format == .bf16 ? 1e-5 : 0.02
            #expect(relativeError(got, wanted) < tolerance, "\(format) \(rows)x\(inputs)x\(outputs)")
        }
    }

    @Test(arguments: WeightFormat.allCases)
    func everyTableAgreesWithScalar(format: WeightFormat) throws {
        let scalar = try Compute(kernels: .scalar, threads: 1)
        let shapes = [(1, 1, 1), (1, 31, 15), (2, 32, 16), (3, 33, 17), (5, 2, 64), (6, 127, 65), (7, 128, 130), (13, 129, 80), (1, 640, 96), (25, 300, 48), (40, 1025, 64)]
        for compute in try everyCompute() {
            for (rows, inputs, outputs) in shapes {
                let x = Block(rows, inputs, seed: UInt64(inputs)), w = Matrix(outputs: outputs, inputs: inputs, format: format, seed: 11)
                var values = Values(seed: 3)
                let bias = values.array(outputs)
                let before = Block(rows, outputs, seed: 17), same = Block(rows, outputs, seed: 17)
                let wanted = Self.run(scalar, x.rows, w.packed, bias: bias, accumulate: true, into: before)
                let got = Self.run(compute, x.rows, w.packed, bias: bias, accumulate: true, into: same)
                // Only kernels that round activations to bf16 (8 bits) differ by more than the order of summation.
                let tolerance: Float = format == .bf16 && compute.table.pointee.bf16Rows != 0 ? 0.01 : 2e-5
                #expect(relativeError(got, wanted) < tolerance, "\(compute.kernelName) \(format) \(rows)x\(inputs)x\(outputs)")
            }
        }
    }

    /// Sums of bytes are exact, and all vector tables scale and add them in one way: int8 and int4 give the same bits on every processor.
    @Test(arguments: [WeightFormat.int8, .int4])
    func vectorTablesAgreeToTheBit(format: WeightFormat) throws {
        for (rows, inputs, outputs) in [(1, 31, 15), (7, 300, 40), (20, 1025, 64)] {
            let x = Block(rows, inputs, seed: UInt64(rows)), w = Matrix(outputs: outputs, inputs: inputs, format: format, seed: 13)
            let results = try everyCompute().filter { $0.kernelName != "scalar" }.map { ($0.kernelName, bits(Self.run($0, x.rows, w.packed))) }
            for (name, result) in results { #expect(result == results[0].1, "\(name) and \(results[0].0), \(rows)x\(inputs)x\(outputs)") }
        }
    }

    /// Batch invariance: the bits of a row do not depend on its company, nor on threads.
    @Test(arguments: WeightFormat.allCases)
    func rowsAreTheSameInEveryBatch(format: WeightFormat) throws {
        let inputs = 1100, outputs = 84
        let x = Block(40, inputs, seed: 23), w = Matrix(outputs: outputs, inputs: inputs, format: format, seed: 29)
        for (one, two) in zip(try everyCompute(threads: 1), try everyCompute(threads: 2)) {
            let alone = (0..<40).map { Self.run(one, x.rows.rows($0..<$0 + 1), w.packed)[0] }
            for count in 1...40 {
                let batch = Self.run(count % 2 == 0 ? one : two, x.rows.rows(0..<count), w.packed)
                #expect(bits(batch) == bits(Array(alone[0..<count])), "\(one.kernelName) \(format), \(count) rows")
            }
        }
    }

    /// Many rows: more than one call of a kernel takes, and cut over threads.
    @Test(arguments: WeightFormat.allCases)
    func manyRowsAreCutWithoutATrace(format: WeightFormat) throws {
        let x = Block(1030, 72, seed: 31), w = Matrix(outputs: 48, inputs: 72, format: format, seed: 37)
        for compute in try everyCompute(threads: 2) {
            let all = Self.run(compute, x.rows, w.packed)
            for row in [0, 1, 5, 511, 512, 513, 1023, 1024, 1029] {
                #expect(bits([all[row]]) == bits(Self.run(compute, x.rows.rows(row..<row + 1), w.packed)), "\(compute.kernelName) row \(row)")
            }
        }
    }

    @Test(arguments: WeightFormat.allCases)
    func groupsOfRowsMeetTheirOwnWeights(format: WeightFormat) throws {
        let x = Block(30, 96, seed: 41)
        let experts = (0..<4).map { Matrix(outputs: 80, inputs: 96, format: format, seed: 100 + UInt64($0)) }
        let ranges = [0..<1, 1..<14, 14..<14, 14..<30]
        for compute in try everyCompute(threads: 2) {
            let prepared = PreparedRows(), y = Block(30, 80)
            compute.prepare(x.rows, for: format, into: prepared)
            compute.linear(prepared, groups: zip(ranges, experts).map { .init(rows: $0, weights: $1.packed) }, into: y.rows)
            for (range, expert) in zip(ranges, experts) where !range.isEmpty {
                let wanted = Self.run(compute, x.rows.rows(range), expert.packed)
                #expect(bits(Array(y.all[range])) == bits(wanted), "\(compute.kernelName) rows \(range)")
            }
        }
    }

    /// Rows wider apart than they are long, and columns of a wider result.
    @Test(arguments: WeightFormat.allCases)
    func stridesAreKept(format: WeightFormat) throws {
        var values = Values(seed: 43)
        let wide = Block(5, 200, fill: { values.activation() })
        let x = wide.rows.columns(7..<82)
        let w = Matrix(outputs: 21, inputs: 75, format: format, seed: 47)
        for compute in try everyCompute() {
            let y = Block(5, 40, fill: { -1 })
            let prepared = PreparedRows()
            compute.prepare(x, for: format, into: prepared)
            compute.linear(prepared, w.packed, into: y.rows.columns(3..<24))
            let dense = Block(5, 75)
            for r in 0..<5 { for c in 0..<75 { dense.rows[r][c] = x[r][c] } }
            let wanted = Self.run(compute, dense.rows, w.packed)
            for r in 0..<5 {
                #expect(Array(y.row(r)[3..<24]).map(\.bitPattern) == wanted[r].map(\.bitPattern))
                #expect(y.row(r)[0..<3].allSatisfy { $0 == -1 } && y.row(r)[24...].allSatisfy { $0 == -1 })
            }
        }
    }

    /// What is not finite in one row stays in that row.
    @Test(arguments: WeightFormat.allCases)
    func badRowsHarmNoOthers(format: WeightFormat) throws {
        let w = Matrix(outputs: 33, inputs: 70, format: format, seed: 53)
        for compute in try everyCompute() {
            let x = Block(9, 70, seed: 59), clean = Self.run(compute, x.rows, w.packed)
            x.rows[4][3] = .infinity
            x.rows[4][69] = .nan
            let got = Self.run(compute, x.rows, w.packed)
            for r in 0..<9 where r != 4 { #expect(bits([got[r]]) == bits([clean[r]]), "\(compute.kernelName) row \(r)") }
            #expect(got[4].allSatisfy { !$0.isFinite }, "\(compute.kernelName)")
        }
    }
}
