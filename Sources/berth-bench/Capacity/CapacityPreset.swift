// Questions that are asked so often that their numbers are written down.

import BerthCore
import BerthModels

/// A model and what options are where nobody says otherwise. Sizes, lists and units as the options have them.
struct CapacityPreset {
    var name: String
    /// A `config.json`; nil where the model is a directory's.
    var config: JSON?
    var weights = WeightFormat.int8
    var memory = "8G,16G,32G"
    var disks = "1"
    /// GB/s and Gop/s; nil is what the costs' machine has.
    var bandwidth: Double?
    var operations: Double?
    var rate = 1.0
    var adapters = 0
    var routing = "0.6"
    var prompt = 200
    var output = 100
    var firstToken = 1.0
    var gap = 0.25
    /// Per cent of the tokens that must follow in time.
    var tokensInTime = 99.0
    var played = 200

    /// Any model that has a directory.
    static let own = CapacityPreset(name: "own")

    /// Ten thousand adapters of rank 16 on a dense model of 8B (the sizes of Llama 3.1), on servers of two sockets and cheap or good disks.
    static let adapters = CapacityPreset(
        name: "adapters",
        config: [
            "architectures": ["LlamaForCausalLM"], "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32,
            "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 128_256, "max_position_embeddings": 8192,
        ],
        memory: "24G,32G,64G,128G,256G", disks: "0.1,0.5,3", bandwidth: 300, operations: 8000, rate: 20, adapters: 10_000, prompt: 150, output: 50, firstToken: 3)

    /// A mixture of 235B, of which 22B are active (the sizes of Qwen3-235B-A22B), with 4-bit weights.
    static let mixture = CapacityPreset(
        name: "mixture",
        config: [
            "architectures": ["Qwen3MoeForCausalLM"], "hidden_size": 4096, "intermediate_size": 12288, "moe_intermediate_size": 1536, "num_hidden_layers": 94,
            "num_attention_heads": 64, "num_key_value_heads": 4, "head_dim": 128, "num_experts": 128, "num_experts_per_tok": 8, "norm_topk_prob": true,
            "vocab_size": 151_936, "max_position_embeddings": 8192,
        ],
        weights: .int4, memory: "64G,96G,128G,192G,512G", disks: "3,14", bandwidth: 300, operations: 8000, rate: 0.5, routing: "0.3,0.6,0.9", prompt: 100, output: 50,
        firstToken: 30, gap: 2, tokensInTime: 95, played: 40)

    /// Whose sizes the costs have that are taken where there are no others: the bench's model of 1B (the sizes of Llama 3.2).
    static let standardCosts: JSON = [
        "architectures": ["LlamaForCausalLM"], "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16, "num_attention_heads": 32,
        "num_key_value_heads": 8, "head_dim": 64, "vocab_size": 128_256, "max_position_embeddings": 8192, "tie_word_embeddings": true,
    ]

    static let all = [adapters, mixture]
}
