// Rows looked up in a table of embeddings, with residuals and without.

import BerthCore
import Testing

@testable import BerthKernels

@Suite struct EmbeddingTableTests {
    /// Sizes that fill neither panels, groups nor bytes, and one that does.
    private static let sizes = [(50, 40), (19, 37), (33, 129), (1, 1), (32, 256)]

    /// Residuals of a matrix's source, in memory of their own.
    private static func residuals(_ matrix: Matrix, using compute: Compute? = nil) -> AlignedBuffer {
        let (rows, columns) = (matrix.packed.outputs, matrix.packed.inputs)
        let buffer = AlignedBuffer(bytes: EmbeddingTable.residualByteCount(rows: rows, columns: columns))
        matrix.source.withUnsafeBytes {
            EmbeddingTable.packResiduals([.init(base: $0.baseAddress!, type: .f32, outputs: rows)], columns: columns, into: buffer.base, using: compute)
        }
        return buffer
    }

    private static func bytes(_ buffer: AlignedBuffer) -> [UInt8] { Array(UnsafeRawBufferPointer(start: buffer.base, count: buffer.bytes)) }

    private static func row(_ table: EmbeddingTable, _ token: Int) -> [Float] {
        [Float](unsafeUninitializedCapacity: table.matrix.inputs) { memory, count in
            table.unpack(token, into: memory.baseAddress!)
            count = table.matrix.inputs
        }
    }

    /// What one int8 step of a weight is worth, read as layout.h says.
    private static func step(_ matrix: PackedMatrix, _ output: Int, _ input: Int) -> Float {
        let panel = matrix.panel(of: output), lane = output % 16, group = input / 32
        let code = panel.load(fromByteOffset: 64 + group / 4 * (64 + 4 * 512) + group % 4 * 16 + lane, as: UInt8.self)
        return panel.load(fromByteOffset: lane * 4, as: Float.self) * Float(code)
    }

    /// Within 1/32 of a step of the weight; at the edges of a residual's range nearer by that range.
    @Test(arguments: sizes) func residualsRefineRows(rows: Int, columns: Int) throws {
        let matrix = Matrix(outputs: rows, inputs: columns, format: .int8, seed: 71), residuals = Self.residuals(matrix)
        let table = EmbeddingTable(matrix.packed, residuals: residuals.base)
        var coarse: Float = 0, fine: Float = 0
        for token in 0..<rows {
            let plain = matrix.unpacked(token), refined = Self.row(table, token)
            for column in 0..<columns {
                let weight = matrix.source[token * columns + column], step = Self.step(matrix.packed, token, column)
                let before = abs(weight - plain[column]), after = abs(weight - refined[column])
                let bound = max(step / 32, before - step * 7 / 16)
                #expect(after <= bound + step * 1e-4, "row \(token), column \(column)")
                coarse += before * before
                fine += after * after
            }
        }
        #expect(fine <= coarse / 100)
    }

    /// A nibble of 8 is no residual: the very bits of the matrix's row.
    @Test(arguments: sizes) func rowsWithoutResidualAreTheMatrix(rows: Int, columns: Int) throws {
        let matrix = Matrix(outputs: rows, inputs: columns, format: .int8, seed: 73), residuals = Self.residuals(matrix)
        residuals.base.initializeMemory(as: UInt8.self, repeating: 0x88, count: residuals.bytes)
        let table = EmbeddingTable(matrix.packed, residuals: residuals.base)
        for token in 0..<rows { #expect(bits([Self.row(table, token)]) == bits([matrix.unpacked(token)])) }
    }

    @Test func threadsAndStackedSourcesPackTheSameBytes() throws {
        let matrix = Matrix(outputs: 53, inputs: 45, format: .int8, seed: 79)
        let one = Self.residuals(matrix), two = Self.residuals(matrix, using: try Compute(threads: 2))
        #expect(Self.bytes(one) == Self.bytes(two))
        let stacked = AlignedBuffer(bytes: one.bytes)
        matrix.source.withUnsafeBytes { source in
            let base = source.baseAddress!
            EmbeddingTable.packResiduals(
                [.init(base: base, type: .f32, outputs: 21), .init(base: base + 21 * 45 * 4, type: .f32, outputs: 32)], columns: 45, into: stacked.base,
                using: nil)
        }
        #expect(Self.bytes(one) == Self.bytes(stacked))
    }

    @Test func lookupsAreTheTablesRows() throws {
        let tokens: [Int32] = [49, 0, 16, 16, 31], compute = try Compute(threads: 2)
        for format in WeightFormat.allCases {
            let matrix = Matrix(outputs: 50, inputs: 41, format: format, seed: 61), residuals = Self.residuals(matrix)
            let tables = [EmbeddingTable(matrix.packed)] + (format == .int8 ? [EmbeddingTable(matrix.packed, residuals: residuals.base)] : [])
            for table in tables {
                let y = Block(5, 41)
                tokens.withUnsafeBufferPointer { compute.embed($0, from: table, into: y.rows) }
                for (row, token) in tokens.enumerated() { #expect(bits([y.row(row)]) == bits([Self.row(table, Int(token))])) }
            }
            for token in 0..<50 { #expect(Self.row(tables[0], token) == matrix.unpacked(token)) }
        }
    }

    /// Rows of zeros are zeros, and what is not finite counts as zero, as in the matrix.
    @Test func zeroAndBadWeightsAreNumbers() throws {
        var source = [Float](repeating: 0, count: 33) + (33..<66).map { 1e-3 * Float($0) }
        (source[40], source[41]) = (.nan, .infinity)
        let packed = AlignedBuffer(bytes: PackedMatrix.byteCount(outputs: 2, inputs: 33, format: .int8))
        let residuals = AlignedBuffer(bytes: EmbeddingTable.residualByteCount(rows: 2, columns: 33))
        source.withUnsafeBytes {
            let sources = [PackedMatrix.Source(base: $0.baseAddress!, type: .f32, outputs: 2)]
            PackedMatrix.pack(sources, inputs: 33, format: .int8, into: packed.base, using: nil)
            EmbeddingTable.packResiduals(sources, columns: 33, into: residuals.base, using: nil)
        }
        let table = EmbeddingTable(PackedMatrix(outputs: 2, inputs: 33, format: .int8, memory: packed.base), residuals: residuals.base)
        #expect(Self.row(table, 0).allSatisfy { $0 == 0 })
        let row = Self.row(table, 1)
        #expect(row[7] == 0 && row[8] == 0)
        for column in 0..<33 where column != 7 && column != 8 { #expect(abs(row[column] - source[33 + column]) < 1e-4) }
    }
}
