// How a checkpoint calls its tensors.
//
// The families agree on everything but the mixture of experts: Mixtral has its own words, and transformers 5 holds the
// experts of a layer in two fused parameters, which it writes out per expert unless it is told not to. Which of these a
// checkpoint has is seen from its names, layer by layer.

import BerthCore
import BerthStore
import Glibc

/// The tensor and module names of one checkpoint.
struct TensorNames: Sendable {
    struct Experts: Sendable {
        /// `model.layers.0.mlp` or `model.layers.0.block_sparse_moe`.
        let block: String
        let isFused: Bool
        let gate: String, up: String, down: String

        var prefix: String { block + ".experts" }
        func module(_ expert: Int, _ last: String) -> String { "\(prefix).\(expert).\(last)" }
    }

    static let embedding = "model.embed_tokens"
    /// An extent; no tensor is called so.
    static let embeddingResiduals = embedding + ".residuals"
    static let norm = "model.norm"
    static let head = "lm_head"

    static func layer(_ index: Int) -> String { "model.layers.\(index)" }
    /// The extents of an expert.
    static func gateUp(_ names: Experts, _ expert: Int) -> String { "\(names.prefix).\(expert).gate_up_proj" }
    static func down(_ names: Experts, _ expert: Int) -> String { "\(names.prefix).\(expert).down_proj" }

    /// By layer; meaningful for layers with experts.
    let experts: [Experts]
    /// The module whose weight is the table of embeddings.
    let embeddingTensor: String

    /// The names in `tensors`; with none, those that the family's checkpoints usually have.
    init(_ configuration: ModelConfiguration, tensors: Set<String>) {
        experts = configuration.layers.indices.map { index in
            let layer = Self.layer(index)
            let isFused = tensors.contains("\(layer).mlp.experts.gate_up_proj") || tensors.contains("\(layer).mlp.experts.down_proj")
            guard configuration.family == .mixtral else {
                return Experts(block: layer + ".mlp", isFused: isFused, gate: "gate_proj", up: "up_proj", down: "down_proj")
            }
            return Experts(block: layer + (isFused ? ".mlp" : ".block_sparse_moe"), isFused: isFused, gate: "w1", up: "w3", down: "w2")
        }
        // A checkpoint with tied embeddings may hold the table under the other name.
        let hasOnlyHead = !tensors.contains(Self.embedding + ".weight") && tensors.contains(Self.head + ".weight")
        embeddingTensor = (configuration.tiesEmbeddings && hasOnlyHead ? Self.head : Self.embedding) + ".weight"
    }

    /// Tensors that checkpoints of these families carry without need.
    static func isIgnorable(_ name: String, _ configuration: ModelConfiguration) -> Bool {
        if name.hasSuffix("rotary_emb.inv_freq") { return true }
        return configuration.tiesEmbeddings && (name == head + ".weight" || name == embedding + ".weight")
    }
}

extension Checkpoint {
    /// Whether there are a head and a table of embeddings which differ. transformers 5 leaves such a head alone where the configuration ties
    /// it (transformers 4 overwrote it with the table, and the model answered with what nobody had trained). Equal ones may be
    /// tied. Reads both up to the first difference.
    var hasHeadOfItsOwn: Bool {
        guard let head = tensors[TensorNames.head + ".weight"], let table = tensors[TensorNames.embedding + ".weight"] else { return false }
        guard head.type == table.type, head.shape == table.shape else { return true }
        return withExtendedLifetime((head, table)) {
            memcmp(head.bytes.baseAddress!, table.bytes.baseAddress!, head.byteCount) != 0
        }
    }
}
