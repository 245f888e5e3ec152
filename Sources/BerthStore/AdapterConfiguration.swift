// `adapter_config.json` of a PEFT adapter: what of it Berth computes, and what it must refuse.
//
// A field that changes the arithmetic and is not implemented is a refusal that names the field, never a silent
// difference. `target_modules` and its relatives are not read at all: the tensors say what is adapted. A field unknown
// here (a newer PEFT) that is set to something is a warning.

import BerthCore

/// The fields of `adapter_config.json` that matter to serving.
public struct AdapterConfiguration: Sendable {
    public let rank: Int
    public let alpha: Double
    /// Scale is alpha/√rank instead of alpha/rank.
    public let usesRankStabilisation: Bool
    /// In the order of the file; the first match counts.
    public let rankPattern: [(key: String, value: Int)]
    public let alphaPattern: [(key: String, value: Double)]
    /// The checkpoint that the adapter was trained on, as its author named it.
    public let baseModel: String?
    /// Embedding and head share one adapter.
    public let tiesEmbeddings: Bool
    /// Before 0.19 PEFT swapped the sides of fused experts. Nil where the file does not say.
    public let peftVersion: (major: Int, minor: Int)?
    public let warnings: [String]

    /// Throws, naming the field, for what cannot be served.
    public init(_ json: JSON) throws(AdapterRejection) {
        guard let members = json.object else { throw AdapterRejection("adapter_config.json", "adapter_config.json is \(json.kind), not an object") }
        guard let type = json["peft_type"]?.string else { throw AdapterRejection("peft_type", "peft_type is missing or not a string") }
        guard type == "LORA" else { throw AdapterRejection("peft_type", "peft_type is '\(type)'; only LORA is served") }
        try Self.refuseUnsupported(json)

        rank = try Self.rank(json["r"] ?? 8, field: "r")
        alpha = try Self.alpha(json["lora_alpha"] ?? 8, field: "lora_alpha")
        usesRankStabilisation = try Self.flag(json, "use_rslora")
        var ranks: [(key: String, value: Int)] = []
        for (key, value) in try Self.pattern(json, "rank_pattern") { ranks.append((key, try Self.rank(value, field: "rank_pattern['\(key)']"))) }
        rankPattern = ranks
        var alphas: [(key: String, value: Double)] = []
        for (key, value) in try Self.pattern(json, "alpha_pattern") { alphas.append((key, try Self.alpha(value, field: "alpha_pattern['\(key)']"))) }
        alphaPattern = alphas
        baseModel = json["base_model_name_or_path"]?.string
        tiesEmbeddings = try Self.flag(json, "ensure_weight_tying")
        let version = (json["peft_version"]?.string ?? "").split(separator: ".").prefix(2).compactMap { Int($0) }
        peftVersion = version.count == 2 ? (version[0], version[1]) : nil

        var warnings: [String] = []
        for (name, value) in members where !Self.known.contains(name) && !Self.isUnset(value) {
            warnings.append("adapter_config.json sets '\(name)', which this version does not know")
        }
        if json["init_lora_weights"]?.string == "loftq" {
            warnings.append("init_lora_weights is 'loftq': the adapter was trained on a quantised base and may fit this one less well")
        }
        if let task = json["task_type"]?.string, task != "CAUSAL_LM" { warnings.append("task_type is '\(task)', not CAUSAL_LM") }
        self.warnings = warnings
    }

    // MARK: refusals

    /// Fields that must be unset (absent, null, false, empty), and why.
    private static let unsupported: [(field: String, reason: String)] = [
        ("use_dora", "DoRA is not supported"),
        ("modules_to_save", "fully trained modules beside the adapter are not supported"),
        ("lora_bias", "a bias on lora_B is not supported"),
        ("trainable_token_indices", "trained token embeddings are not supported"),
        ("layer_replication", "replicated layers are another model, not an adapter of this one"),
        ("use_qalora", "QA-LoRA is not supported"),
        ("use_bdlora", "block-diagonal LoRA is not supported"),
        ("arrow_config", "Arrow routing is not supported"),
        ("kasa_config", "KaSA is not supported"),
        ("monteclora_config", "MonteCLoRA is not supported"),
        ("alora_invocation_tokens", "activated LoRA is not supported"),
        ("fan_in_fan_out", "the base model's layers are plain Linear, which store [out, in]"),
    ]

