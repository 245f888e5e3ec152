// What stands beside tokenizer.json in a checkpoint's folder: the names of special tokens and the chat template.

import BerthCore
import Glibc
import OrderedCollections

/// The tokenizer's part of a checkpoint's configuration.
public struct TokenizerConfiguration: Sendable {
    /// `bos_token`, `eos_token`, `pad_token`, `unk_token` and the like, by these names, for chat templates.
    public var specialTokens: [String: String] = [:]
    /// The chat templates in Jinja's language, by name; a checkpoint's only one is mostly called "default".
    public var chatTemplates: OrderedDictionary<String, String> = [:]
    /// Added tokens that the configuration describes, in the order of their ids. Their traits hold, whatever tokenizer.json says.
    private var describedTokens: [AddedTokenTraits] = []
    /// Tokens that the configuration names for a purpose: they are control tokens. They keep the traits they have, if they are.
    private var namedTokens: [AddedTokenTraits] = []
    /// `add_bos_token` and `add_eos_token`, as far as they count: see `postProcessor`.
    private var addsBegin = false
    private var addsEnd = false

    public init() {}

    private static let tokenNames = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"]

    /// Reads what `directory` has of `tokenizer_config.json`, `special_tokens_map.json` (older checkpoints) and the files of
    /// chat templates.
    init(directory: String) throws(TextError) {
        for file in ["special_tokens_map.json", "tokenizer_config.json"] {
            guard let bytes = try FileBytes.readIfPresent(directory + "/" + file, limit: Limits.configurationFileBytes) else { continue }
            let json: JSON
            do {
                json = try JSON(parsing: bytes)
            } catch {
                throw TextError(.malformed, "\(file): \(error)")
            }
            let reader = try ComponentReader(json, file)
            for name in Self.tokenNames {
                guard let value = reader.value(name) else { continue }
                let token = try Self.token(value, "\(file).\(name)")
                specialTokens[name] = String(decoding: token.content, as: UTF8.self)
                namedTokens.append(token)
            }
            for name in ["additional_special_tokens", "extra_special_tokens"] {
                guard let value = reader.value(name) else { continue }
                for token in value.array ?? value.object.map({ Array($0.values) }) ?? [] { namedTokens.append(try Self.token(token, "\(file).\(name)")) }
            }
            if let described = reader.value("added_tokens_decoder")?.object {
                for (_, value) in described.sorted(by: { (Int($0.key) ?? .max) < (Int($1.key) ?? .max) }) {
                    describedTokens.append(try AddedTokenTraits(try ComponentReader(value, "\(file).added_tokens_decoder")))
                }
            }
            if try reader.string("tokenizer_class", default: "").hasPrefix("LlamaTokenizer") {
                addsBegin = try reader.bool("add_bos_token", default: false)
                addsEnd = try reader.bool("add_eos_token", default: false)
            }
            if let templates = reader.value("chat_template") { chatTemplates = try Self.templates(templates, reader) }
        }
        try readTemplateFiles(directory)
    }

    /// A token's text, or an object that describes it. Either way it is a control token.
    private static func token(_ json: JSON, _ path: String) throws(TextError) -> AddedTokenTraits {
        if let text = json.string { return AddedTokenTraits(control: text) }
        guard case .object = json else { throw TextError(.malformed, "\(path): expected a token, found \(json.kind)") }
        var traits = try AddedTokenTraits(try ComponentReader(json, path))
        traits.isSpecial = true
        return traits
    }

    /// Adds what this configuration knows about added tokens.
    func complete(_ list: inout AddedTokenList) throws(TextError) {
        for token in describedTokens { try list.set(token, place: "tokenizer_config.json") }
        for token in namedTokens where !list.tokens.contains(where: { $0.isSpecial && $0.content == token.content }) {
            try list.set(token, place: "tokenizer_config.json")
        }
    }

    /// What stands around a text: what tokenizer.json says. Only where it says nothing do `add_bos_token` and `add_eos_token`
    /// count, and only for Llama's class, whose checkpoints of the years before 2025 rely on it (transformers 4 acted on
    /// them there, transformers 5 ignores them beside a tokenizer.json).
    func postProcessor(unless other: PostProcessor, id: (String) -> Int32?) -> PostProcessor {
        guard !other.hasTemplate, addsBegin || addsEnd else { return other }
        return PostProcessor(
            begin: addsBegin ? specialTokens["bos_token"].flatMap(id) : nil,
            end: addsEnd ? specialTokens["eos_token"].flatMap(id) : nil)
    }
}

extension Tokenizer {
    /// Reads the tokenizer of the checkpoint in the folder `directory`.
    public convenience init(directory: String) throws(TextError) {
        guard let bytes = try FileBytes.readIfPresent(directory + "/tokenizer.json", limit: Limits.tokenizerFileBytes) else {
            throw TextError(.unreadable, "tokenizer.json: no such file in \(directory)")
        }
        try self.init(parsing: bytes, configuration: try TokenizerConfiguration(directory: directory))
    }

    /// The sources of the chat templates by name.
    public var chatTemplates: OrderedDictionary<String, String> { configuration.chatTemplates }
    /// The special tokens by name (`bos_token`, `eos_token`, …), as chat templates want them.
    public var specialTokens: [String: String] { configuration.specialTokens }
    public var bosToken: String? { specialTokens["bos_token"] }
    public var eosToken: String? { specialTokens["eos_token"] }
    public var bosTokenID: Int32? { bosToken.flatMap(id(of:)) }
    public var eosTokenID: Int32? { eosToken.flatMap(id(of:)) }
}

/// Whole files as bytes.
enum FileBytes {
    /// The contents of `path`; nil where there is no such file.
    static func readIfPresent(_ path: String, limit: Int) throws(TextError) -> [UInt8]? {
        let name = path.split(separator: "/").last.map(String.init) ?? path
        // Not waiting for the other end of a pipe.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        if descriptor < 0 {
            if errno == ENOENT { return nil }
            throw TextError(.unreadable, "\(name): \(String(cString: strerror(errno)))")
        }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { throw TextError(.unreadable, "\(name): not a regular file") }
        guard Int(status.st_size) <= limit else { throw TextError(.tooLarge, "\(name): more than \(limit) bytes") }
        var failure: Int32 = 0
        let bytes = [UInt8](unsafeUninitializedCapacity: Int(status.st_size)) { buffer, count in
            while count < buffer.count {
                let got = read(descriptor, buffer.baseAddress! + count, buffer.count - count)
                if got < 0, errno == EINTR { continue }
                if got < 0 { failure = errno }
                if got <= 0 { return }
                count += got
            }
        }
        guard failure == 0 else { throw TextError(.unreadable, "\(name): \(String(cString: strerror(failure)))") }
        return bytes
    }
}
