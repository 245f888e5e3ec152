// What a fine-tune's folder says about text otherwise than its base model does.
//
// Trainers save the tokenizer beside an adapter. Mostly it is the base's, written anew; where it is not, the adapter was trained with other
// tokens or another template than its requests will be answered with, and somebody should know. What counts is what text becomes: the order of
// fields, white space and padding do not.

import BerthCore

extension Tokenizer {
    /// What the tokenizer's files in `folder` say otherwise than this tokenizer, which was read from `ownFolder`: one sentence each. Empty where there
    /// are no such files.
    public func differences(ofFolder folder: String, ownFolder: String) -> [String] {
        do throws(TextError) {
            let theirs = try TokenizerConfiguration(directory: folder)
            var found: [String] = []
            if theirs.chatTemplates.contains(where: { $0.value.trimmed != chatTemplates[$0.key]?.trimmed }) {
                found.append(
                    chatTemplates.isEmpty
                        ? "it has a chat template of its own and the base model has none: the adapter's is not used"
                        : "its chat template is another than the base model's, which is the one that is used")
            }
            for name in ["bos_token", "eos_token"] {
                guard let token = theirs.specialTokens[name], token != specialTokens[name] else { continue }
                let own = specialTokens[name].map { "the base model's is '\($0.shortened)'" } ?? "the base model has none"
                found.append("its \(name) is '\(token.shortened)' and \(own): the base model's configuration is the one that is used")
            }
            if let difference = try vocabularyDifference(folder, ownFolder, theirs) {
                found.append("its tokenizer is another than the base model's (\(difference)), which is the one that is used")
            }
            return found
        } catch {
            return ["its tokenizer cannot be compared with the base model's, which is the one that is used: \(error)"]
        }
    }

    private func vocabularyDifference(_ folder: String, _ ownFolder: String, _ configuration: TokenizerConfiguration) throws(TextError) -> String? {
        let name = "/tokenizer.json"
        if let bytes = try FileBytes.readIfPresent(folder + name, limit: Limits.tokenizerFileBytes),
            try FileBytes.readIfPresent(ownFolder + name, limit: Limits.tokenizerFileBytes) != bytes
        {
            if let difference = difference(to: try Tokenizer(parsing: bytes, configuration: configuration)) { return difference }
        }
        for (token, id) in try Self.describedTokens(folder) where self.id(of: token) != id {
            return "token \(id) is '\(token.shortened)' there and \(describe(id)) here"
        }
        return nil
    }

    /// The first difference to `other` that changes what text becomes.
    func difference(to other: Tokenizer) -> String? {
        for id in 0..<Int32(max(vocabularySize, other.vocabularySize)) {
            guard token(id, skipSpecialTokens: false) == other.token(id, skipSpecialTokens: false) else {
                return "token \(id) is \(other.describe(id)) there and \(describe(id)) here"
            }
            guard isSpecial(id) == other.isSpecial(id) else { return "token \(id), \(describe(id)), is a control token in only one of them" }
        }
        for text in Self.probes where encode(text, addSpecialTokens: true) != other.encode(text, addSpecialTokens: true) {
            return "it has the same tokens and cuts text otherwise"
        }
        return nil
    }

    private func describe(_ id: Int32) -> String { piece(id).map { "'\($0.shortened)'" } ?? "none" }

    /// Normalizers, pre-tokenizers and merges that differ show in one of these.
    private static let probes = [
        "", "The quick brown fox, 1234567 times; didn't it?\n\n  Indented\ttext   with  spaces \r\nand lines.",
        "Ünïcode: naïve café cafe\u{301} ﬁ Ⅷ ½ Straße ΑΒΓδ Привет мир 你好,世界 こんにちは 안녕하세요 مرحبا עברית हिन्दी ไทย 👩‍👩‍👧 🇩🇪",
        "def f(x):\n    return x**2 # [0.5, -1e9] != {'a': \"b\"} <|x|> </s> https://example.org/?q=%20&r=1_000",
        " leading", "trailing ", "WORDS wOrDs words ABBA aBbA abba", "aaaaaaaaaaaaaaaaaaaaaaaa", "\u{200B}\u{FEFF}\u{AD}\u{A0}x",
    ]

    /// Tokens with ids that stand beside a tokenizer.json: in `added_tokens.json` and in the configuration.
    private static func describedTokens(_ folder: String) throws(TextError) -> [(token: String, id: Int32)] {
        var tokens: [(String, Int32)] = []
        for name in ["added_tokens.json", "tokenizer_config.json"] {
            guard let bytes = try FileBytes.readIfPresent("\(folder)/\(name)", limit: Limits.configurationFileBytes) else { continue }
            let json: JSON
            do {
                json = try JSON(parsing: bytes)
            } catch {
                throw TextError(.malformed, "\(name): \(error)")
            }
            if name == "added_tokens.json" {
                for (token, id) in json.object ?? [:] { if let id = id.int.flatMap({ Int32(exactly: $0) }) { tokens.append((token, id)) } }
            } else {
                for (id, token) in json["added_tokens_decoder"]?.object ?? [:] {
                    if let id = Int32(id), let text = token["content"]?.string { tokens.append((text, id)) }
                }
            }
        }
        return tokens
    }
}

extension String {
    /// Without white space at the ends, which files gain and lose on their way.
    fileprivate var trimmed: Substring {
        var text = self[...]
        while text.last?.isWhitespace == true { text.removeLast() }
        return text.drop { $0.isWhitespace }
    }

    fileprivate var shortened: String { utf8.count <= 40 ? self : prefix(30) + "…" }
}
