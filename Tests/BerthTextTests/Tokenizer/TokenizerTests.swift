// The tokenizer as its users see it: from a folder, from many threads, with texts that mean harm.

import BerthCore
import Glibc
import Testing

@testable import BerthText

@Suite struct TokenizerTests {
    /// A folder with the given files, removed afterwards.
    private func withFolder(_ files: [String: String], tokenizer: String = "llama3", _ body: (String) throws -> Void) throws {
        var template = Array("/tmp/berth-tokenizer-XXXXXX".utf8CString)
        let folder = try #require(mkdtemp(&template).map { String(cString: $0) })
        var paths: [String] = []
        var folders: [String] = [folder]
        defer {
            for path in paths { unlink(path) }
            for folder in folders.reversed() { rmdir(folder) }
        }
        var files = files.mapValues { Array($0.utf8) }
        if files["tokenizer.json"] == nil { files["tokenizer.json"] = try TokenizerFixture.named(tokenizer).fileBytes() }
        for (name, bytes) in files {
            let path = folder + "/" + name
            paths.append(path)
            if let slash = name.lastIndex(of: "/"), mkdir(folder + "/" + name[..<slash], 0o700) == 0 { folders.append(folder + "/" + name[..<slash]) }
            let file = try #require(fopen(path, "w"))
            fwrite(bytes, 1, bytes.count, file)
            fclose(file)
        }
        try body(folder)
    }

    @Test func readsTheFolder() throws {
        let configuration = #"{"bos_token":"<|begin|>","eos_token":{"content":"<|end|>","lstrip":false},"pad_token":null,"chat_template":"{{ messages }}"}"#
        try withFolder(["tokenizer_config.json": configuration]) { folder in
            let tokenizer = try Tokenizer(directory: folder)
            #expect(tokenizer.bosToken == "<|begin|>" && tokenizer.eosToken == "<|end|>")
            #expect(tokenizer.bosTokenID == 0 && tokenizer.eosTokenID == 1)
            #expect(tokenizer.specialTokens == ["bos_token": "<|begin|>", "eos_token": "<|end|>"])
            #expect(tokenizer.chatTemplates == ["default": "{{ messages }}"])
            #expect(tokenizer.isSpecial(0) && !tokenizer.isSpecial(100) && !tokenizer.isSpecial(-1))
        }
    }

