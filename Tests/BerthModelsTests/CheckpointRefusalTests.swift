// Checkpoints whose tensors are not those of their configuration are refused with the tensor's name.

import BerthCore
import BerthKernels
import BerthStore
import Glibc
import Testing

@testable import BerthModels

@Suite struct CheckpointRefusalTests {
    /// A copy of a fixture in a folder of its own, with its header and configuration changed.
    func refusal(_ fixture: String, config: (JSON) -> JSON = { $0 }, header: (inout String) -> Void = { _ in }) throws -> String {
        let source = TestModel.fixture(fixture).folder
        var template = Array("/tmp/berth-models-XXXXXX".utf8CString)
        let folder = try #require(mkdtemp(&template).map { String(cString: $0) })
        defer {
            for name in ["config.json", "model.safetensors"] { unlink("\(folder)/\(name)") }
            rmdir(folder)
        }
        try write(config(JSON(parsing: contents(of: source + "/config.json"))).utf8, to: folder + "/config.json")
        let bytes = try contents(of: source + "/model.safetensors")
        let length = bytes[..<8].reversed().reduce(0) { $0 << 8 | Int($1) }
        var text = String(decoding: bytes[8..<8 + length], as: UTF8.self)
        header(&text)
        let prefix = (0..<8).map { UInt8(truncatingIfNeeded: text.utf8.count >> (8 * $0)) }
        try write(prefix + Array(text.utf8) + bytes[(8 + length)...], to: folder + "/model.safetensors")
        do {
            _ = try Model(checkpoint: Checkpoint(directory: folder), format: .bf16, compute: Compute(threads: 1), maxRows: 8)
            return "accepted"
        } catch let error as ModelError {
            return error.message
        } catch {
            return "\(error)"
        }
    }

    func write(_ bytes: [UInt8], to path: String) throws {
        let file = try #require(fopen(path, "wb"))
        fwrite(bytes, 1, bytes.count, file)
        fclose(file)
    }

    @Test func unchangedIsAccepted() throws {
        #expect(try refusal("mistral") == "accepted")
    }

    @Test func misnamedTensor() throws {
        let message = try refusal("mistral", header: { $0 = $0.replacing("model.layers.1.mlp.up_proj.weight", with: "model.layers.1.mlp.upp_proj.weight") })
        #expect(message.contains("'model.layers.1.mlp.up_proj.weight' is missing"), "\(message)")
    }

    @Test func superfluousTensor() throws {
        let message = try refusal("mistral", header: { (header: inout String) in
            let end = header.lastIndex(of: "}")!
            let data = header.matches(of: /"data_offsets":\[\d+,(\d+)\]/).compactMap { Int($0.output.1) }.max()!
            header.insert(contentsOf: ",\"model.layers.0.self_attn.q_proj.bias\":{\"dtype\":\"BF16\",\"shape\":[0],\"data_offsets\":[\(data),\(data)]}", at: end)
        })
        #expect(message.contains("'model.layers.0.self_attn.q_proj.bias' is not part of MistralForCausalLM"), "\(message)")
    }

    @Test func rotaryBufferIsTolerated() throws {
        let message = try refusal("mistral", header: { (header: inout String) in
            let end = header.lastIndex(of: "}")!
            let data = header.matches(of: /"data_offsets":\[\d+,(\d+)\]/).compactMap { Int($0.output.1) }.max()!
            header.insert(contentsOf: ",\"model.layers.0.self_attn.rotary_emb.inv_freq\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[\(data),\(data)]}", at: end)
        })
        #expect(message == "accepted")
    }

    @Test func wrongShape() throws {
        let message = try refusal("mistral", config: { $0.adding("vocab_size", 161) })
        #expect(message.contains("'model.embed_tokens.weight' has shape [160, 32]"), "\(message)")
        #expect(try refusal("mixtral", config: { $0.adding("num_local_experts", 5) }).contains("block_sparse_moe.gate.weight"))
    }

    @Test func moreLayersThanTensors() throws {
        #expect(try refusal("llama3_rope", config: { $0.adding("num_hidden_layers", 3) }).contains("model.layers.2."))
        #expect(try refusal("llama3_rope", config: { $0.adding("num_hidden_layers", 1) }).contains("model.layers.1."))
    }

    @Test func wrongType() throws {
        let message = try refusal("mistral", header: { (header: inout String) in
            header = header.replacing(/("model.norm.weight":\{"dtype":)"BF16"/) { "\($0.output.1)\"I16\"" }
        })
        #expect(message.contains("'model.norm.weight' has dtype I16"), "\(message)")
    }

    /// The plan that the daemon prints is what the model takes.
    @Test(arguments: TestModel.fixtures) func memoryPlan(_ test: TestModel) throws {
        let checkpoint = try Checkpoint(directory: test.folder)
        let configuration = try ModelConfiguration(config: checkpoint.config)
        for format in WeightFormat.allCases {
            let plan = Model.memoryPlan(configuration: configuration, format: format, maxRows: 64)
            let packed = WeightPlan(configuration, format: format, names: TensorNames(configuration, tensors: Set(checkpoint.tensors.keys)))
            #expect(plan.weightBytes == packed.bytes)
            // Residuals of the embedding wherever it is int8, tied to the head or not, and always in memory.
            let residuals = packed.extents.first { $0.name == TensorNames.embeddingResiduals }
            #expect(residuals?.bytes == (format == .int8 || format == .int4 ? configuration.vocabularySize * ((configuration.hiddenSize + 1) / 2) : nil))
            #expect((residuals?.offset ?? 0) < plan.denseBytes)
            #expect(packed.extents.allSatisfy { $0.offset % 64 == 0 })
            #expect(zip(packed.extents, packed.extents.dropFirst()).allSatisfy { $0.offset + $0.bytes <= $1.offset })
            let firsts = packed.extents.filter { $0.expert != nil && $0.name.hasSuffix("gate_up_proj") }
            #expect(firsts.allSatisfy { $0.offset % WeightPlan.alignment == 0 })
        }
    }
}
