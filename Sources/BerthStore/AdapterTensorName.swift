// The names that PEFT gives to an adapter's tensors.
//
//     base_model.model.{path}.lora_A.weight              [r, in]
//     base_model.model.{path}.lora_B.weight              [out, r]
//     base_model.model.{path}.lora_embedding_A           [r, vocabulary]
//     base_model.model.{path}.lora_embedding_B           [width, r]
//     base_model.model.{path}.base_layer.lora_A.weight   the inner of two wrappers round fused experts
//     base_model.model.{path}.base_layer.weight          a copy of an embedding or head that is adapted
//
// PEFT strips the adapter's name on saving; files written by other means may still have it (`lora_A.default.weight`).
// Whatever else stands in a file is a trained part that would not be served, hence a refusal that says which feature it
// belongs to.

/// A tensor's name taken apart.
struct AdapterTensorName: Sendable, Hashable {
    enum Role: String, Sendable, Hashable {
        case a = "lora_A", b = "lora_B", embeddingA = "lora_embedding_A", embeddingB = "lora_embedding_B"
        /// A full weight: legal only as a copy of the base's.
        case weight
    }

    /// The module's path in the base model.
    let path: String
    /// How many `base_layer` follow the path: which of nested wrappers this belongs to.
    let depth: Int
    let role: Role

    static let prefix = "base_model.model."

    init(parsing name: String) throws(AdapterRejection) {
        func refuse(_ reason: String) -> AdapterRejection { AdapterRejection(name, "tensor '\(name)' \(reason)") }
        guard name.hasPrefix(Self.prefix) else { throw refuse("does not start with '\(Self.prefix)', so it matches no module") }
        var components = name.dropFirst(Self.prefix.count).split(separator: ".", omittingEmptySubsequences: false).map(String.init)

        for component in components {
            switch component {
            case "lora_magnitude_vector": throw refuse("belongs to DoRA (use_dora), which is not supported")
            case "modules_to_save", "original_module": throw refuse("is a fully trained module (modules_to_save), which is not supported")
            case "token_adapter", "trainable_tokens_delta": throw refuse("holds trained tokens (trainable_token_indices), which are not supported")
            default: break
            }
        }

        if let index = components.lastIndex(where: { $0.hasPrefix("lora_") }) {
            guard let role = Role(rawValue: components[index]), role != .weight else { throw refuse("is no LoRA tensor that is known here") }
            var rest = components[(index + 1)...]
            if role == .a || role == .b {
                guard let last = rest.popLast(), last == "weight" || last == "bias" else { throw refuse("does not end in '.weight'") }
                if last == "bias" { throw refuse("is a bias of LoRA (lora_bias), which is not supported") }
            }
            guard rest.count <= 1 else { throw refuse("has more than an adapter's name after '\(role.rawValue)'") }
            self.role = role
            components.removeSubrange(index...)
        } else {
            guard components.last == "weight" else {
                throw components.last == "bias" ? refuse("is a trained bias (bias), which is not supported") : refuse("matches no module")
            }
            role = .weight
            components.removeLast()
        }

        var depth = 0
        while components.last == "base_layer" {
            components.removeLast()
            depth += 1
        }
        path = components.joined(separator: ".")
        self.depth = depth
    }
}