    @Test func templatesHaveNames() throws {
        let list = #"{"chat_template":[{"name":"tool_use","template":"tools"},{"name":"default","template":"plain"}]}"#
        try withFolder(["tokenizer_config.json": list, "special_tokens_map.json": #"{"unk_token":"<unk>"}"#]) { folder in
            let tokenizer = try Tokenizer(directory: folder)
            #expect(tokenizer.chatTemplates == ["tool_use": "tools", "default": "plain"])
            #expect(tokenizer.specialTokens["unk_token"] == "<unk>")
        }
        // A file takes the place of all that the configuration says, one of the additional ones only that of its own name.
        try withFolder(["tokenizer_config.json": list, "chat_template.jinja": "beside"]) { folder in
            let templates = try Tokenizer(directory: folder).chatTemplates
            #expect(templates == ["default": "beside"])
        }
        let additional = ["additional_chat_templates/tool_use.jinja": "other", "additional_chat_templates/rag.jinja": "rag", "additional_chat_templates/notes.txt": "x"]
        try withFolder(["tokenizer_config.json": list].merging(additional) { $1 }) { folder in
            let templates = try Tokenizer(directory: folder).chatTemplates
            #expect(templates == ["tool_use": "other", "default": "plain", "rag": "rag"])
        }
        try withFolder(["chat_template.jinja": "beside"].merging(additional) { $1 }) { folder in
            let templates = try Tokenizer(directory: folder).chatTemplates
            #expect(templates == ["default": "beside", "rag": "rag", "tool_use": "other"])
        }
    }

    @Test(arguments: [#"{"chat_template":5}"#, #"{"chat_template":["x"]}"#, #"{"chat_template":[{"name":"x"}]}"#, #"{"chat_template":[{"template":"x"}]}"#])
    func brokenListsOfTemplatesAreRefused(_ configuration: String) throws {
        try withFolder(["tokenizer_config.json": configuration]) { folder in
            let error = #expect(throws: TextError.self) { try Tokenizer(directory: folder) }
            #expect(error?.message.hasPrefix("tokenizer_config.json.chat_template") == true)
        }
    }

    @Test func onlyTheTokenizerIsNeeded() throws {
        try withFolder([:]) { folder in
            let tokenizer = try Tokenizer(directory: folder)
            #expect(tokenizer.chatTemplates.isEmpty && tokenizer.specialTokens.isEmpty && tokenizer.bosTokenID == nil)
        }
    }

    /// The expectations are what transformers 5 makes of the same folders.
    @Test func configurationCompletesTheTokens() throws {
        let configuration = #"""
            {"eos_token":"<new>","pad_token":{"__type":"AddedToken","content":"<pad>","lstrip":true,"normalized":false},"additional_special_tokens":["the"],
            "added_tokens_decoder":{"441":{"content":"<t1>","lstrip":true,"rstrip":true,"normalized":false},"440":{"content":"<t0>","normalized":false,"special":true}}}
            """#
        try withFolder(["tokenizer_config.json": configuration]) { folder in
            let tokenizer = try Tokenizer(directory: folder)
            #expect(["<t0>", "<t1>", "<new>", "<pad>"].map { tokenizer.id(of: $0) } == [440, 441, 442, 443])
            #expect(tokenizer.eosTokenID == 442 && tokenizer.isSpecial(442) && !tokenizer.isSpecial(441))
            // A word of the vocabulary that is named as a control token is one from then on.
            let the = try #require(tokenizer.id(of: "the"))
            let ids = tokenizer.encode("the  <pad>x <t1> y<t0>", addSpecialTokens: false)
            #expect(ids.first == the && ids.contains(443) && ids.contains(441) && ids.last == 440)
            #expect(tokenizer.decode(ids, skipSpecialTokens: true) == "x<t1>y")
        }
    }

    @Test func llamaClassAddsWhatItsFileLeavesOut() throws {
        func ids(_ tokenizerName: String, _ configuration: String) throws -> [Int32] {
            var ids: [Int32] = []
            try withFolder(["tokenizer_config.json": configuration], tokenizer: tokenizerName) { folder in
                ids = try Tokenizer(directory: folder).encode("x", addSpecialTokens: true)
            }
            return ids
        }
        let flags = #""bos_token":"<|begin|>","eos_token":"<|end|>","add_bos_token":true,"add_eos_token":true"#
        let plain = try ids("gpt2-prefix", "{}")
        #expect(try ids("gpt2-prefix", #"{"tokenizer_class":"LlamaTokenizerFast",\#(flags)}"#) == [0] + plain + [1])
        #expect(try ids("gpt2-prefix", #"{"tokenizer_class":"PreTrainedTokenizerFast",\#(flags)}"#) == plain)
        // A template of the file's own has the last word.
        #expect(try ids("llama3", #"{"tokenizer_class":"LlamaTokenizerFast",\#(flags)}"#) == ids("llama3", "{}"))
    }

    @Test func saysWhichFileIsWrong() throws {
        func message(_ folder: String) -> String {
            do throws(TextError) {
                _ = try Tokenizer(directory: folder)
                return ""
            } catch {
                return error.message
            }
        }
        #expect(message("/nonexistent").contains("tokenizer.json: no such file"))
        try withFolder(["tokenizer_config.json": "{"]) { #expect(message($0).contains("tokenizer_config.json: ")) }
        try withFolder(["tokenizer_config.json": #"{"bos_token":7}"#]) { #expect(message($0).contains("tokenizer_config.json.bos_token: expected a token")) }
        try withFolder(["tokenizer.json": "[]"]) { #expect(message($0).contains("tokenizer.json: ")) }
    }

    @Test func tokensOfOneMeaningStayApart() throws {
        // é as one scalar and as two: equal for Swift's strings, two tokens for a tokenizer.
        let file = #"{"model":{"type":"BPE","vocab":{"\u00e9":0,"e":1,"\u0301":2,"e\u0301":3},"merges":[["e","\u0301"]]}}"#
        let tokenizer = try Tokenizer(parsing: Array(file.utf8))
        #expect(tokenizer.encode("\u{E9}", addSpecialTokens: false) == [0])
        #expect(tokenizer.encode("e\u{301}", addSpecialTokens: false) == [3])
        #expect(tokenizer.id(of: "\u{E9}") == 0 && tokenizer.id(of: "e\u{301}") == 3)
    }

    @Test func manyThreadsShareOne() async throws {
        let tokenizer = try TokenizerFixture.named("o200k").tokenizer()
        let text = String(repeating: "Hello WORLD's 北京 1234 naïve\n", count: 20)
        let expected = tokenizer.encode(text, addSpecialTokens: true)
        await withTaskGroup(of: Bool.self) { group in
            for _ in 0..<8 {
                group.addTask { (0..<3).allSatisfy { _ in tokenizer.encode(text, addSpecialTokens: true) == expected } }
            }
            for await isSame in group { #expect(isSame) }
        }
    }

    @Test(arguments: ["a", " ", "\n", "<", "'", "1", "\u{301}", "北", "<|im_start|>", "▁", "\u{0}"])
    func longRunsTakeLinearTime(_ unit: String) throws {
        let text = String(repeating: unit, count: 20_000 / unit.utf8.count)
        for name in ["o200k", "spm-added", "added-lower"] {
            let tokenizer = try TokenizerFixture.named(name).tokenizer()
            let clock = ContinuousClock()
            var count = 0
            let duration = clock.measure { count = tokenizer.encode(text, addSpecialTokens: false).count }
            #expect(count > 0 && duration < .seconds(30), "\(name): \(duration)")
        }
    }
}

@Suite struct UnicodeNormalizationTests {
    private func normalize(_ text: String, compatibility: Bool = false, composes: Bool) -> String {
        var bytes = Array(text.utf8)
        _ = UnicodeNormalization(isCompatibility: compatibility, composes: composes).normalize(&bytes, mark: 0)
        return String(decoding: bytes, as: UTF8.self)
    }

    private func scalars(_ text: String) -> [UInt32] { text.unicodeScalars.map(\.value) }

    @Test func examplesOfTheStandard() {
        // Figures 3 to 6 of Unicode Standard Annex 15.
        #expect(scalars(normalize("\u{212B}", composes: false)) == [0x41, 0x30A])
        #expect(scalars(normalize("\u{212B}", composes: true)) == [0xC5])
        #expect(scalars(normalize("\u{1E0B}\u{323}", composes: false)) == [0x64, 0x323, 0x307])
        #expect(scalars(normalize("\u{1E0B}\u{323}", composes: true)) == [0x1E0D, 0x307])
        #expect(scalars(normalize("\u{FB01}", composes: true)) == [0xFB01])
        #expect(scalars(normalize("\u{FB01}", compatibility: true, composes: true)) == [0x66, 0x69])
        #expect(scalars(normalize("\u{1E9B}\u{323}", compatibility: true, composes: true)) == [0x1E69])
        #expect(scalars(normalize("\u{1E9B}\u{323}", compatibility: true, composes: false)) == [0x73, 0x323, 0x307])
        #expect(scalars(normalize("\u{AC01}", composes: false)) == [0x1100, 0x1161, 0x11A8])
        #expect(scalars(normalize("\u{1100}\u{1161}\u{11A8}", composes: true)) == [0xAC01])
        #expect(scalars(normalize("\u{958}", composes: true)) == [0x915, 0x93C])
    }

    /// Forms are stable, and composing undoes decomposing: over random strings of characters that do something.
    @Test(arguments: 0..<20 as Range<UInt64>)
    func formsAreStable(seed: UInt64) {
        var random = RandomSource(seed: seed)
        let pool: [ClosedRange<UInt32>] = [0x41...0x7A, 0xC0...0x17F, 0x300...0x345, 0x323...0x331, 0x1E00...0x1EFF, 0x1100...0x1112, 0x1161...0x11C2, 0xAC00...0xAD00, 0x915...0x94D, 0x1F00...0x1FFE, 0xFB00...0xFB4F, 0x3099...0x309A, 0x304B...0x3060]
        for _ in 0..<20 {
            var text = ""
            for _ in 0..<12 { text.unicodeScalars.append(Unicode.Scalar(UInt32.random(in: pool.randomElement(using: &random)!, using: &random))!) }
            for compatibility in [false, true] {
                let decomposed = normalize(text, compatibility: compatibility, composes: false)
                let composed = normalize(text, compatibility: compatibility, composes: true)
                #expect(scalars(normalize(decomposed, compatibility: compatibility, composes: false)) == scalars(decomposed), "seed \(seed)")
                #expect(scalars(normalize(composed, compatibility: compatibility, composes: true)) == scalars(composed), "seed \(seed)")
                #expect(scalars(normalize(decomposed, compatibility: compatibility, composes: true)) == scalars(composed), "seed \(seed)")
                // The library's own idea of canonical equivalence.
                if !compatibility { #expect(text == decomposed && text == composed, "seed \(seed)") }
            }
        }
    }
}
