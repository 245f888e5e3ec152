// The number formats of tensors in files and of weights in memory.

/// The element type of a tensor in a file or a buffer.
public enum ElementType: String, Sendable, Hashable {
    case f32, f16, bf16

    public var bytes: Int { self == .f32 ? 4 : 2 }
}

/// How the weights of linear layers are held in memory.
public enum WeightFormat: String, Sendable, Hashable, CaseIterable {
    /// Exact for every checkpoint; KV cache and adapters are f32 too. For reference and tests.
    case f32
    case bf16
    /// 8 bits, symmetric, one scale per group of inputs.
    case int8
    /// 4 bits, symmetric, one scale per group of inputs.
    case int4
}
