// Where every weight of a model lies in one range of memory, known before a byte of it is allocated.
//
// A model's weights are a list of named *extents*: packed matrices (several tensors stacked along their outputs, as q|k|v),
// plain f32 vectors, and the residuals of the embeddings. The list follows from the configuration, the format and the names in the checkpoint alone, so the
// daemon can print and refuse the plan of its memory first, and two ways can fill it: packing the checkpoint's tensors
// (WeightStore.swift) or taking a prepared image that was written in this very order (WeightCache.swift). Every extent begins
// at a page, as extents of images do: the plan is the image's layout and the memory it counts, and an expert, gate|up before
// down, is one run of pages that can be read by itself with direct I/O.

import BerthCore
import BerthKernels

/// Rows of a checkpoint's tensor that go into an extent.
public struct WeightSource: Sendable, Equatable {
    public let tensor: String
    /// The shape that the tensor must have.
    public let shape: [Int]
    /// Rows of the tensor, seen as a matrix of its last dimension (a vector as one row).
    public let rows: Range<Int>
}

/// One packed matrix or vector, or residuals.
public struct WeightExtent: Sendable {
    public enum Kind: Sendable, Equatable {
        case matrix(outputs: Int, inputs: Int, format: WeightFormat)
        /// f32 values.
        case vector(count: Int)
        /// What the rows of an int8 matrix lost, for a table of embeddings.
        case residuals(rows: Int, columns: Int)
    }

    public let name: String
    public let kind: Kind
    public let sources: [WeightSource]
    /// From the start of the weights, a multiple of `WeightPlan.alignment`.
    public let offset: Int
    public let bytes: Int
    /// Layer and number of the expert that this belongs to.
    public let expert: ExpertID?
}

/// One expert of one layer.
public struct ExpertID: Sendable, Hashable {
    public let layer: Int
    public let expert: Int

    public init(layer: Int, expert: Int) {
        self.layer = layer
        self.expert = expert
    }
}

/// All extents of a model, in the order of their offsets.
public struct WeightPlan: Sendable {
    public private(set) var extents: [WeightExtent] = []
    /// Bytes from the first extent's start to the last one's end.
    public private(set) var bytes = 0
    private var indices: [String: Int] = [:]

    /// Bytes before the first expert: what is always in memory. Experts come last.
    public var denseBytes: Int { extents.first { $0.expert != nil }?.offset ?? bytes }

    /// Of every extent: a page.
    public static let alignment = 4096

    /// What so many bytes take in whole pages.
    static func padded(_ bytes: Int) -> Int { (bytes + alignment - 1) / alignment * alignment }

    /// The extent called `name`. It must exist.
    public subscript(name: String) -> WeightExtent {
        guard let index = indices[name] else { preconditionFailure("no extent \(name)") }
        return extents[index]
    }

    public func contains(_ name: String) -> Bool { indices[name] != nil }

    private mutating func add(_ name: String, _ kind: WeightExtent.Kind, _ sources: [WeightSource], bytes size: Int, expert: ExpertID?) {
        let offset = Self.padded(bytes)
        precondition(indices.updateValue(extents.count, forKey: name) == nil, "two extents are called \(name)")
        extents.append(WeightExtent(name: name, kind: kind, sources: sources, offset: offset, bytes: size, expert: expert))
        bytes = offset + size
    }

    mutating func matrix(
        _ name: String, inputs: Int, _ format: WeightFormat, _ sources: [WeightSource], expert: ExpertID? = nil
    ) {
        let outputs = sources.reduce(0) { $0 + $1.rows.count }
        add(
            name, .matrix(outputs: outputs, inputs: inputs, format: format), sources,
            bytes: PackedMatrix.byteCount(outputs: outputs, inputs: inputs, format: format), expert: expert)
    }

    mutating func vector(_ name: String, _ sources: [WeightSource]) {
        let count = sources.reduce(0) { $0 + $1.shape[0] }
        add(name, .vector(count: count), sources, bytes: count * 4, expert: nil)
    }

    mutating func residuals(_ name: String, columns: Int, _ sources: [WeightSource]) {
        let rows = sources.reduce(0) { $0 + $1.rows.count }
        add(
            name, .residuals(rows: rows, columns: columns), sources, bytes: EmbeddingTable.residualByteCount(rows: rows, columns: columns),
            expert: nil)
    }
}

extension WeightSource {
    /// The whole of a matrix tensor.
    static func matrix(_ tensor: String, _ outputs: Int, _ inputs: Int) -> WeightSource {
        WeightSource(tensor: tensor, shape: [outputs, inputs], rows: 0..<outputs)
    }

    static func vector(_ tensor: String, _ count: Int) -> WeightSource {
        WeightSource(tensor: tensor, shape: [count], rows: 0..<1)
    }

    /// Rows `rows` of expert `expert` in a fused tensor `[experts, outputs, inputs]`.
    static func fused(_ tensor: String, _ experts: Int, _ outputs: Int, _ inputs: Int, expert: Int) -> WeightSource {
        WeightSource(tensor: tensor, shape: [experts, outputs, inputs], rows: expert * outputs..<(expert + 1) * outputs)
    }
}
