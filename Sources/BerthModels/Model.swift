// A decoder of any supported family: layers in order, and nothing else.
//
// Built once from a checkpoint (everything is checked and packed there), then owned by the engine thread, which calls
// `forward` once per step. All memory that a step needs is allocated when the model is built.

import BerthCore
import BerthKernels
import BerthStore

/// A model in memory.
public final class Model: CausalModel {
    public let configuration: ModelConfiguration
    public let format: WeightFormat
    public let compute: Compute
    public let kvLayout: KVLayout
    public let maxRows: Int
    public let maxLogitRows: Int

    private let map: ModuleMap
    private let store: WeightStore
    private let scratch: Scratch
    private let embedding: Embedding
    private let layers: [DecoderLayer]
    private let head: LMHead
    private let rotary: [RotaryTable]
    private let provider: ProviderPlace

    /// The experts that are on disk; nil where all are in memory.
    public let expertImage: ExpertImage?

    public var vocabularySize: Int { configuration.vocabularySize }
    public var contextLength: Int { configuration.contextLength }
    public var endTokens: Set<Int32> { configuration.endTokens }
    /// What adapters may target.
    public var catalog: ModuleCatalog { map.catalog }

    /// How the weights came out of the cache; nil where they are not kept in one.
    public let weightOrigin: PreparedImage.Origin?
    /// Where every weight lies in `packedWeights`.
    public var weightPlan: WeightPlan { store.plan }
    /// The table that tokens are looked up in; for tests.
    var embeddingTable: EmbeddingTable { embedding.table }
    /// The packed weights, as long as the model lives.
    public var packedWeights: UnsafeRawBufferPointer { store.bytes }

    /// Rows of logits of a batch where nobody asks for another number: enough for as many requests decoding at once.
    public static func defaultLogitRows(maxRows: Int) -> Int { min(maxRows, 64) }

    /// Checks and packs a checkpoint. Throws what is wrong with it, by field or tensor.
    ///
    /// - Parameters:
    ///   - configuration: of this checkpoint, where it was read before.
    ///   - format: of the linear layers. f32 keeps adapters in f32 too; the others keep them in f16.
    ///   - kv: of the KV cache; nil is f32 with weights of f32, else f16.
    ///   - maxRows: the most rows that a batch will have.
    ///   - contextLimit: a context shorter than the checkpoint's, in tokens.
    ///   - cache: where packed weights are kept from start to start. Without one they are packed from the checkpoint.
    ///   - experts: where the experts are. Paged ones need a cache, and a provider before the first step: `setProvider`.
    public init(
        checkpoint: Checkpoint, configuration known: ModelConfiguration? = nil, format: WeightFormat, kv: KVElement? = nil, compute: Compute,
        maxRows: Int, maxLogitRows: Int? = nil, contextLimit: Int? = nil, cache: WeightCache? = nil, experts: ExpertPlacement = .resident
    ) throws(ModelError) {
        precondition(maxRows > 0)
        var configuration = if let known { known } else { try ModelConfiguration(checkpoint) }
        if let contextLimit { configuration.contextLength = min(configuration.contextLength, contextLimit) }
        self.configuration = configuration
        let names = TensorNames(configuration, tensors: Set(checkpoint.tensors.keys))
        let plan = WeightPlan(configuration, format: format, names: names)
        try plan.check(checkpoint, configuration)
        if case .paged(let io) = experts, configuration.largestExperts != nil {
            guard let cache else { throw ModelError(.weights, "experts on disk need a cache directory to lie in") }
            let image = try cache.image(plan, of: checkpoint, format: format, experts: experts, compute: compute)
            (store, weightOrigin) = (WeightStore(plan, image), image.origin)
            do throws(StoreError) {
                expertImage = try ExpertImage(plan, image, configuration, io: io)
            } catch {
                throw ModelError(.weights, "the experts cannot be read", cause: error)
            }
        } else if let cache, plan.bytes >= cache.leastBytes {
            let image = try cache.image(plan, of: checkpoint, format: format, compute: compute)
            (store, weightOrigin, expertImage) = (WeightStore(plan, image), image.origin, nil)
        } else {
            store = WeightStore(plan, packing: checkpoint, compute: compute)
            (weightOrigin, expertImage) = (nil, nil)
        }
        map = ModuleMap(configuration, names: names) { checkpoint.tensors[$0] }

        self.format = format
        self.compute = compute
        self.maxRows = maxRows
        self.maxLogitRows = maxLogitRows ?? Self.defaultLogitRows(maxRows: maxRows)
        kvLayout = KVLayout(configuration, element: kv ?? .standard(format), mostBytes: expertImage?.bytes ?? .max)
        scratch = Scratch(configuration, ScratchSize(configuration, maxRows: maxRows, maxLogitRows: self.maxLogitRows))
        rotary = configuration.ropes.map { [configuration] in RotaryTable($0, headDim: configuration.headDim) }
        embedding = Embedding(table: store.embeddingTable())
        let provider = ProviderPlace(expertImage == nil ? ResidentExperts(store, configuration, names: names) : nil)
        self.provider = provider
        layers = configuration.layers.indices.map { [store, configuration, map] index in
            DecoderLayer(store, configuration, names: names, provider: provider, layer: index, firstModule: map.layerStart[index])
        }
        let headName = configuration.tiesEmbeddings ? TensorNames.embedding : TensorNames.head
        head = LMHead(norm: RMSNorm(weight: store.vector(TensorNames.norm), epsilon: configuration.epsilon), weights: store.matrix(headName))
    }

