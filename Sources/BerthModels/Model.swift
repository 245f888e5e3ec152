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
    let embedding: Embedding
    let layers: [DecoderLayer]
    let head: LMHead
    let rotary: [RotaryTable]
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
        let pass = beginStep(batch)
        while pass.advance() {}
        return pass.logits!
    }

    public func beginStep(_ batch: Batch) -> any InterruptiblePass {
        check(batch, maxRows: maxRows, maxLogitRows: maxLogitRows)
        return ForwardPass(self, batch, scratch)
    }

    public func waveBytes(_ size: WaveSize) -> Int? {
        let scratch = ScratchSize(configuration, size)
        return Scratch.bytes(configuration, scratch) + Scratch.preparedBytes(configuration, scratch)
    }

    public func beginWave(_ batch: Batch, _ size: WaveSize, in memory: UnsafeMutableRawPointer) -> any InterruptiblePass {
        check(batch, maxRows: size.rows, maxLogitRows: size.logitRows)
        return ForwardPass(self, batch, Scratch(configuration, ScratchSize(configuration, size), at: memory))
    }

    /// The engine checks requests; a batch that breaks a bound is a bug in it.
    private func check(_ batch: Batch, maxRows: Int, maxLogitRows: Int) {
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
