// Numbers for the modules that adapters may target, so that a step never looks up a string.
//
// A module's number follows from its place in the model: the embedding, the head, then per layer a fixed sequence. Layers
// of the model know their numbers, an adapter's slot table is indexed by them, and the catalogue connects them to the
// paths in PEFT files. Numbers of modules that a model does not have (a router in a dense layer) stay unused.

import BerthCore
import BerthStore

/// The numbering of one model's modules.
struct ModuleMap: Sendable {
    static let embedding = 0
    static let head = 1

    /// Modules of one layer, as offsets from its first number.
    enum Offset {
        static let query = 0, key = 1, value = 2, output = 3
        /// The MLP of a dense layer.
        static let gate = 4, up = 5, down = 6
        /// The mixture of a layer with experts.
        static let router = 4, sharedRouter = 5, sharedGate = 6, sharedUp = 7, sharedDown = 8, experts = 9
        /// Modules per expert: gate, up, down.
        static let perExpert = 3
    }

    /// The first number of each layer.
    let layerStart: [Int]
    /// One more than the largest number.
    let count: Int
    /// By path.
    let numbers: [String: Int]
    let catalog: ModuleCatalog

    /// Layers in whose experts a module lies, by number: nil for modules outside experts.
    func expertLayer(of number: Int) -> Int? {
        guard let layer = layerStart.lastIndex(where: { $0 <= number }), number - layerStart[layer] >= Offset.experts else { return nil }
        return layer
    }

    /// The map of a model whose tensors are called `names`. `weight` finds the checkpoint's tensor of a module.
    init(_ c: ModelConfiguration, names: TensorNames, weight: (String) -> TensorView?) {
        var modules: [ModuleCatalog.Module] = []
        var groups: [ModuleCatalog.ExpertGroup] = []
        var numbers: [String: Int] = [:]
        func add(_ number: Int, _ path: String, _ outputs: Int, _ inputs: Int, aliases: [String] = []) {
            modules.append(.init(path: path, inputs: inputs, outputs: outputs, aliases: aliases))
            numbers[path] = number
        }
        let table = weight(names.embeddingTensor)
        modules.append(.init(path: TensorNames.embedding, inputs: c.vocabularySize, outputs: c.hiddenSize, kind: .embedding, weight: table))
        modules.append(
            .init(
                path: TensorNames.head, inputs: c.hiddenSize, outputs: c.vocabularySize, kind: .head,
                weight: c.tiesEmbeddings ? table : weight(TensorNames.head + ".weight")))
        numbers[TensorNames.embedding] = Self.embedding
        numbers[TensorNames.head] = Self.head

        var starts: [Int] = []
        var next = 2
        for (index, layer) in c.layers.enumerated() {
            let path = TensorNames.layer(index)
            let attention = path + ".self_attn"
            starts.append(next)
            add(next + Offset.query, attention + ".q_proj", c.queryWidth, c.hiddenSize)
            add(next + Offset.key, attention + ".k_proj", c.kvWidth, c.hiddenSize)
            add(next + Offset.value, attention + ".v_proj", c.kvWidth, c.hiddenSize)
            add(next + Offset.output, attention + ".o_proj", c.hiddenSize, c.queryWidth)
            func addMLP(_ path: String, width: Int, gate: Int, up: Int, down: Int) {
                add(gate, path + ".gate_proj", width, c.hiddenSize)
                add(up, path + ".up_proj", width, c.hiddenSize)
                add(down, path + ".down_proj", c.hiddenSize, width)
            }
            switch layer.feedForward {
            case .dense(let width):
                addMLP(path + ".mlp", width: width, gate: next + Offset.gate, up: next + Offset.up, down: next + Offset.down)
                next += Offset.down + 1
            case .experts(let experts):
                let layerNames = names.experts[index]
                let alias = path + ".mlp.gate"
                add(next + Offset.router, layerNames.block + ".gate", experts.count, c.hiddenSize, aliases: alias == layerNames.block + ".gate" ? [] : [alias])
                if let width = experts.sharedIntermediateSize {
                    add(next + Offset.sharedRouter, layerNames.block + ".shared_expert_gate", 1, c.hiddenSize)
                    addMLP(
                        layerNames.block + ".shared_expert", width: width, gate: next + Offset.sharedGate, up: next + Offset.sharedUp,
                        down: next + Offset.sharedDown)
                }
                for expert in 0..<experts.count {
                    let first = next + Offset.experts + expert * Offset.perExpert
                    add(first, layerNames.module(expert, layerNames.gate), experts.intermediateSize, c.hiddenSize)
                    add(first + 1, layerNames.module(expert, layerNames.up), experts.intermediateSize, c.hiddenSize)
                    add(first + 2, layerNames.module(expert, layerNames.down), c.hiddenSize, experts.intermediateSize)
                }
                var paths = [layerNames.prefix]
                if layerNames.prefix != path + ".mlp.experts" { paths.append(path + ".mlp.experts") }
                groups.append(
                    .init(
                        paths: paths, modulePrefix: layerNames.prefix, count: experts.count, hidden: c.hiddenSize,
                        intermediate: experts.intermediateSize, gate: layerNames.gate, up: layerNames.up, down: layerNames.down))
                next += Offset.experts + experts.count * Offset.perExpert
            }
        }
        layerStart = starts
        count = next
        self.numbers = numbers
        catalog = ModuleCatalog(modules: modules, experts: groups)
    }
}
