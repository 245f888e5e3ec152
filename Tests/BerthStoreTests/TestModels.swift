// The catalogues of the tiny models that the fixtures were trained on (Fixtures/make_fixtures.py).

@testable import BerthStore

enum TestModels {
    static let vocabulary = 20, hidden = 8, experts = 3

    private static func attention(_ layer: Int) -> [ModuleCatalog.Module] {
        [("q_proj", 8, 8), ("k_proj", 8, 4), ("v_proj", 8, 4), ("o_proj", 8, 8)].map { name, inputs, outputs in
            ModuleCatalog.Module(path: "model.layers.\(layer).self_attn.\(name)", inputs: inputs, outputs: outputs)
        }
    }

    private static func ends(embedding: TensorView?, head: TensorView?) -> [ModuleCatalog.Module] {
        [
            ModuleCatalog.Module(path: "model.embed_tokens", inputs: vocabulary, outputs: hidden, kind: .embedding, weight: embedding),
            ModuleCatalog.Module(path: "lm_head", inputs: hidden, outputs: vocabulary, kind: .head, weight: head),
        ]
    }

    /// Two layers as Qwen3-MoE names them; experts of `hidden` to `intermediate`.
    static func qwen(intermediate: Int = 6, embedding: TensorView? = nil, head: TensorView? = nil) -> ModuleCatalog {
        var modules = ends(embedding: embedding, head: head)
        var groups: [ModuleCatalog.ExpertGroup] = []
        for layer in 0..<2 {
            let prefix = "model.layers.\(layer).mlp.experts"
            modules += attention(layer)
            for expert in 0..<experts {
                modules.append(.init(path: "\(prefix).\(expert).gate_proj", inputs: hidden, outputs: intermediate))
                modules.append(.init(path: "\(prefix).\(expert).up_proj", inputs: hidden, outputs: intermediate))
                modules.append(.init(path: "\(prefix).\(expert).down_proj", inputs: intermediate, outputs: hidden))
            }
            groups.append(.init(paths: [prefix], modulePrefix: prefix, count: experts, hidden: hidden, intermediate: intermediate))
        }
        return ModuleCatalog(modules: modules, experts: groups)
    }

    /// Two layers as Mixtral's checkpoints name them, with transformers 5's names as aliases.
    static let mixtral: ModuleCatalog = {
        var modules = ends(embedding: nil, head: nil)
        var groups: [ModuleCatalog.ExpertGroup] = []
        for layer in 0..<2 {
            let block = "model.layers.\(layer).block_sparse_moe"
            modules += attention(layer)
            modules.append(.init(path: "\(block).gate", inputs: hidden, outputs: experts, aliases: ["model.layers.\(layer).mlp.gate"]))
            for expert in 0..<experts {
                modules.append(.init(path: "\(block).experts.\(expert).w1", inputs: hidden, outputs: 10))
                modules.append(.init(path: "\(block).experts.\(expert).w3", inputs: hidden, outputs: 10))
                modules.append(.init(path: "\(block).experts.\(expert).w2", inputs: 10, outputs: hidden))
            }
            groups.append(.init(
                paths: ["\(block).experts", "model.layers.\(layer).mlp.experts"], modulePrefix: "\(block).experts", count: experts,
                hidden: hidden, intermediate: 10, gate: "w1", up: "w3", down: "w2"))
        }
        return ModuleCatalog(modules: modules, experts: groups)
    }()
}
