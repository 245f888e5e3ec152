// The families of decoders that Berth runs, and what transformers assumes for each where `config.json` is silent.
//
// All eight are one decoder (Model.swift) with switches: which projections have a bias, where queries and keys are
// normalised, which layers see a window, which layers are mixtures of experts. A family is therefore data, not code; the
// defaults are those of the configuration classes of transformers 5.

/// A kind of checkpoint by its `architectures` entry.
public enum ModelFamily: String, Sendable, CaseIterable {
    case llama, mistral, qwen2, qwen3, mixtral, olmoe
    case qwen2Moe = "qwen2_moe"
    case qwen3Moe = "qwen3_moe"

    /// The class name in `architectures`.
    public var architecture: String {
        switch self {
        case .llama: "LlamaForCausalLM"
        case .mistral: "MistralForCausalLM"
        case .qwen2: "Qwen2ForCausalLM"
        case .qwen3: "Qwen3ForCausalLM"
        case .mixtral: "MixtralForCausalLM"
        case .olmoe: "OlmoeForCausalLM"
        case .qwen2Moe: "Qwen2MoeForCausalLM"
        case .qwen3Moe: "Qwen3MoeForCausalLM"
        }
    }

    /// `model_type` in `config.json`.
    public var modelType: String { rawValue }

    var hasExperts: Bool {
        switch self {
        case .llama, .mistral, .qwen2, .qwen3: false
        case .mixtral, .olmoe, .qwen2Moe, .qwen3Moe: true
        }
    }

    // MARK: what transformers takes where a key is absent

    struct Defaults {
        var vocabularySize = 32000
        var hiddenSize = 4096
        var intermediateSize = 11008
        var layerCount = 32
        var headCount = 32
        /// Nil: as many as there are heads.
        var kvHeadCount: Int?
        /// Nil: hidden size ÷ heads.
        var headDim: Int?
        var contextLength = 2048
        var epsilon = 1e-6
        var ropeTheta = 10_000.0
        var slidingWindow: Int?
        var expertCount = 0
        var chosenExperts = 0
        var expertIntermediateSize = 0
        var sharedIntermediateSize = 0
        var endTokens: [Int] = []
    }

    var defaults: Defaults {
        switch self {
        case .llama: Defaults(endTokens: [2])
        case .mistral:
            Defaults(intermediateSize: 14336, kvHeadCount: 8, contextLength: 131_072, slidingWindow: 4096, endTokens: [2])
        case .qwen2:
            Defaults(vocabularySize: 151_936, intermediateSize: 22016, kvHeadCount: 32, contextLength: 32768, slidingWindow: 4096)
        case .qwen3:
            Defaults(
                vocabularySize: 151_936, intermediateSize: 22016, kvHeadCount: 32, headDim: 128, contextLength: 32768, slidingWindow: 4096)
        case .mixtral:
            Defaults(
                intermediateSize: 14336, kvHeadCount: 8, contextLength: 131_072, epsilon: 1e-5, ropeTheta: 1_000_000,
                expertCount: 8, chosenExperts: 2, endTokens: [2])
        case .olmoe:
            Defaults(
                vocabularySize: 50304, hiddenSize: 2048, intermediateSize: 2048, layerCount: 16, headCount: 16, contextLength: 4096,
                epsilon: 1e-5, expertCount: 64, chosenExperts: 8, endTokens: [50279])
        case .qwen2Moe:
            Defaults(
                vocabularySize: 151_936, hiddenSize: 2048, intermediateSize: 5632, layerCount: 24, headCount: 16, kvHeadCount: 16,
                contextLength: 32768, slidingWindow: 4096, expertCount: 60, chosenExperts: 4, expertIntermediateSize: 1408,
                sharedIntermediateSize: 5632)
        case .qwen3Moe:
            Defaults(
                vocabularySize: 151_936, hiddenSize: 2048, intermediateSize: 6144, layerCount: 24, headCount: 32, kvHeadCount: 4,
                contextLength: 32768, slidingWindow: 4096, expertCount: 128, chosenExperts: 8, expertIntermediateSize: 768)
        }
    }
}
