// What `config.json` says about a model, checked and with every default filled in.
//
// Made once at start from untrusted text; afterwards a plain value that every other file of this target builds on. What
// is in it can be computed: sizes are bounded, heads divide, window and mixture of every layer are decided, and what
// Berth cannot do (another activation, quantised weights, another architecture) has been refused by name.

import BerthCore
import BerthStore

/// Sizes and switches of one decoder.
public struct ModelConfiguration: Sendable, Equatable {
    /// Where queries and keys are normalised before they are rotated.
    public enum QueryKeyNorm: Sendable, Equatable {
        case none
        /// Each head by itself (Qwen3).
        case head
        /// The whole projection (OLMoE).
        case projection
    }

    /// A mixture of experts.
    public struct Experts: Sendable, Equatable {
        public var count: Int
        /// Experts that a row chooses.
        public var chosen: Int
        public var intermediateSize: Int
        /// The chosen experts' probabilities are divided by their sum.
        public var normalizes: Bool
        /// Width of the expert that all rows pass, weighted by a sigmoid gate (Qwen2-MoE).
        public var sharedIntermediateSize: Int?
    }

    public enum FeedForward: Sendable, Equatable {
        case dense(intermediateSize: Int)
        case experts(Experts)
    }

    public struct Layer: Sendable, Equatable {
        /// Positions that a query sees, itself included; nil sees all before it.
        public var window: Int?
        /// Which of `ropes`.
        public var rope: Int
        public var feedForward: FeedForward
    }

    public var family: ModelFamily
    public var vocabularySize: Int
    public var hiddenSize: Int
    public var headCount: Int
    public var kvHeadCount: Int
    public var headDim: Int
    /// Tokens of prompt and answer together.
    public var contextLength: Int
    public var epsilon: Float
    public var ropes: [RopeConfiguration]
    public var layers: [Layer]
    /// The head is the table of embeddings. A checkpoint whose head differs from it does not tie, whatever its `config.json` says.
    public var tiesEmbeddings: Bool
    public var hasQKVBias: Bool
    public var hasOutputBias: Bool
    public var hasMLPBias: Bool
    public var queryKeyNorm: QueryKeyNorm
    /// Queries, keys and values are clamped to ± this.
    public var clipQKV: Float?
    /// Tokens that end a generation, from `generation_config.json`, else `config.json`.
    public var endTokens: Set<Int32>
    public var beginToken: Int32?
    public var generationDefaults: GenerationDefaults
    /// What is odd about the files and yet has a meaning, in sentences for a log.
    public var warnings: [String] = []

    static let layerTypes = ["full_attention", "sliding_attention"]

    public var queryWidth: Int { headCount * headDim }
    public var kvWidth: Int { kvHeadCount * headDim }
    /// Columns of the packed q|k|v projection.
    public var qkvWidth: Int { queryWidth + 2 * kvWidth }
    public var attentionScale: Float { Float(1 / Double(headDim).squareRoot()) }
}

extension ModelConfiguration {
    /// Reads the configuration of a checkpoint.
    public init(_ checkpoint: Checkpoint) throws(ModelError) {
        try self.init(config: checkpoint.config, generationConfig: checkpoint.generationConfig)
        if tiesEmbeddings, checkpoint.hasHeadOfItsOwn {
            tiesEmbeddings = false
            warnings.append("config.json says tie_word_embeddings, but \(TensorNames.head).weight is not \(TensorNames.embedding).weight; the head of the checkpoint is used")
        }
    }

