// Which layers see only a window of the past, and which are mixtures of experts.

import BerthCore

/// The attention window of each layer.
struct LayerWindows {
    /// Nil sees everything.
    let windows: [Int?]

    init(_ reader: ConfigurationReader, family: ModelFamily, layers: Int) throws(ModelError) {
        let types = try reader.strings("layer_types")
        if let types {
            guard types.count == layers else { throw reader.refuse("layer_types", "has \(types.count) entries for \(layers) layers") }
            for type in types where !ModelConfiguration.layerTypes.contains(type) {
                throw reader.unsupported("layer_types", "names '\(type)', which is not supported")
            }
        }
        /// The width; nil where windows are off.
        func width(requiresSwitch: Bool) throws(ModelError) -> Int? {
            if requiresSwitch, try !reader.bool("use_sliding_window", default: false) { return nil }
            // Null switches windows off, absence takes the family's own.
            if reader.object["sliding_window"] != nil, reader.value("sliding_window") == nil { return nil }
            guard reader.value("sliding_window") != nil || family.defaults.slidingWindow != nil else { return nil }
            return try reader.int("sliding_window", in: 1...Limits.contextTokens, default: family.defaults.slidingWindow)
        }
        func mark(_ isSliding: (Int) -> Bool, _ width: Int?) throws(ModelError) -> [Int?] {
            if width == nil, let index = types?.firstIndex(of: "sliding_attention") {
                throw reader.refuse("layer_types", "gives layer \(index) a sliding window, but there is no sliding_window")
            }
            return (0..<layers).map { index in
                (types.map { $0[index] == "sliding_attention" } ?? isSliding(index)) ? width : nil
            }
        }
        /// All layers alike; transformers does not look at `layer_types` in these families, so nothing else may stand there.
        func uniform(_ width: Int?) throws(ModelError) -> [Int?] {
            let only = width == nil ? "full_attention" : "sliding_attention"
            if let type = types?.first(where: { $0 != only }) {
                throw reader.unsupported("layer_types", "names '\(type)', but all layers of this \(family.architecture) have \(only)")
            }
            return Array(repeating: width, count: layers)
        }
        switch family {
        case .llama, .olmoe:
            windows = try uniform(nil)
        case .mistral, .mixtral:
            windows = try uniform(width(requiresSwitch: false))
        case .qwen3Moe:
            windows = try uniform(width(requiresSwitch: true))
        case .qwen2, .qwen3:
            let width = try width(requiresSwitch: true)
            let first = try reader.int("max_window_layers", in: 0...Limits.modelLayers, default: 28)
            windows = try mark({ $0 >= first }, width)
        case .qwen2Moe:
            let width = try width(requiresSwitch: true)
            let end = try reader.int("max_window_layers", in: 0...Limits.modelLayers, default: 28)
            windows = try mark({ $0 % 2 == 0 && $0 < end }, width)
        }
    }
}

extension ModelConfiguration {
    /// The feed-forward part of each layer.
    static func feedForwards(_ reader: ConfigurationReader, family: ModelFamily, layers: Int) throws(ModelError) -> [FeedForward] {
        let defaults = family.defaults
        let width = 1...Limits.layerWidth
        let intermediate = try reader.int("intermediate_size", in: width, default: defaults.intermediateSize)
        guard family.hasExperts else { return Array(repeating: .dense(intermediateSize: intermediate), count: layers) }

        let count = try reader.int("num_experts", "num_local_experts", in: 0...Limits.expertsPerLayer, default: defaults.expertCount)
        if count == 0 {
            guard family == .qwen2Moe || family == .qwen3Moe else { throw reader.refuse("num_experts", "is 0") }
            return Array(repeating: .dense(intermediateSize: intermediate), count: layers)
        }
        let chosen = try reader.int("num_experts_per_tok", in: 1...Limits.chosenExperts, default: defaults.chosenExperts)
        guard chosen <= count else { throw reader.refuse("num_experts_per_tok", "is \(chosen), more than there are experts (\(count))") }
        var experts = Experts(count: count, chosen: chosen, intermediateSize: intermediate, normalizes: true, sharedIntermediateSize: nil)
        if family != .mixtral { experts.normalizes = try reader.bool("norm_topk_prob", default: false) }
        guard family == .qwen2Moe || family == .qwen3Moe else { return Array(repeating: .experts(experts), count: layers) }

        experts.intermediateSize = try reader.int("moe_intermediate_size", in: width, default: defaults.expertIntermediateSize)
        if family == .qwen2Moe {
            experts.sharedIntermediateSize = try reader.int("shared_expert_intermediate_size", in: width, default: defaults.sharedIntermediateSize)
        }
        let denseLayers = Set(try reader.ints("mlp_only_layers", in: 0...Limits.modelLayers) ?? [])
        let step = try reader.int("decoder_sparse_step", in: 1...Limits.modelLayers, default: 1)
        return (0..<layers).map { index in
            denseLayers.contains(index) || (index + 1) % step != 0 ? .dense(intermediateSize: intermediate) : .experts(experts)
        }
    }
}