    /// Initialisations that also changed the base weights. PEFT's conversion on saving resets the field to true.
    private static let unconverted = ["pissa": "PiSSA", "olora": "OLoRA", "corda": "CorDA", "lora_ga": "LoRA-GA"]

    private static func refuseUnsupported(_ json: JSON) throws(AdapterRejection) {
        for (field, reason) in unsupported {
            if let value = json[field], !isUnset(value) { throw AdapterRejection(field, "\(field) is set: \(reason)") }
        }
        if let bias = json["bias"], !isUnset(bias), bias.string != "none" {
            throw AdapterRejection("bias", "bias is \(bias.text): trained biases are not supported, only 'none'")
        }
        if let initialisation = json["init_lora_weights"]?.string?.lowercased() {
            for (prefix, name) in unconverted where initialisation.hasPrefix(prefix) {
                throw AdapterRejection(
                    "init_lora_weights",
                    "init_lora_weights is '\(initialisation)': \(name) also changed the base weights; save the adapter with path_initial_model_for_weight_conversion")
            }
        }
    }

    /// Null, false, an empty list or object, an empty string: PEFT takes all of them as "not used".
    private static func isUnset(_ value: JSON) -> Bool {
        switch value {
        case .null, .bool(false): true
        case .array(let elements): elements.isEmpty
        case .object(let members): members.isEmpty
        case .string(let text): text.isEmpty
        default: false
        }
    }

    // MARK: fields

    private static func flag(_ json: JSON, _ field: String) throws(AdapterRejection) -> Bool {
        guard let value = json[field], !value.isNull else { return false }
        guard let flag = value.bool else { throw AdapterRejection(field, "\(field) is \(value.kind), not a boolean") }
        return flag
    }

    private static func rank(_ value: JSON, field: String) throws(AdapterRejection) -> Int {
        guard let rank = value.int else { throw AdapterRejection(field, "\(field) is \(value.text), not an integer") }
        guard rank > 0 else { throw AdapterRejection(field, "\(field) is \(rank); a rank is at least 1") }
        guard rank <= Limits.adapterRank else { throw AdapterRejection(field, "\(field) is \(rank), more than the limit of \(Limits.adapterRank)") }
        return rank
    }

    private static func alpha(_ value: JSON, field: String) throws(AdapterRejection) -> Double {
        guard let alpha = value.double, alpha.magnitude <= Double(Float.greatestFiniteMagnitude) else {
            throw AdapterRejection(field, "\(field) is not a number of ordinary size")
        }
        return alpha
    }

    private static func pattern(_ json: JSON, _ field: String) throws(AdapterRejection) -> [(key: String, value: JSON)] {
        guard let value = json[field], !value.isNull else { return [] }
        guard let members = value.object else { throw AdapterRejection(field, "\(field) is \(value.kind), not an object") }
        guard members.count <= Limits.adapterPatterns else { throw AdapterRejection(field, "\(field) has more than \(Limits.adapterPatterns) keys") }
        return members.map { ($0.key, $0.value) }
    }

    /// Every field that PEFT 0.21 writes for LoRA and that is handled above or has no effect on inference.
    private static let known: Set<String> = [
        "alora_invocation_tokens", "alpha_pattern", "arrow_config", "auto_mapping", "base_model_name_or_path", "bias", "corda_config",
        "ensure_weight_tying", "eva_config", "exclude_modules", "fan_in_fan_out", "inference_mode", "init_lora_weights", "kasa_config",
        "layer_replication", "layers_pattern", "layers_to_transform", "loftq_config", "lora_alpha", "lora_bias", "lora_dropout",
        "lora_ga_config", "megatron_config", "megatron_core", "modules_to_save", "monteclora_config", "peft_type", "peft_version",
        "qalora_group_size", "r", "rank_pattern", "revision", "runtime_config", "target_modules", "target_parameters", "task_type",
        "trainable_token_indices", "use_bdlora", "use_dora", "use_qalora", "use_rslora", "velora_config",
    ]
}
