// Adapters against PEFT: the weight differences of every module of the fixtures.

import BerthCore
import Testing

@testable import BerthStore

@Suite struct AdapterLoadTests {
    /// The expected difference of a single expert or another module, out of PEFT's own.
    private func expected(_ module: AdapterModule, _ deltas: [String: TensorView], catalog: ModuleCatalog) -> [Float]? {
        let aliases = catalog.modules[module.path]!.aliases
        for path in [module.path] + aliases.flatMap({ [$0, $0 + ".weight"] }) {
            if let delta = deltas[path] { return delta.floats }
        }
        for (path, group) in catalog.experts where module.path.hasPrefix(group.modulePrefix + ".") {
            let rest = module.path.dropFirst(group.modulePrefix.count + 1).split(separator: ".")
            let expert = Int(rest[0])!
            let isDown = rest[1] == group.down
            guard let delta = deltas["\(path).\(isDown ? "down_proj" : "gate_up_proj")"] else { continue }
            let size = delta.shape[1] * delta.shape[2]
            let whole = Array(delta.floats[expert * size..<(expert + 1) * size])
            if isDown { return whole }
            return Array(rest[1] == group.gate ? whole[..<(size / 2)] : whole[(size / 2)...])
        }
        return nil
    }

    @Test(arguments: [
        ("plain", 4, [4]), ("patterns", 6, [2, 3, 4, 5]), ("embeddings", 4, [3]), ("fused", 2 + 2 * 9, [2, 3, 6]), ("fused-down", 6, [2]),
        ("mixtral", 2 * (2 + 6), [2]),
    ])
    func matchesPEFT(name: String, count: Int, ranks: [Int]) throws {
        let catalog = name == "mixtral" ? TestModels.mixtral : TestModels.qwen()
        let adapter = try AdapterCheckpoint(directory: fixture(name), base: catalog)
        #expect(adapter.modules.count == count && adapter.ranks == ranks && adapter.warnings.isEmpty)
        let receipt = try adapter.verify()
        #expect(receipt.modules == count && receipt.ranks == ranks && receipt.contentDigest.utf8.count == 64 && receipt.fileBytes > 0)
        let deltas = try SafetensorsFile(path: fixture(name) + "/delta.safetensors").tensors
        for (type, tolerance) in [(ElementType.f32, Float(1e-5)), (.f16, 0.002)] {
            let loaded = try LoadedAdapter(adapter, as: type)
            for (index, module) in adapter.modules.enumerated() {
                let reference = try #require(expected(module, deltas, catalog: catalog), "\(module.path)")
                let largest = reference.map(\.magnitude).max()!
                let difference = zip(loaded.delta(index), reference).map { ($0 - $1).magnitude }.max()!
                #expect(largest > 0.1 && difference <= tolerance * largest, "\(name) \(module.path) \(type): \(difference) of \(largest)")
            }
        }
    }

    @Test func targetsAndParameters() throws {
        let adapter = try AdapterCheckpoint(directory: fixture("plain"), base: TestModels.qwen())
        #expect(adapter.targets == ["o_proj", "q_proj"] && adapter.parameters == 4 * 4 * 16)
        #expect(adapter.modules.allSatisfy { $0.scale == 1.5 })
    }

    /// As PEFT before 0.19 saved fused experts: A over the outputs, B over the inputs.
    @Test(arguments: [6, 4], [nil, "0.18.1"] as [String?])
    func swappedSides(intermediate: Int, version: String?) throws {
        let hidden = 8, experts = 3, rank = 2
        let outputs = 2 * intermediate
        let adapter = AdapterFixture()
        adapter.tensors = []
        adapter.add(AdapterFixture.experts, rank: rank * experts, inputs: outputs, outputs: hidden)
        if let version { adapter.configuration["peft_version"] = .string(version) }
        let catalog = TestModels.qwen(intermediate: intermediate)
        if intermediate == 4, version == nil {
            // Both sides are equally wide, so only the version could tell.
            #expect(adapter.rejection(catalog)?.subject == "peft_version")
            return
        }
        let loaded = try LoadedAdapter(adapter.open(catalog))
        let a = adapter.tensors[0].floats, b = adapter.tensors[1].floats
        for (index, module) in loaded.adapter.modules.enumerated() {
            let parts = module.path.split(separator: ".")
            let expert = Int(parts[parts.count - 2])!
            let first = parts.last == "gate_proj" ? 0 : intermediate
            var reference: [Float] = []
            for output in first..<first + intermediate {
                for input in 0..<hidden {
                    // einsum "o r e, e r i -> e i o" with i over the outputs of the layer, o over its inputs.
                    let sum = (0..<rank).reduce(Float(0)) { $0 + b[input * rank * experts + $1 * experts + expert] * a[(expert * rank + $1) * outputs + output] }
                    reference.append(sum * 2)
                }
            }
            #expect(zip(loaded.delta(index), reference).allSatisfy { ($0 - $1).magnitude < 1e-5 }, "\(module.path)")
        }
        #expect(loaded.adapter.modules.count == 6)
    }

