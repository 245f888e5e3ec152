// One adapted module: which, with what rank and scale, and where its two factors are in the file.

import BerthCore

/// The adapter of one module of the base: `y += scale · (x · Aᵀ) · Bᵀ`, for an embedding `y += scale · A[:, token] · Bᵀ`.
public struct AdapterModule: Sendable {
    /// The module's path in the catalogue.
    public let path: String
    public let kind: ModuleCatalog.Kind
    /// Width of A; for an embedding the size of the vocabulary.
    public let inputs: Int
    /// Rows of B; for the head the size of the vocabulary.
    public let outputs: Int
    public let rank: Int
    /// alpha/rank, or alpha/√rank with `use_rslora`.
    public let scale: Float
    /// `[rank, inputs]`
    public let a: AdapterFactor
    /// `[outputs, rank]`
    public let b: AdapterFactor

    /// Numbers in both factors.
    public var parameters: Int { rank * (inputs + outputs) }
}

/// A or B of a module: a matrix inside a tensor of the adapter's file, with strides because fused experts interleave.
///
/// Holds no name: of thousands of registered adapters the names would be most of the memory. `entry` finds it in the file.
public struct AdapterFactor: Sendable {
    public enum Role: Sendable, Hashable { case a, b }

    public let type: ElementType
    public let rows: Int
    public let columns: Int
    /// In elements from the tensor's start.
    let offset: Int, rowStride: Int, columnStride: Int
    /// Index of the tensor in the file's header.
    let entry: Int
    /// The whole tensor's bytes in the file.
    let range: Range<Int>

    /// The `rows` rows from `first` on.
    func rows(from first: Int, count: Int) -> AdapterFactor {
        AdapterFactor(
            type: type, rows: count, columns: columns, offset: offset + first * rowStride, rowStride: rowStride, columnStride: columnStride,
            entry: entry, range: range)
    }

    var transposed: AdapterFactor {
        AdapterFactor(
            type: type, rows: columns, columns: rows, offset: offset, rowStride: columnStride, columnStride: rowStride, entry: entry, range: range)
    }
}
