// Every refusal by name: of a field of the configuration, of a tensor, of a file.

import BerthCore
import Glibc
import Testing

@testable import BerthStore

@Suite struct AdapterRefusalTests {
    private let fixture = AdapterFixture()

    // MARK: configuration

    @Test(arguments: [
        ("peft_type", "IA3"), ("peft_type", 3), ("peft_type", nil),
        ("use_dora", true), ("modules_to_save", ["lm_head"]), ("bias", "all"), ("bias", "lora_only"), ("lora_bias", true),
        ("trainable_token_indices", [1, 2]), ("trainable_token_indices", ["embed_tokens": [1]]), ("layer_replication", [[0, 4], [2, 5]]),
        ("use_qalora", true), ("use_bdlora", ["target_modules_bd_a": ["q"]]), ("arrow_config", ["top_k": 3]), ("kasa_config", ["beta": 1]),
        ("monteclora_config", ["n": 1]), ("alora_invocation_tokens", [5]), ("fan_in_fan_out", true),
        ("init_lora_weights", "pissa"), ("init_lora_weights", "pissa_niter_16"), ("init_lora_weights", "olora"), ("init_lora_weights", "OLoRA"),
        ("init_lora_weights", "corda"), ("init_lora_weights", "lora_ga"),
        ("r", 0), ("r", -2), ("r", 2.5), ("r", "2"), ("r", 1025), ("r", 1e300), ("lora_alpha", "x"), ("lora_alpha", 1e300), ("use_rslora", 1),
        ("rank_pattern", []), ("alpha_pattern", 3),
    ] as [(String, JSON)])
    func field(name: String, value: JSON) {
        fixture.configuration[name] = value
        let error = fixture.rejection()
        #expect(error?.subject == name, "\(String(describing: error))")
        #expect(error?.message.contains(name) == true)
    }

    @Test(arguments: [
        ("use_dora", false), ("modules_to_save", nil), ("modules_to_save", []), ("bias", "none"), ("trainable_token_indices", nil),
        ("use_bdlora", nil), ("init_lora_weights", true), ("init_lora_weights", false), ("init_lora_weights", "gaussian"),
        ("init_lora_weights", "eva"), ("target_modules", "all-linear"), ("target_modules", nil), ("target_modules", ["absent"]),
        ("layers_to_transform", [0]), ("lora_dropout", 0.1), ("revision", "main"), ("lora_alpha", 4.0), ("r", 2.0),
    ] as [(String, JSON)])
    func fieldsThatAreFine(name: String, value: JSON) throws {
        fixture.configuration[name] = value
        let adapter = try fixture.open()
        #expect(adapter.modules.count == 1 && adapter.warnings.isEmpty && adapter.modules[0].scale == 2)
    }

    @Test func patternsAreChecked() {
        fixture.configuration["rank_pattern"] = ["q_proj": 0]
        #expect(fixture.rejection()?.subject == "rank_pattern['q_proj']")
        fixture.configuration["rank_pattern"] = ["q_(proj": 2]
        #expect(fixture.rejection()?.subject == "rank_pattern")
        // Backtracks for ever where nothing bounds it.
        fixture.configuration["rank_pattern"] = ["(([a-z.0-9_]+)+)+[A-Z]": 2]
        #expect(fixture.rejection()?.message.contains("too long") == true)
        fixture.configuration["rank_pattern"] = [String(repeating: "x", count: 2000): 2]
        #expect(fixture.rejection()?.subject == "rank_pattern")
        fixture.configuration["rank_pattern"] = [:]
        fixture.configuration["alpha_pattern"] = ["q_proj": "x"]
        #expect(fixture.rejection()?.subject == "alpha_pattern['q_proj']")
    }

    @Test func unknownFieldsWarn() throws {
        fixture.configuration["use_teleportation"] = true
        fixture.configuration["use_nothing"] = nil
        fixture.configuration["init_lora_weights"] = "loftq"
        fixture.configuration["task_type"] = "SEQ_CLS"
        let warnings = try fixture.open().warnings
        #expect(warnings.count == 3)
        #expect(warnings.contains { $0.contains("use_teleportation") })
    }

    // MARK: files

