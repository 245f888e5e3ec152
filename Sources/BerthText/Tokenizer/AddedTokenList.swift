// The list of added tokens while a tokenizer is put together.
//
// tokenizer.json has most of them. tokenizer_config.json may describe more, change their traits, and name tokens such as
// `eos_token` that then are control tokens whether the other file says so or not (transformers, `TokenizersBackend`). Ids
// go by the model's vocabulary, and beyond it by place, as in the reference; the file's own ids are only compared.

import BerthCore

/// An added token before it has an id.
struct AddedTokenTraits: Equatable {
    var content: [UInt8]
    var isSingleWord = false
    var stripsLeft = false
    var stripsRight = false
    var isNormalized: Bool
    var isSpecial: Bool

    /// A control token without further traits.
    init(control content: String) {
        self.content = Array(content.utf8)
        isNormalized = false
        isSpecial = true
    }

    /// Reads `{"content": …, "lstrip": …}`.
    init(_ reader: ComponentReader) throws(TextError) {
        content = Array(try reader.string("content").utf8)
        isSingleWord = try reader.bool("single_word", default: false)
        stripsLeft = try reader.bool("lstrip", default: false)
        stripsRight = try reader.bool("rstrip", default: false)
        isSpecial = try reader.bool("special", default: false)
        isNormalized = try reader.bool("normalized", default: !isSpecial)
    }
}

/// Gives ids to added tokens.
struct AddedTokenList {
    private let vocabulary: Vocabulary
    private(set) var tokens: [AddedToken] = []
    /// Sentences about ids that are not the declared ones.
    private(set) var warnings: [String] = []
    private var indices: [[UInt8]: Int] = [:]
    private var nextID: Int

    init(_ vocabulary: Vocabulary) {
        self.vocabulary = vocabulary
        nextID = vocabulary.count
    }

    func contains(_ content: [UInt8]) -> Bool { indices[content] != nil }

    /// Reads the list `added_tokens` of tokenizer.json.
    mutating func add(_ json: JSON) throws(TextError) {
        guard !json.isNull else { return }
        guard let list = json.array else { throw TextError(.malformed, "added_tokens: expected a list, found \(json.kind)") }
        for (index, element) in list.enumerated() {
            let reader = try ComponentReader(element, "added_tokens[\(index)]")
            let traits = try AddedTokenTraits(reader)
            guard !contains(traits.content) else { throw reader.error(.inconsistent, "content", "the same token twice") }
            try set(traits, declared: try reader.int("id", in: 0...Limits.tokenIdentifier), place: reader.path)
        }
    }

    /// Adds a token, or gives a token of the list other traits. Empty tokens are left out.
    ///
    /// - Parameter declared: the id that the file wants, if any; only compared.
    mutating func set(_ traits: AddedTokenTraits, declared: Int? = nil, place: String) throws(TextError) {
        guard !traits.content.isEmpty else { return }
        if let index = indices[traits.content] {
            tokens[index] = AddedToken(traits, id: tokens[index].id)
            return
        }
        guard tokens.count < Limits.addedTokens else { throw TextError(.tooLarge, "\(place): more than \(Limits.addedTokens) added tokens") }
        let id: Int
        if let known = vocabulary.id(of: traits.content) {
            id = Int(known)
        } else {
            id = nextID
            guard id <= Limits.tokenIdentifier else { throw TextError(.tooLarge, "\(place).id: \(id) is above \(Limits.tokenIdentifier)") }
            guard !vocabulary.contains(id: Int32(id)) else { throw TextError(.inconsistent, "\(place).id: \(id) is the id of another token too") }
        }
        nextID = max(nextID, id + 1)
        if let declared, id != declared { warnings.append("\(place).id is \(declared), but the token's place makes it \(id)") }
        indices[traits.content] = tokens.count
        tokens.append(AddedToken(traits, id: Int32(id)))
    }
}

extension AddedToken {
    init(_ traits: AddedTokenTraits, id: Int32) {
        self.init(
            content: traits.content, id: id, isSingleWord: traits.isSingleWord, stripsLeft: traits.stripsLeft, stripsRight: traits.stripsRight,
            isNormalized: traits.isNormalized, isSpecial: traits.isSpecial)
    }
}
