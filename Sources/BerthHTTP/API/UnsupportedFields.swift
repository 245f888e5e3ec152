// Fields of other servers that would change the answer and are not there: refused by name rather than ignored.
//
// Unknown fields are never looked at, so a request that asks for constrained output under another server's name for it would be answered as if
// it had not. Each entry says which values ask for nothing. Null is absent.

import BerthCore

struct UnsupportedField {
    let name: String
    /// Values beside null that change nothing.
    var harmless: [JSON] = []
    /// What a client can do instead.
    var instead: String?

    init(_ name: String, _ harmless: [JSON] = [], instead: String? = nil) {
        self.name = name
        self.harmless = harmless
        self.instead = instead
    }
}

enum UnsupportedFields {
    static let all: [UnsupportedField] = constraints + searches + samplers + deliveries

    /// Constrained output.
    private static let constraints: [UnsupportedField] = [
        .init("guided_json"), .init("guided_choice"), .init("guided_regex"), .init("guided_grammar"), .init("structured_outputs"), .init("json_schema"),
        .init("grammar", [""]), .init("regex"), .init("ebnf"), .init("structural_tag"), .init("functions", [[]], instead: "send 'tools'"),
        .init("function_call", ["none"], instead: "send 'tools'"), .init("allowed_token_ids", instead: "use 'logit_bias'"), .init("stop_regex", instead: "use 'stop'"),
    ]

    private static let searches: [UnsupportedField] = [
        .init("use_beam_search", [false]), .init("num_beams", [1]), .init("length_penalty", [1]), .init("early_stopping", [false]),
        .init("min_length", [0], instead: "use 'min_tokens'"), .init("min_new_tokens", [0], instead: "use 'min_tokens'"),
        .init("n_predict", [-1], instead: "use 'max_tokens'"), .init("max_new_tokens", instead: "use 'max_tokens'"),
        .init("max_length", instead: "use 'max_tokens'"), .init("num_predict", [-1], instead: "use 'max_tokens'"),
    ]

    private static let samplers: [UnsupportedField] = [
        .init("repeat_penalty", [1], instead: "use 'repetition_penalty'"), .init("no_repeat_ngram_size", [0]), .init("typical_p", [1]), .init("tfs_z", [1]),
        .init("top_a", [0]), .init("mirostat", [0]), .init("mirostat_mode", [0]), .init("dynatemp_range", [0]), .init("dry_multiplier", [0]),
        .init("xtc_probability", [0]), .init("top_n_sigma", [-1, 0]), .init("logits_processors", [[]]), .init("samplers"), .init("custom_params"),
    ]

    /// What is sent or reported otherwise.
    private static let deliveries: [UnsupportedField] = [
        .init("audio"), .init("modalities", [["text"], []]), .init("lora_request", instead: "name the adapter in 'model'"),
        .init("lora", [[]], instead: "name the adapter in 'model'"), .init("lora_path", instead: "name the adapter in 'model'"), .init("web_search_options"),
        .init("documents", [[]], instead: "put them into 'chat_template_kwargs'"), .init("n_probs", [0], instead: "use 'logprobs'"),
        .init("verbosity", ["medium"]), .init("prompt_embeds"),
    ]
}

extension FieldReader {
    /// - Throws: 400 that names the first field that asks for something that is not there.
    func refuseUnsupported() throws(APIError) {
        for field in UnsupportedFields.all {
            guard let value = value(field.name), !field.harmless.contains(where: { Self.isSame($0, value) }) else { continue }
            throw .invalid(field.name, field.instead.map { "is not supported; \($0)." } ?? "is not supported.", code: "unsupported_parameter")
        }
    }

    /// 1 and 1.0 are the same wish.
    private static func isSame(_ one: JSON, _ other: JSON) -> Bool {
        if let one = one.double, let other = other.double { return one == other }
        return one == other
    }
}
