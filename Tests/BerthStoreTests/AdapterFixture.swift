// An adapter's folder that is valid until a test breaks it.

import BerthCore
import OrderedCollections
import Testing

@testable import BerthStore

/// Builds `adapter_config.json` and `adapter_model.safetensors` in a temporary folder.
final class AdapterFixture {
    let folder = TemporaryFolder()
    var configuration: OrderedDictionary<String, JSON> = ["peft_type": "LORA", "r": 2, "lora_alpha": 4, "bias": "none", "target_modules": ["q_proj"]]
    var tensors: [TestTensor] = []

    static let query = "base_model.model.model.layers.0.self_attn.q_proj"
    static let embedding = "base_model.model.model.embed_tokens"
    static let experts = "base_model.model.model.layers.0.mlp.experts"

    /// Rank 2 on one query projection.
    init() { add(Self.query, rank: 2, inputs: 8, outputs: 8) }

    func add(_ module: String, rank: Int, inputs: Int, outputs: Int) {
        tensors.append(TestTensor("\(module).lora_A.weight", [rank, inputs]))
        tensors.append(TestTensor("\(module).lora_B.weight", [outputs, rank]))
    }

    func addEmbedding(rank: Int, vocabulary: Int = TestModels.vocabulary) {
        tensors.append(TestTensor("\(Self.embedding).lora_embedding_A", [rank, vocabulary]))
        tensors.append(TestTensor("\(Self.embedding).lora_embedding_B", [8, rank]))
    }

    func write() {
        folder.write("adapter_config.json", JSON.object(configuration).text)
        folder.write("adapter_model.safetensors", safetensors(tensors))
    }

    func open(_ base: ModuleCatalog = TestModels.qwen()) throws(AdapterRejection) -> AdapterCheckpoint {
        write()
        return try AdapterCheckpoint(directory: folder.path, base: base)
    }

    func rejection(_ base: ModuleCatalog = TestModels.qwen(), _ location: SourceLocation = #_sourceLocation) -> AdapterRejection? {
        let error = failure({ () throws(AdapterRejection) in try open(base) }, location)
        if let error { #expect(!error.message.contains(folder.path), sourceLocation: location) }
        return error
    }
}

/// An adapter's factors in memory as `load` writes them.
struct LoadedAdapter {
    let adapter: AdapterCheckpoint
    var a: [[Float]]
    var b: [[Float]]

    init(_ adapter: AdapterCheckpoint, as type: ElementType = .f32) throws(AdapterRejection) {
        self.adapter = adapter
        let sizes = adapter.modules.map { (a: $0.rank * $0.inputs, b: $0.rank * $0.outputs) }
        let blocks = sizes.map { (UnsafeMutableRawPointer.allocate(byteCount: $0.a * 4, alignment: 64), UnsafeMutableRawPointer.allocate(byteCount: $0.b * 4, alignment: 64)) }
        defer {
            for block in blocks {
                block.0.deallocate()
                block.1.deallocate()
            }
        }
        try adapter.load(as: type) { module, role in role == .a ? blocks[module].0 : blocks[module].1 }
        func floats(_ pointer: UnsafeMutableRawPointer, _ count: Int) -> [Float] {
            (0..<count).map { index in
                type == .f32
                    ? pointer.load(fromByteOffset: index * 4, as: Float.self)
                    : Float(Float16(bitPattern: pointer.load(fromByteOffset: index * 2, as: UInt16.self)))
            }
        }
        a = zip(blocks, sizes).map { floats($0.0, $1.a) }
        b = zip(blocks, sizes).map { floats($0.1, $1.b) }
    }

    /// The weight difference of a module, `[outputs, inputs]` row-major; of an embedding `[inputs, outputs]`.
    func delta(_ index: Int) -> [Float] {
        let module = adapter.modules[index]
        let isEmbedding = module.kind == .embedding
        let (rows, columns) = isEmbedding ? (module.inputs, module.outputs) : (module.outputs, module.inputs)
        var result: [Float] = []
        for row in 0..<rows {
            for column in 0..<columns {
                let (input, output) = isEmbedding ? (row, column) : (column, row)
                var sum: Float = 0
                for rank in 0..<module.rank {
                    let left = a[index][isEmbedding ? input * module.rank + rank : rank * module.inputs + input]
                    sum += left * b[index][rank * module.outputs + output]
                }
                result.append(sum * module.scale)
            }
        }
        return result
    }
}