    @Test func filesThatAreNotThere() {
        let folder = TemporaryFolder()
        func rejection(_ path: String) -> AdapterRejection? { failure { () throws(AdapterRejection) in try AdapterCheckpoint(directory: path, base: TestModels.qwen()) } }
        #expect(rejection(folder.file("none"))?.path == folder.file("none"))
        #expect(rejection(folder.path)?.subject == "adapter_config.json")
        folder.write("adapter_config.json", "{")
        #expect(rejection(folder.path)?.message.contains("not JSON") == true)
        folder.write("adapter_config.json", #"{"peft_type":"LORA"}"#)
        #expect(rejection(folder.path)?.subject == "adapter_model.safetensors")
        folder.write("adapter_model.bin", "PK")
        #expect(rejection(folder.path)?.subject == "adapter_model.bin")
        #expect(rejection(folder.path)?.message.contains("pickle") == true)
        folder.write("adapter_model.safetensors", "not tensors at all")
        #expect(rejection(folder.path)?.subject == "adapter_model.safetensors")
    }

    @Test func subfolder() throws {
        fixture.write()
        let outer = TemporaryFolder()
        rename(fixture.folder.path, outer.file("german"))
        #expect(try AdapterCheckpoint(directory: outer.path, base: TestModels.qwen()).directory == outer.file("german"))
        let second = outer.folder("french")
        #expect(try AdapterCheckpoint(directory: outer.path, base: TestModels.qwen()).modules.count == 1)
        writeFile(second + "/adapter_config.json", Array("{}".utf8))
        #expect(failure { () throws(AdapterRejection) in try AdapterCheckpoint(directory: outer.path, base: TestModels.qwen()) }?.message.contains("2 adapters (french, german)") == true)
    }

    // MARK: tensors

    @Test(arguments: [
        ("model.layers.0.self_attn.q_proj.lora_A.weight", [2, 8], "does not start with"),
        ("base_model.model.model.layers.9.self_attn.q_proj.lora_A.weight", [2, 8], "lora_B"),
        ("base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector", [8], "DoRA"),
        ("base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector.default.weight", [8], "DoRA"),
        ("base_model.model.model.layers.0.self_attn.q_proj.lora_B.bias", [8], "lora_bias"),
        ("base_model.model.model.layers.0.self_attn.q_proj.bias", [8], "bias"),
        ("base_model.model.model.layers.0.self_attn.q_proj.weight", [8, 8], "modules_to_save"),
        ("base_model.model.lm_head.modules_to_save.weight", [20, 8], "modules_to_save"),
        ("base_model.model.model.embed_tokens.token_adapter.trainable_tokens_delta", [1, 8], "trainable_token_indices"),
        ("base_model.model.model.embed_tokens.weight", [21, 8], "another vocabulary"),
        ("base_model.model.lm_head.base_layer.weight", [21, 8], "another vocabulary"),
        ("base_model.model.model.norm.weight", [8], "modules_to_save"),
        ("base_model.model.model.layers.0.self_attn.q_proj.lora_C.weight", [2, 8], "no LoRA tensor"),
        ("base_model.model.model.layers.0.self_attn.q_proj.lora_A.a.b.weight", [2, 8], "adapter's name"),
        ("base_model.model.model.layers.0.self_attn.q_proj.lora_A", [2, 8], "'.weight'"),
        ("base_model.model.model.layers.0.self_attn.q_proj.lora_A.other.weight", [2, 8], "two adapters"),
        ("base_model.model.model.layers.0.self_attn.k_proj.lora_A.weight", [2, 8], "no lora_B"),
        ("base_model.model.model.layers.0.self_attn.k_proj.lora_B.weight", [4, 2], "no lora_A"),
        ("base_model.model.model.layers.0.self_attn.k_proj.lora_A.weight", [2, 2, 4], "two dimensions"),
        ("base_model.model.model.embed_tokens.lora_embedding_A", [2, 20], "no lora_B"),
        ("base_model.model.extra", [2], "no module"),
    ] as [(String, [Int], String)])
    func tensor(name: String, shape: [Int], reason: String) {
        fixture.tensors.append(TestTensor(name, shape))
        let error = fixture.rejection()
        #expect(error?.subject == name, "\(String(describing: error))")
        #expect(error?.message.contains(reason) == true && error?.message.contains(name) == true, "\(String(describing: error))")
    }

    @Test(arguments: [
        (AdapterFixture.query.replacing("layers.0", with: "layers.7"), 2, 8, 8, "matches no module"),
        (AdapterFixture.query + ".base_layer", 2, 8, 8, "matches no module"),
        ("base_model.model.model.embed_tokens", 2, 20, 8, "does not fit"),
        ("base_model.model.model.layers.0.self_attn.k_proj", 2, 7, 4, "7 columns"),
        ("base_model.model.model.layers.0.self_attn.k_proj", 2, 8, 8, "8 rows"),
        ("base_model.model.model.layers.0.self_attn.k_proj", 3, 8, 4, "rank_pattern"),
        ("base_model.model.lm_head", 2, 8, 21, "another vocabulary"),
        ("base_model.model.model.layers.0.mlp.experts", 6, 8, 13, "neither gate_up_proj"),
        ("base_model.model.model.layers.0.mlp.experts", 9, 8, 12, "3 experts with rank 2"),
        ("base_model.model.model.layers.0.mlp.experts.3.up_proj", 2, 8, 6, "matches no module"),
    ])
    func module(path: String, rank: Int, inputs: Int, outputs: Int, reason: String) {
        fixture.add(path, rank: rank, inputs: inputs, outputs: outputs)
        let error = fixture.rejection()
        #expect(error?.subject.hasPrefix(path) == true && error?.message.contains(reason) == true, "\(String(describing: error))")
    }

    @Test func ranksMustAgree() {
        fixture.tensors[1] = TestTensor(AdapterFixture.query + ".lora_B.weight", [8, 3])
        #expect(fixture.rejection()?.message.contains("has rank 2, but its lora_B has rank 3") == true)
    }

    @Test func dtypesMustBeUsable() {
        fixture.tensors[0] = TestTensor(AdapterFixture.query + ".lora_A.weight", dtype: "F64", [2, 8], bytes: Array(repeating: 0, count: 128))
        #expect(fixture.rejection()?.message.contains("dtype F64") == true)
    }

    @Test func embeddings() {
        fixture.addEmbedding(rank: 2, vocabulary: 21)
        #expect(fixture.rejection()?.message.contains("another vocabulary") == true)
        fixture.tensors = []
        fixture.addEmbedding(rank: 2)
        fixture.configuration["ensure_weight_tying"] = true
        #expect(fixture.rejection()?.subject == "ensure_weight_tying")
        fixture.tensors = [
            TestTensor(AdapterFixture.query + ".lora_embedding_A", [2, 8]), TestTensor(AdapterFixture.query + ".lora_embedding_B", [8, 2]),
        ]
        #expect(fixture.rejection()?.message.contains("no embedding") == true)
    }

    @Test func nothingMatched() {
        fixture.tensors = []
        #expect(fixture.rejection()?.message.contains("matches no module") == true)
        fixture.tensors = [TestTensor("base_model.model.lm_head.base_layer.weight", [20, 8])]
        #expect(fixture.rejection()?.message.contains("matches no module") == true)
    }

    @Test func oneModuleTwice() {
        fixture.tensors = []
        fixture.add(AdapterFixture.experts, rank: 6, inputs: 8, outputs: 12)
        fixture.add(AdapterFixture.experts + ".1.up_proj", rank: 2, inputs: 8, outputs: 6)
        #expect(fixture.rejection()?.message.contains("adapts 'model.layers.0.mlp.experts.1.up_proj'") == true)
    }

    // MARK: contents

    @Test(arguments: [Float.nan, .infinity, -.infinity], [0, 1])
    func valuesMustBeFinite(value: Float, tensor: Int) throws {
        var values = [Float](repeating: 1, count: 16)
        values[11] = value
        fixture.tensors[tensor] = TestTensor(fixture.tensors[tensor].name, fixture.tensors[tensor].shape, values)
        let adapter = try fixture.open()
        let name = fixture.tensors[tensor].name
        #expect(failure { () throws(AdapterRejection) in try adapter.check(as: .f32) }?.subject == name)
        #expect(failure { () throws(AdapterRejection) in try LoadedAdapter(adapter) }?.subject == name)
        #expect(failure { () throws(AdapterRejection) in try LoadedAdapter(adapter, as: .f16) }?.subject == name)
    }

    @Test func valuesMustStayFinite() throws {
        fixture.tensors[0] = TestTensor(fixture.tensors[0].name, [2, 8], [Float](repeating: .greatestFiniteMagnitude, count: 16))
        let adapter = try fixture.open()
        try adapter.check(as: .f32)
        _ = try LoadedAdapter(adapter)
        let check = failure { () throws(AdapterRejection) in try adapter.check(as: .f16) }
        let load = failure { () throws(AdapterRejection) in try LoadedAdapter(adapter, as: .f16) }
        #expect(check?.subject == fixture.tensors[0].name && check?.message.contains("too large for f16") == true)
        #expect(load?.subject == check?.subject && load?.message == check?.message)
    }

    @Test func halfInfinityIsNotFinite() throws {
        fixture.tensors[0] = TestTensor(fixture.tensors[0].name, dtype: "F16", [2, 8], bytes: Array(repeating: 0, count: 30) + [0x00, 0x7C])
        let adapter = try fixture.open()
        #expect(failure { () throws(AdapterRejection) in try adapter.check(as: .f32) } != nil)
        #expect(failure { () throws(AdapterRejection) in try LoadedAdapter(adapter) } != nil)
    }

    @Test func replacedFilesAreNoticed() throws {
        let adapter = try fixture.open()
        let digest = adapter.digest
        fixture.tensors[0].bytes[0] ^= 1
        let changed = try fixture.open()
        #expect(changed.digest != digest)
        #expect(failure { () throws(AdapterRejection) in try LoadedAdapter(adapter) }?.message.contains("has changed") == true)
        #expect(changed.stamp != adapter.stamp && AdapterStamp(of: fixture.folder.path) == changed.stamp)
        unlink(fixture.folder.file("adapter_model.safetensors"))
        #expect(failure { () throws(AdapterRejection) in try LoadedAdapter(changed) } != nil)
        #expect(AdapterStamp(of: fixture.folder.path) == nil)
    }

    /// The scale is taken from the configuration, so that a new one beside old tensors is another adapter.
    @Test func aReplacedConfigurationIsNoticed() throws {
        let adapter = try fixture.open()
        fixture.configuration["lora_alpha"] = 16
        fixture.folder.write("adapter_config.json", JSON.object(fixture.configuration).text)
        #expect(failure { () throws(AdapterRejection) in try LoadedAdapter(adapter) }?.message.contains("adapter_config.json has changed") == true)
        #expect(failure { () throws(AdapterRejection) in try adapter.check(as: .f16) } != nil)
        #expect(AdapterStamp(of: fixture.folder.path) != adapter.stamp)
    }

    /// A file that is written to while it is read is no version of anything.
    @Test func aFileThatChangesWhileItIsReadIsRefused() throws {
        let adapter = try fixture.open()
        let memory = UnsafeMutableRawPointer.allocate(byteCount: 1 << 12, alignment: 64)
        defer { memory.deallocate() }
        let path = fixture.folder.file("adapter_model.safetensors")
        let error = failure { () throws(AdapterRejection) in
            try adapter.load(as: .f32) { _, _ in
                let times = [timespec(tv_sec: 1, tv_nsec: 0), timespec(tv_sec: 1, tv_nsec: 0)]
                utimensat(AT_FDCWD, path, times, 0)
                return memory
            }
        }
        #expect(error?.message.contains("has changed") == true)
    }

    @Test func copiesOfTheBase() throws {
        let base = TemporaryFolder()
        base.write("base.safetensors", safetensors([TestTensor("embed", [20, 8])]))
        let weight = try SafetensorsFile(path: base.file("base.safetensors")).tensors["embed"]!
        let catalog = TestModels.qwen(embedding: weight)
        fixture.addEmbedding(rank: 2)
        let name = AdapterFixture.embedding + ".base_layer.weight"
        fixture.tensors.append(TestTensor(name, [20, 8], weight.floats))
        try fixture.open(catalog).check(as: .f32)
        _ = try LoadedAdapter(fixture.open(catalog))
        var bytes: [UInt8] = []
        for value in weight.floats { bytes += withUnsafeBytes(of: UInt16(value.bitPattern >> 16), Array.init) }
        fixture.tensors[4] = TestTensor(name, dtype: "BF16", [20, 8], bytes: bytes)
        try fixture.open(catalog).check(as: .f32)
        fixture.tensors[4].bytes[9] ^= 4
        let adapter = try fixture.open(catalog)
        #expect(failure { () throws(AdapterRejection) in try adapter.check(as: .f32) }?.subject == name)
        #expect(failure { () throws(AdapterRejection) in try LoadedAdapter(adapter) }?.subject == name)
    }
}