    @Test func perExpertAdapters() throws {
        let adapter = AdapterFixture()
        adapter.add(AdapterFixture.experts + ".1.down_proj", rank: 2, inputs: 6, outputs: 8)
        #expect(try adapter.open().modules.map(\.path) == ["model.layers.0.mlp.experts.1.down_proj", "model.layers.0.self_attn.q_proj"])
        let mixtral = AdapterFixture()
        mixtral.add("base_model.model.model.layers.1.block_sparse_moe.experts.2.w3", rank: 2, inputs: 8, outputs: 10)
        #expect(try mixtral.open(TestModels.mixtral).modules[1].path == "model.layers.1.block_sparse_moe.experts.2.w3")
    }

    @Test func adapterNameInKeys() throws {
        let adapter = AdapterFixture()
        for index in 0..<2 { adapter.tensors[index].name = adapter.tensors[index].name.replacing(".weight", with: ".german.weight") }
        #expect(try adapter.open().modules.map(\.path) == ["model.layers.0.self_attn.q_proj"])
    }

    @Test func contentDigestIgnoresDates() throws {
        let first = AdapterFixture(), second = AdapterFixture()
        #expect(try first.open().verify().contentDigest == second.open().verify().contentDigest)
        #expect(try first.open().digest != second.open().digest)
    }

    @Test(arguments: [
        (["q_proj": 1], 1), (["proj": 1], nil), (["layers.0.self_attn.q_proj": 1], 1), (["q_prox": 1, "self_attn.q_proj": 2, "q_proj": 3], 2),
        (["model.layers.0.self_attn.q_proj": 4], 4), (["xmodel.layers.0.self_attn.q_proj": 4], nil), (["q.proj": 5], 5), (["attn.q_proj": 6], nil),
        ([#"^model\.layers\.0\..*q_proj"#: 7], 7), ([#"model\.layers\.(0|1)\.self_attn\.[qk]_proj"#: 8], 8), ([#"layers\.\d+\.self_attn\.q_proj"#: 9], 9),
        ([#"q_proj|v_proj"#: 10], 10), (["": 11], nil), (["q_proj$": 12], 12), ([".*": 13], 13),
    ] as [(JSON, Int?)])
    func patterns(keys: JSON, value: Int?) throws {
        let patterns = try ModulePatterns(keys.object!.map { ($0.key, $0.value.int!) }, field: "rank_pattern")
        #expect(try patterns.value(for: "model.layers.0.self_attn.q_proj") == value)
    }

    @Test func widensHalves() {
        for bits in 0...UInt16.max {
            let value = Float(Float16(bitPattern: bits))
            if value.isNaN { continue }
            #expect(Float(bitPattern: widen(half: bits)) == value)
        }
    }

    @Test(.enabled(if: sharedModels != nil), arguments: ["llama", "mixtral", "olmoe", "qwen3_moe"])
    func opensReferenceAdapters(model: String) throws {
        let checkpoint = try Checkpoint(directory: "\(sharedModels!)/\(model)")
        let modules = checkpoint.tensors.values.filter { $0.name.hasSuffix("_proj.weight") && $0.shape.count == 2 }.map {
            ModuleCatalog.Module(path: String($0.name.dropLast(7)), inputs: $0.shape[1], outputs: $0.shape[0])
        }
        let catalog = ModuleCatalog(modules: modules)
        for name in try subfolders(of: "\(sharedModels!)/\(model)/adapters") {
            let adapter = try AdapterCheckpoint(directory: "\(sharedModels!)/\(model)/adapters/\(name)", base: catalog)
            #expect(adapter.modules.count >= 6)
            _ = try LoadedAdapter(adapter)
        }
    }
}

extension TestTensor {
    var floats: [Float] {
        bytes.withUnsafeBytes { raw in (0..<raw.count / 4).map { Float(bitPattern: raw.loadUnaligned(fromByteOffset: $0 * 4, as: UInt32.self)) } }
    }
}
