// From the tensors of an adapter's file to adapted modules: pairing, shapes, ranks.

import BerthCore

/// Collects the tensors of one adapter and checks them against the base. Used once, by AdapterCheckpoint's initialiser.
struct AdapterAssembly {
    private struct Place: Hashable {
        let path: String, depth: Int, isEmbedding: Bool
    }
    /// A factor and the name of its tensor.
    private struct Named {
        let tensor: String
        let factor: AdapterFactor
    }
    private struct Pair {
        var a: Named?, b: Named?
    }

    private let configuration: AdapterConfiguration
    private let base: ModuleCatalog
    private let ranks: ModulePatterns<Int>
    private let alphas: ModulePatterns<Double>
    private var pairs: [Place: Pair] = [:]
    private var copies: [AdapterCheckpoint.BaseCopy] = []

    init(configuration: AdapterConfiguration, base: ModuleCatalog) throws(AdapterRejection) {
        self.configuration = configuration
        self.base = base
        ranks = try ModulePatterns(configuration.rankPattern, field: "rank_pattern")
        alphas = try ModulePatterns(configuration.alphaPattern, field: "alpha_pattern")
    }

    // MARK: tensors in

    mutating func add(_ entry: SafetensorsHeader.Entry, index: Int) throws(AdapterRejection) {
        let name = try AdapterTensorName(parsing: entry.name)
        func refuse(_ reason: String) -> AdapterRejection { AdapterRejection(entry.name, "tensor '\(entry.name)' \(reason)") }
        guard let type = entry.type else { throw refuse("has dtype \(entry.dtype), which is not supported") }
        if name.role == .weight { return try addCopy(name, entry, index: index) }

        guard entry.shape.count == 2 else { throw refuse("has shape \(entry.shape), not two dimensions") }
        let factor = AdapterFactor(
            type: type, rows: entry.shape[0], columns: entry.shape[1], offset: 0, rowStride: entry.shape[1], columnStride: 1, entry: index,
            range: entry.range)
        let isEmbedding = name.role == .embeddingA || name.role == .embeddingB
        let place = Place(path: name.path, depth: name.depth, isEmbedding: isEmbedding)
        let side: WritableKeyPath<Pair, Named?> = name.role == .a || name.role == .embeddingA ? \.a : \.b
        guard pairs[place, default: Pair()][keyPath: side] == nil else {
            throw refuse("is a second \(name.role.rawValue) of '\(name.path)': the file holds two adapters")
        }
        pairs[place, default: Pair()][keyPath: side] = Named(tensor: entry.name, factor: factor)
    }

    /// PEFT saves the base weight beside an adapter of the embedding or the head, and new rows when the vocabulary grew.
    private mutating func addCopy(_ name: AdapterTensorName, _ entry: SafetensorsHeader.Entry, index: Int) throws(AdapterRejection) {
        guard let module = base.module(at: name.path), module.kind != .linear else {
            throw AdapterRejection(
                entry.name, "tensor '\(entry.name)' is a full weight, not a LoRA factor (modules_to_save), which is not supported")
        }
        let shape = module.kind == .embedding ? [module.inputs, module.outputs] : [module.outputs, module.inputs]
        guard entry.shape == shape else {
            throw AdapterRejection(
                entry.name, "tensor '\(entry.name)' has shape \(entry.shape), the base \(shape): an adapter with another vocabulary is not supported")
        }
        copies.append(AdapterCheckpoint.BaseCopy(entry: index, type: entry.type!, range: entry.range, weight: module.weight))
    }

    // MARK: modules out

    consuming func finish() throws(AdapterRejection) -> ([AdapterModule], [AdapterCheckpoint.BaseCopy]) {
        var modules: [String: AdapterModule] = [:]
        for place in pairs.keys.sorted(by: { ($0.path, $0.depth) < ($1.path, $1.depth) }) {
            let (a, b) = try complete(place)
            for module in try adapted(place, a, b) {
                guard modules.updateValue(module, forKey: module.path) == nil else {
                    throw AdapterRejection(a.tensor, "tensor '\(a.tensor)' adapts '\(module.path)', which another tensor of the file adapts too")
                }
            }
        }
        guard !modules.isEmpty else { throw AdapterRejection("target_modules", "the adapter matches no module of the base model: it holds no LoRA tensors") }
        if configuration.tiesEmbeddings {
            let kinds = Set(modules.values.map(\.kind))
            guard kinds.contains(.embedding) == kinds.contains(.head) else {
                throw AdapterRejection("ensure_weight_tying", "ensure_weight_tying is set, but only one of embedding and head is in the file")
            }
        }
        return (modules.values.sorted { $0.path < $1.path }, copies)
    }

