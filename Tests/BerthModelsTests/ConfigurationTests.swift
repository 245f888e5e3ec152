// config.json: defaults, both spellings of rotary parameters, patterns of layers, and what is refused by name.

import BerthCore
import Testing

@testable import BerthModels

@Suite struct ConfigurationTests {
    static let small: JSON = [
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 100, "hidden_size": 64, "intermediate_size": 96,
        "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 512,
    ]

    static func with(_ changes: JSON, of base: JSON = small) -> JSON {
        var members = base.object!
        for (key, value) in changes.object! { members[key] = value }
        return .object(members)
    }

    static func family(_ family: ModelFamily, _ changes: JSON = [:]) -> JSON {
        with(changes, of: with(["architectures": [.string(family.architecture)], "model_type": .string(family.modelType)]))
    }

    func refusal(_ config: JSON) -> String {
        do {
            _ = try ModelConfiguration(config: config)
            return "accepted"
        } catch {
            return error.message
        }
    }

    @Test(arguments: [
        (["architectures": ["GPT2LMHeadModel"]], "GPT2LMHeadModel"),
        (["architectures": ["LlamaForSequenceClassification"]], "LlamaForSequenceClassification"),
        (["architectures": nil, "model_type": "mamba"], "mamba"),
        (["architectures": nil, "model_type": nil], "architectures"),
        (["architectures": ["Qwen2ForCausalLM"]], "model_type"),
        (["quantization_config": ["quant_method": "gptq"]], "gptq"),
        (["hidden_act": "gelu"], "gelu"),
        (["hidden_size": 0], "hidden_size"),
        (["hidden_size": "64"], "hidden_size"),
        (["hidden_size": 1e30], "hidden_size"),
        (["hidden_size": 66], "num_attention_heads"),
        (["num_hidden_layers": -1], "num_hidden_layers"),
        (["num_hidden_layers": 1_000_000_000], "num_hidden_layers"),
        (["num_key_value_heads": 3], "num_key_value_heads"),
        (["head_dim": 7], "head_dim"),
        (["head_dim": 512], "head_dim"),
        (["vocab_size": 4_000_000_000], "vocab_size"),
        (["rms_norm_eps": "small"], "rms_norm_eps"),
        (["rope_theta": -1], "rope_theta"),
        (["rope_scaling": ["type": "longrope"]], "longrope"),
        (["rope_scaling": ["rope_type": "dynamic", "factor": 2.0]], "dynamic"),
        (["rope_scaling": ["rope_type": "linear"]], "factor"),
        (["rope_scaling": ["rope_type": "linear", "factor": "two"]], "factor"),
        (["rope_scaling": ["rope_type": "llama3", "factor": 8.0, "low_freq_factor": 4.0, "high_freq_factor": 1.0]], "high_freq_factor"),
        (["rope_parameters": 3], "rope_parameters"),
        (["partial_rotary_factor": 0.5], "partial_rotary_factor"),
        (["layer_types": ["sliding_attention", "full_attention", "full_attention", "full_attention"]], "layer_types"),
        (["eos_token_id": "stop"], "eos_token_id"),
    ] as [(JSON, String)])
    func refusesByName(_ changes: JSON, _ name: String) {
        let message = refusal(Self.with(changes))
        #expect(message.contains(name), "\(message)")
    }

    @Test(arguments: [
        (ModelFamily.qwen2, ["layer_types": ["full_attention"]], "layer_types"),
        (.qwen2, ["use_sliding_window": false, "layer_types": ["sliding_attention", "full_attention", "full_attention", "full_attention"]], "sliding_window"),
        (.qwen3, ["layer_types": ["chunked_attention", "full_attention", "full_attention", "full_attention"]], "chunked_attention"),
        (.mistral, ["layer_types": ["full_attention", "sliding_attention", "full_attention", "full_attention"]], "layer_types"),
        (.mixtral, ["num_local_experts": 0], "num_experts"),
        (.mixtral, ["num_experts_per_tok": 9], "num_experts_per_tok"),
        (.qwen3Moe, ["num_experts": 100_000], "num_experts"),
        (.qwen2Moe, ["decoder_sparse_step": 0], "decoder_sparse_step"),
        (.olmoe, ["clip_qkv": -3], "clip_qkv"),
    ] as [(ModelFamily, JSON, String)])
    func refusesByNameInFamily(_ family: ModelFamily, _ changes: JSON, _ name: String) {
        let message = refusal(Self.family(family, changes))
        #expect(message.contains(name), "\(message)")
    }

