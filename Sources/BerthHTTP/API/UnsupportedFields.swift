// Fields of other servers that would change the answer and are not there: refused by name rather than ignored.
//
// Unknown fields are never looked at, so a request that asks for constrained output under another server's name for it would be answered as if
// it had not. Each entry says which values ask for nothing. Null is absent.

import BerthCore

enum UnsupportedFields {
    /// Names, and the values beside null that change nothing.
    static let all: [(name: String, harmless: [JSON])] = [
        // Constrained output.
        ("guided_json", []), ("guided_choice", []), ("guided_regex", []), ("guided_grammar", []), ("structured_outputs", []), ("json_schema", []),
        ("grammar", [""]), ("regex", []), ("ebnf", []), ("functions", [[]]), ("function_call", ["none"]),
        // Search and sampling that is not there.
        ("use_beam_search", [false]), ("length_penalty", [1, 1.0]), ("bad_words", [[]]), ("min_tokens", [0]), ("typical_p", [1, 1.0]), ("mirostat", [0]),
        ("dry_multiplier", [0, 0.0]), ("xtc_probability", [0, 0.0]), ("allowed_token_ids", []), ("logits_processors", [[]]),
        // What is sent or reported otherwise.
        ("prompt_logprobs", []), ("truncate_prompt_tokens", []), ("include_stop_str_in_output", [false]), ("audio", []), ("modalities", [["text"], []]),
        ("lora_request", []), ("lora", [[]]), ("web_search_options", []),
    ]
}

extension FieldReader {
    /// - Throws: 400 that names the first field that asks for something that is not there.
    func refuseUnsupported() throws(APIError) {
        for (name, harmless) in UnsupportedFields.all {
            guard let value = value(name), !harmless.contains(value) else { continue }
            throw .invalid(name, "is not supported.", code: "unsupported_parameter")
        }
    }
}