    private func complete(_ place: Place) throws(AdapterRejection) -> (Named, Named) {
        let pair = pairs[place]!
        guard let a = pair.a else { throw AdapterRejection(pair.b!.tensor, "tensor '\(pair.b!.tensor)' has no lora_A beside it") }
        guard let b = pair.b else { throw AdapterRejection(a.tensor, "tensor '\(a.tensor)' has no lora_B beside it") }
        return (a, b)
    }

    private func adapted(_ place: Place, _ a: Named, _ b: Named) throws(AdapterRejection) -> [AdapterModule] {
        if let group = base.experts[place.path], !place.isEmbedding { return try fused(group, place, a, b) }
        guard place.depth == 0, let module = base.module(at: place.path) else {
            throw AdapterRejection(a.tensor, "tensor '\(a.tensor)' matches no module of the base model")
        }
        guard place.isEmbedding == (module.kind == .embedding) else {
            throw AdapterRejection(a.tensor, "tensor '\(a.tensor)' does not fit '\(module.path)', which is \(module.kind == .embedding ? "an embedding" : "no embedding")")
        }
        let (rank, scale) = try rankAndScale(of: place.path)
        guard a.factor.rows == rank, b.factor.columns == rank else { throw wrongRank(a, b, found: a.factor.rows == rank ? b.factor.columns : a.factor.rows, expected: rank) }
        guard a.factor.columns == module.inputs else { throw wrongShape(a, module, "\(a.factor.columns) columns", module.inputs, isVocabulary: module.kind == .embedding) }
        guard b.factor.rows == module.outputs else { throw wrongShape(b, module, "\(b.factor.rows) rows", module.outputs, isVocabulary: module.kind == .head) }
        return [AdapterModule(
            path: module.path, kind: module.kind, inputs: module.inputs, outputs: module.outputs, rank: rank, scale: scale, a: a.factor, b: b.factor)]
    }

    private func fused(
        _ group: ModuleCatalog.ExpertGroup, _ place: Place, _ a: Named, _ b: Named
    ) throws(AdapterRejection) -> [AdapterModule] {
        let experts = FusedExperts(group: group, path: place.path, a: a.factor, b: b.factor, tensor: a.tensor)
        let (parameter, swapped) = try experts.parameter(configuration)
        let (rank, scale) = try rankAndScale(of: "\(place.path).\(parameter.rawValue)")
        let (total, overflow) = rank.multipliedReportingOverflow(by: group.count)
        guard !overflow, a.factor.rows == total, b.factor.columns == total else {
            throw AdapterRejection(
                a.tensor,
                "tensor '\(a.tensor)' [\(a.factor.rows), \(a.factor.columns)] with lora_B [\(b.factor.rows), \(b.factor.columns)] is not of \(group.count) experts with rank \(rank), as r and rank_pattern say")
        }
        return experts.modules(parameter, swapped: swapped, rank: rank, scale: scale)
    }

    private func rankAndScale(of path: String) throws(AdapterRejection) -> (Int, Float) {
        let rank = try ranks.value(for: path) ?? configuration.rank
        let alpha = try alphas.value(for: path) ?? configuration.alpha
        return (rank, Float(alpha / (configuration.usesRankStabilisation ? Double(rank).squareRoot() : Double(rank))))
    }

    // MARK: messages

    private func wrongRank(_ a: Named, _ b: Named, found: Int, expected: Int) -> AdapterRejection {
        let tensor = a.factor.rows == expected ? b.tensor : a.tensor
        if a.factor.rows != b.factor.columns {
            return AdapterRejection(tensor, "tensor '\(a.tensor)' has rank \(a.factor.rows), but its lora_B has rank \(b.factor.columns)")
        }
        return AdapterRejection(tensor, "tensor '\(tensor)' has rank \(found), but r and rank_pattern say \(expected)")
    }

    private func wrongShape(_ factor: Named, _ module: ModuleCatalog.Module, _ found: String, _ expected: Int, isVocabulary: Bool) -> AdapterRejection {
        AdapterRejection(
            factor.tensor,
            "tensor '\(factor.tensor)' has \(found), but '\(module.path)' of the base has \(expected)"
                + (isVocabulary ? ": an adapter with another vocabulary is not supported" : ""))
    }
}
