// What a model will take, before any of it is taken.

import BerthCore
import BerthKernels

/// Bytes that a model needs beside the pool.
public struct MemoryPlan: Sendable, Equatable {
    /// Packed weights without experts.
    public let denseBytes: Int
    /// Packed weights of all experts.
    public let expertBytes: Int
    /// Activations and logits, for the largest batch.
    public let scratchBytes: Int
    /// Bytes of a page of the KV cache before the pool's rounding, and how many tokens it holds.
    public let pageBytes: Int
    public let blockTokens: Int

    public var weightBytes: Int { denseBytes + expertBytes }
    public var bytes: Int { weightBytes + scratchBytes }
}

extension KVElement {
    /// What the cache holds where nobody asks for another: f32 beside f32 weights, so that those are exact throughout, else f16, whose three
    /// more bits than bf16's keep near-ties of an MoE router where they were.
    static func standard(_ format: WeightFormat) -> KVElement { format == .f32 ? .f32 : .f16 }
}

extension KVLayout {
    /// A page should be worth a lease, but not so large that the last, half-filled one of every sequence wastes much.
    private static let wantedPageBytes = 64 << 10
    private static let blockTokenBounds = (least: 16, most: 256)

    /// The layout for a model: the smallest power of two of tokens whose page has 64 KiB.
    init(_ c: ModelConfiguration, element: KVElement) {
        func layout(_ tokens: Int) -> KVLayout {
            KVLayout(layers: c.layers.count, kvHeads: c.kvHeadCount, headDim: c.headDim, blockTokens: tokens, element: element)
        }
        var tokens = Self.blockTokenBounds.least
        while tokens < Self.blockTokenBounds.most, layout(tokens).pageBytes < Self.wantedPageBytes { tokens *= 2 }
        self = layout(tokens)
    }
}