    /// The defaults are those of transformers' classes.
    @Test func emptyConfigurations() throws {
        func empty(_ family: ModelFamily) throws -> ModelConfiguration {
            try ModelConfiguration(config: ["architectures": [.string(family.architecture)]])
        }
        let llama = try empty(.llama)
        #expect(llama.kvHeadCount == 32 && llama.headDim == 128 && llama.epsilon == 1e-6 && llama.endTokens == [2])
        #expect(try empty(.mistral).layers.allSatisfy { $0.window == 4096 })
        #expect(try empty(.mixtral).ropes == [RopeConfiguration(theta: 1_000_000, scaling: .none)])
        #expect(try empty(.qwen3).headDim == 128)
        #expect(try empty(.qwen2).layers.allSatisfy { $0.window == nil })
        #expect(try empty(.qwen3Moe).layers[5].feedForward == .experts(.init(count: 128, chosen: 8, intermediateSize: 768, normalizes: false)))
        #expect(
            try empty(.qwen2Moe).layers[0].feedForward
                == .experts(.init(count: 60, chosen: 4, intermediateSize: 1408, normalizes: false, sharedIntermediateSize: 5632)))
        #expect(try empty(.olmoe).kvHeadCount == 16)
    }

    @Test func oldAndNewSpellingAgree() throws {
        let scaling: JSON = ["factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 128]
        let old = try ModelConfiguration(config: Self.with(["rope_theta": 500000.0, "rope_scaling": scaling.adding("type", "llama3")]))
        let parameters = scaling.adding("rope_type", "llama3").adding("rope_theta", 500000.0)
        let new = try ModelConfiguration(config: Self.with(["rope_parameters": parameters]))
        #expect(old.ropes == new.ropes)
        #expect(old.ropes[0].theta == 500_000)
    }

    @Test func nestedRopeParameters() throws {
        let config = try ModelConfiguration(
            config: Self.family(
                .qwen3,
                [
                    "head_dim": 16, "use_sliding_window": true, "sliding_window": 32,
                    "layer_types": ["sliding_attention", "full_attention", "sliding_attention", "full_attention"],
                    "rope_parameters": [
                        "full_attention": ["rope_type": "linear", "factor": 4.0, "rope_theta": 1000000.0],
                        "sliding_attention": ["rope_type": "default", "rope_theta": 10000.0],
                    ],
                ]))
        #expect(config.ropes.count == 2)
        #expect(config.layers.map(\.window) == [32, nil, 32, nil])
        #expect(config.layers.map { config.ropes[$0.rope].theta } == [10_000, 1_000_000, 10_000, 1_000_000])
    }

    @Test func patternsOfLayers() throws {
        let sliding: JSON = ["use_sliding_window": true, "sliding_window": 8, "max_window_layers": 2]
        #expect(try ModelConfiguration(config: Self.family(.qwen2, sliding)).layers.map(\.window) == [nil, nil, 8, 8])
        #expect(try ModelConfiguration(config: Self.family(.qwen2Moe, sliding)).layers.map(\.window) == [8, nil, nil, nil])
        let sparse = try ModelConfiguration(config: Self.family(.qwen3Moe, ["decoder_sparse_step": 2, "mlp_only_layers": [3]]))
        #expect(sparse.layers.map { if case .experts = $0.feedForward { true } else { false } } == [false, true, false, false])
        #expect(try ModelConfiguration(config: Self.family(.mistral, ["sliding_window": nil])).layers[0].window == nil)
    }

    @Test func yarnStretchesContextAndTemperature() throws {
        let config = try ModelConfiguration(
            config: Self.with(["rope_scaling": ["rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 512]]))
        #expect(config.contextLength == 2048)
        #expect(abs(config.ropes[0].amplitude - 1.138_629_4) < 1e-6)
        let given = try ModelConfiguration(config: Self.with(["rope_scaling": ["rope_type": "yarn", "factor": 4.0, "attention_factor": 1.5]]))
        #expect(given.ropes[0].amplitude == 1.5)
        let deepseek = try ModelConfiguration(
            config: Self.with(["rope_scaling": ["rope_type": "yarn", "factor": 40.0, "mscale": 1.0, "mscale_all_dim": 1.0]]))
        #expect(deepseek.ropes[0].amplitude == 1)
    }

    @Test func endTokensAndDefaults() throws {
        let config = Self.with(["eos_token_id": 5])
        #expect(try ModelConfiguration(config: config).endTokens == [5])
        let generation: JSON = ["eos_token_id": [7, 8], "do_sample": true, "temperature": 0.6, "top_k": 20]
        let both = try ModelConfiguration(config: config, generationConfig: generation)
        #expect(both.endTokens == [7, 8])
        #expect(both.generationDefaults.temperature == 0.6 && both.generationDefaults.topK == 20 && both.generationDefaults.topP == nil)
        #expect(try ModelConfiguration(config: config).generationDefaults.temperature == nil)
    }

    /// What a request may send, the file may say, and the other way round.
    @Test func generationDefaultsFollowTheRequestsRules() throws {
        func defaults(_ members: JSON) throws -> GenerationDefaults { try ModelConfiguration(config: Self.small, generationConfig: members).generationDefaults }
        let odd = try defaults(["top_p": 0.0, "top_k": -1, "temperature": 0])
        #expect(odd.topP == 0 && odd.topK == 0 && odd.temperature == 0)
        for bad: JSON in [["top_p": 1.5], ["top_k": -2], ["temperature": -1], ["repetition_penalty": 0], ["min_p": 2]] {
            #expect(throws: ModelError.self) { try defaults(bad) }
        }
        // Greedy only where the file says so.
        #expect(try defaults(["eos_token_id": 2]).temperature == nil)
        #expect(try defaults(["temperature": 0.7]).temperature == 0.7)
        #expect(try defaults(["do_sample": true, "temperature": 0.7]).temperature == 0.7)
        #expect(try defaults(["do_sample": false, "temperature": 0.7]).temperature == 0)
    }

    @Test func blocksOfTokens() throws {
        let llama1B = Self.with([
            "hidden_size": 2048, "num_hidden_layers": 16, "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 64,
        ])
        let plan = Model.memoryPlan(configuration: try ModelConfiguration(config: llama1B), format: .bf16, maxRows: 512)
        #expect(plan.blockTokens == 16 && plan.pageBytes == 512 << 10)
        let int8 = Model.memoryPlan(configuration: try ModelConfiguration(config: llama1B), format: .bf16, kv: .int8, maxRows: 512)
        #expect(int8.blockTokens == 16 && int8.pageBytes == 272 << 10)
        let tiny = Model.memoryPlan(configuration: try ModelConfiguration(config: Self.small), format: .bf16, maxRows: 512)
        #expect(tiny.blockTokens == 128 && tiny.pageBytes == 64 << 10)
    }
}

extension JSON {
    func adding(_ key: String, _ value: JSON) -> JSON {
        var members = object!
        members[key] = value
        return .object(members)
    }
}
