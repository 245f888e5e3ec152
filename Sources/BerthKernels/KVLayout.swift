// How keys and values of a block of tokens lie in a page: for every layer and key-value head, its keys, then its values.

import CKernels

/// The element type of cached keys and values.
public enum KVElement: String, Sendable, Hashable, CaseIterable {
    case f32, f16, bf16
    /// With one scale per token and 32 dimensions of a head: about 1.9 tokens in the place of one f16 token.
    case int8

    var element: TensorElement {
        switch self {
        case .f32: ElementF32
        case .f16: ElementF16
        case .bf16: ElementBF16
        case .int8: ElementInt8
        }
    }
}

/// The layout of a page of the KV cache: `blockTokens` tokens over all layers.
public struct KVLayout: Sendable, Hashable {
    public let layers: Int
    public let kvHeads: Int
    public let headDim: Int
    /// Tokens of a page: a multiple of 16.
    public let blockTokens: Int
    public let element: KVElement
    /// Bytes that a page's contents take; the pool rounds up.
    public let pageBytes: Int

    let headBytes: Int
    let valueOffset: Int

    /// - Parameters:
    ///   - headDim: a multiple of 4, at most 256.
    ///   - blockTokens: a multiple of 16.
    public init(layers: Int, kvHeads: Int, headDim: Int, blockTokens: Int, element: KVElement) {
        precondition(headDim % 4 == 0 && headDim > 0 && headDim <= KernelHeadDim, "head size \(headDim)")
        precondition(blockTokens % 16 == 0 && blockTokens > 0, "block of \(blockTokens) tokens")
        precondition(layers > 0 && kvHeads > 0)
        self.layers = layers
        self.kvHeads = kvHeads
        self.headDim = headDim
        self.blockTokens = blockTokens
        self.element = element
        valueOffset = (kv_key_bytes(element.element, blockTokens, headDim) + 63) / 64 * 64
        headBytes = valueOffset + (kv_value_bytes(element.element, blockTokens, headDim) + 63) / 64 * 64
        pageBytes = layers * kvHeads * headBytes
    }

    func offset(layer: Int) -> Int { layer * kvHeads * headBytes }
}
