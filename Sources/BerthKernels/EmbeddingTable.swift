// The table of embeddings: rows are looked up, not multiplied with.
//
// What rounding does to an embedding no later layer can mend, for it is the whole of what a model knows of a token, and of all roundings
// to int8 it costs the most accuracy. So beside an int8 matrix the table has the *residuals* of its rows, half a byte per weight: a row
// looked up has 12 bits for each weight, in effect. The matrix stays what it is, and is the head of a model with tied embeddings. A
// lookup reads one row, so the residuals cost memory and no time.

import BerthCore
import CKernels

/// A view of packed embeddings [vocabulary, columns] in memory that someone else owns and that never changes.
public struct EmbeddingTable: @unchecked Sendable {  // its memory is only read
    /// [vocabulary, columns].
    public let matrix: PackedMatrix
    /// `residualByteCount` bytes (layout.h), or nil where rows are taken from the matrix alone.
    private let residuals: UnsafeRawPointer?

    /// - Parameter residuals: packed from the sources of `matrix`, which is int8; must outlive the table.
    public init(_ matrix: PackedMatrix, residuals: UnsafeRawPointer? = nil) {
        precondition(residuals == nil || matrix.format == .int8, "residuals of a table in \(matrix.format)")
        self.matrix = matrix
        self.residuals = residuals
    }

    /// Bytes of the residuals of `rows` rows of `columns` weights.
    public static func residualByteCount(rows: Int, columns: Int) -> Int { rows * packed_residual_bytes(columns) }

    /// Writes what int8 loses of sources that are stacked along their outputs to `memory`, which holds `residualByteCount(rows: sum of the
    /// sources' outputs, …)`. Packs them once more for that, so it does not matter when the matrix is packed.
    public static func packResiduals(
        _ sources: [PackedMatrix.Source], columns: Int, into memory: UnsafeMutableRawPointer, using compute: Compute?
    ) {
        let rowBytes = packed_residual_bytes(columns)
        let output = memory.assumingMemoryBound(to: UInt8.self)
        PackedMatrix.eachPanel(of: sources, using: compute) { panel in
            let sources = PackedMatrix.PanelSources(sources, inputs: columns, panel: panel)
            withUnsafeTemporaryAllocation(byteCount: packed_panel_bytes(WeightInt8, columns), alignment: 64) { packed in
                packed_pack_panel(WeightInt8, columns, sources.rows, sources.elements, packed.baseAddress)
                for (index, row) in sources.rows.enumerated() {
                    guard let row else { continue }
                    packed_pack_residuals(
                        columns, row, TensorElement(UInt32(sources.elements[index])), packed.baseAddress, index,
                        output + (panel * PackedMatrix.panelOutputs + index) * rowBytes)
                }
            }
        }
    }

    /// Row `token`: `columns` floats.
    public func unpack(_ token: Int, into row: UnsafeMutablePointer<Float>) {
        guard let residuals else { return matrix.unpack(output: token, into: row) }
        packed_unpack_residual_row(
            matrix.inputs, matrix.panel(of: token), token % PackedMatrix.panelOutputs,
            (residuals + token * packed_residual_bytes(matrix.inputs)).assumingMemoryBound(to: UInt8.self), row)
    }
}

extension Compute {
    /// y[i] = row tokens[i] of `table`.
    public func embed(_ tokens: UnsafeBufferPointer<Int32>, from table: EmbeddingTable, into y: Rows) {
        precondition(tokens.count == y.count && y.columns == table.matrix.inputs)
        overRows(tokens.count, columns: y.columns * 8) { rows in
            for row in rows { table.unpack(Int(tokens[row]), into: y[row]) }
        }
    }
}