    /// What a model of this configuration takes.
    public static func memoryPlan(
        configuration: ModelConfiguration, format: WeightFormat, kv: KVElement? = nil, maxRows: Int, maxLogitRows: Int? = nil, pagesExperts: Bool = false
    ) -> MemoryPlan {
        MemoryPlanner(configuration, format: format, kv: kv).plan(maxRows: maxRows, maxLogitRows: maxLogitRows, pagesExperts: pagesExperts)
    }

    public func setProvider(_ provider: any ExpertProvider) {
        precondition(expertImage != nil, "this model has its experts")
        self.provider.current = provider
    }

    /// How an adapter that was validated against `catalog` lies in memory.
    public func plan(_ adapter: AdapterCheckpoint) -> AdapterPlan { adapterPlanner(adapter) }

    /// `plan`, for threads that may not touch the model.
    public var adapterPlanner: @Sendable (AdapterCheckpoint) -> AdapterPlan {
        let (map, type): (ModuleMap, ElementType) = (map, format == .f32 ? .f32 : .f16)
        return { AdapterPlan($0, map: map, type: type) }
    }

    public func forward(_ batch: Batch) -> Rows {
        check(batch)
        let step = Step(batch, scratch: scratch, compute: compute, layout: kvLayout, rotary: rotary)
        let hidden = scratch.hidden.first(step.rows)
        embedding(batch.tokens, into: hidden, step)
        for (index, layer) in layers.enumerated() {
            layer(hidden, step, next: index + 1 < layers.count ? layers[index + 1].foresight : nil)
        }
        return head(hidden, batch, step)
    }

    /// The engine checks requests; a batch that breaks a bound is a bug in it.
    private func check(_ batch: Batch) {
        precondition(!batch.tokens.isEmpty && batch.tokens.count <= maxRows, "a batch of \(batch.tokens.count) rows, at most \(maxRows)")
        precondition(batch.logitRowCount <= maxLogitRows, "\(batch.logitRowCount) rows of logits, at most \(maxLogitRows)")
        precondition(batch.sequences.reduce(0) { $0 + $1.rowCount } == batch.tokens.count, "the sequences are not the batch's rows")
        for sequence in batch.sequences {
            let end = sequence.startPosition + sequence.rowCount
            precondition(sequence.rowCount > 0 && sequence.startPosition >= 0 && end <= contextLength, "a sequence of \(end) tokens")
            precondition(end <= sequence.pages.count * kvLayout.blockTokens, "\(sequence.pages.count) pages for \(end) tokens")
            precondition(0 <= sequence.logitRows.lowerBound && sequence.logitRows.upperBound <= sequence.rowCount)
        }
        let vocabulary = Int32(vocabularySize)
        precondition(batch.tokens.allSatisfy { $0 >= 0 && $0 < vocabulary }, "a token outside the vocabulary")
    }
}

/// One layer: attention and a feed-forward part, each on normalised rows and added to the residual.
struct DecoderLayer {
    private enum FeedForward {
        case dense(DenseMLP)
        case experts(MixtureOfExperts)
    }

    private let attentionNorm: RMSNorm, feedForwardNorm: RMSNorm
    private let attention: Attention
    private let feedForward: FeedForward

    init(_ store: WeightStore, _ c: ModelConfiguration, names: TensorNames, provider: ProviderPlace, layer: Int, firstModule: Int) {
        typealias Offset = ModuleMap.Offset
        let path = TensorNames.layer(layer)
        attentionNorm = RMSNorm(weight: store.vector(path + ".input_layernorm"), epsilon: c.epsilon)
        feedForwardNorm = RMSNorm(weight: store.vector(path + ".post_attention_layernorm"), epsilon: c.epsilon)
        attention = Attention(store, c, layer: layer, firstModule: firstModule)
        switch c.layers[layer].feedForward {
        case .dense(let width):
            feedForward = .dense(
                DenseMLP(
                    store, path + ".mlp", hiddenSize: c.hiddenSize, width: width, gate: firstModule + Offset.gate, up: firstModule + Offset.up,
                    down: firstModule + Offset.down))
        case .experts(let experts):
            feedForward = .experts(
                MixtureOfExperts(store, c, experts, names: names.experts[layer], provider: provider, layer: layer, firstModule: firstModule))
        }
    }

    /// What the layer before may ask about this one.
    var foresight: Foresight? {
        guard case .experts(let mixture) = feedForward else { return nil }
        return Foresight(norm: feedForwardNorm, mixture: mixture)
    }

    func callAsFunction(_ hidden: Rows, _ step: Step, next: Foresight?) {
        let x = step.scratch.normalized.first(step.rows)
        attentionNorm(hidden, into: x, step.compute)
        attention(x, addingTo: hidden, step)
        feedForwardNorm(hidden, into: x, step.compute)
        switch feedForward {
        case .dense(let mlp): mlp(x, into: hidden, accumulate: true, step)
        case .experts(let mixture): mixture(x, addingTo: hidden, step, next: next)
        }
    }
}