    /// Reads `config.json` and, where there is one, `generation_config.json`.
    public init(config: JSON, generationConfig: JSON? = nil) throws(ModelError) {
        let reader = ConfigurationReader(config)
        family = try Self.family(reader)
        let defaults = family.defaults
        try Self.refuseUnsupported(reader)

        vocabularySize = try reader.int("vocab_size", in: 1...Limits.vocabularyTokens, default: defaults.vocabularySize)
        hiddenSize = try reader.int("hidden_size", in: 2...Limits.layerWidth, default: defaults.hiddenSize)
        headCount = try reader.int("num_attention_heads", in: 1...Limits.attentionHeads, default: defaults.headCount)
        // A null means "as many as heads" everywhere, an absent key means the class's default.
        let absentKVHeads = config["num_key_value_heads"] == nil ? defaults.kvHeadCount ?? headCount : headCount
        kvHeadCount = try reader.int("num_key_value_heads", in: 1...Limits.attentionHeads, default: absentKVHeads)
        guard headCount % kvHeadCount == 0 else {
            throw reader.refuse("num_key_value_heads", "is \(kvHeadCount), which does not divide num_attention_heads \(headCount)")
        }
        let isDerived = reader.value("head_dim") == nil && (defaults.headDim == nil || config["head_dim"] != nil)
        if isDerived, hiddenSize % headCount != 0 {
            throw reader.refuse("num_attention_heads", "is \(headCount), which does not divide hidden_size \(hiddenSize), and there is no head_dim")
        }
        headDim = try reader.int(
            "head_dim", in: 2...Limits.headDimension, default: isDerived ? hiddenSize / headCount : defaults.headDim)
        guard (2...Limits.headDimension).contains(headDim), headDim % 4 == 0 else {
            throw reader.refuse("head_dim", "is \(headDim); it must be a multiple of 4 and at most \(Limits.headDimension)")
        }
        epsilon = Float(try reader.double("rms_norm_eps", in: 0...1, default: defaults.epsilon))
        tiesEmbeddings = try reader.bool("tie_word_embeddings", default: false)

        let attentionBias = try reader.bool("attention_bias", default: false)
        switch family {
        case .qwen2: (hasQKVBias, hasOutputBias) = (true, false)
        case .qwen2Moe: (hasQKVBias, hasOutputBias) = (try reader.bool("qkv_bias", default: true), false)
        case .mistral, .mixtral: (hasQKVBias, hasOutputBias) = (false, false)
        case .llama, .qwen3, .olmoe, .qwen3Moe: (hasQKVBias, hasOutputBias) = (attentionBias, attentionBias)
        }
        hasMLPBias = family == .llama ? try reader.bool("mlp_bias", default: false) : false
        queryKeyNorm =
            switch family {
            case .qwen3, .qwen3Moe: .head
            case .olmoe: .projection
            default: .none
            }
        clipQKV = nil
        if family == .olmoe, reader.value("clip_qkv") != nil {
            clipQKV = Float(try reader.double("clip_qkv", in: 1e-6...1e30))
        }

        let positions = try reader.int("max_position_embeddings", in: 1...Limits.contextTokens, default: defaults.contextLength)
        let count = try reader.int("num_hidden_layers", in: 1...Limits.modelLayers, default: defaults.layerCount)
        let windows = try LayerWindows(reader, family: family, layers: count)
        let feedForwards = try Self.feedForwards(reader, family: family, layers: count)
        (ropes, contextLength) = ([], positions)
        layers = []
        var ropeOfType: [String: Int] = [:]
        for index in 0..<count {
            let type = windows.windows[index] == nil ? "full_attention" : "sliding_attention"
            if ropeOfType[type] == nil {
                let rope = try RopeConfiguration(reader, layerType: type, family: family, originalContext: positions)
                contextLength = min(max(contextLength, rope.stretchedContext ?? 0), Limits.contextTokens)
                ropeOfType[type] = ropes.firstIndex(of: rope) ?? ropes.count
                if ropeOfType[type] == ropes.count { ropes.append(rope) }
            }
            layers.append(Layer(window: windows.windows[index], rope: ropeOfType[type]!, feedForward: feedForwards[index]))
        }

        generationDefaults = try GenerationDefaults(ConfigurationReader(generationConfig ?? [:], place: "generation_config.json"))
        let tokenBounds = -1...Int(Int32.max)
        func tokens(_ key: String) throws(ModelError) -> [Int]? {
            let generation = ConfigurationReader(generationConfig ?? [:], place: "generation_config.json")
            if let tokens = try generation.ints(key, in: tokenBounds) { return tokens }
            return try reader.ints(key, in: tokenBounds)
        }
        let ends = try tokens("eos_token_id") ?? (config["eos_token_id"] == nil ? defaults.endTokens : [])
        guard ends.count <= Limits.endTokens else { throw reader.refuse("eos_token_id", "lists more than \(Limits.endTokens) tokens") }
        endTokens = Set(ends.lazy.filter { $0 >= 0 }.map { Int32($0) })
        beginToken = try tokens("bos_token_id")?.first { $0 >= 0 }.map { Int32($0) }
    }

    private static func family(_ reader: ConfigurationReader) throws(ModelError) -> ModelFamily {
        let known = ModelFamily.allCases.map(\.architecture).joined(separator: ", ")
        let type = try reader.string("model_type")
        if let name = try reader.strings("architectures")?.first {
            guard let family = ModelFamily.allCases.first(where: { $0.architecture == name }) else {
                throw reader.unsupported("architectures", "names \(name), which is not supported (\(known) are)")
            }
            if let type, type != family.modelType {
                throw reader.refuse("model_type", "is '\(type)', but the architecture is \(name)")
            }
            return family
        }
        guard let type else { throw reader.refuse("architectures", "is missing") }
        guard let family = ModelFamily(rawValue: type) else {
            throw reader.unsupported("model_type", "'\(type)' is not supported (\(known) are)")
        }
        return family
    }

    private static func refuseUnsupported(_ reader: ConfigurationReader) throws(ModelError) {
        if let quantization = reader.value("quantization_config") {
            let method = quantization["quant_method"]?.string ?? quantization.kind
            throw reader.unsupported("quantization_config", "(\(method)): checkpoints must hold f32, f16 or bf16 weights")
        }
        let activation = try reader.string("hidden_act") ?? "silu"
        guard ["silu", "swish"].contains(activation) else {
            throw reader.unsupported("hidden_act", "'\(activation)' is not supported (silu is)")
        }
    }
}
