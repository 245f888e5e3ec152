// What a model will take, before any of it is taken.

import BerthCore
import BerthKernels

/// Bytes that a model needs beside the pool.
public struct MemoryPlan: Sendable, Equatable {
    /// Packed weights without experts.
    public let denseBytes: Int
    /// Packed weights of all experts.
    public let expertBytes: Int
    /// Activations and logits, for the largest batch.
    public let scratchBytes: Int
    /// Bytes of a page of the KV cache before the pool's rounding, and how many tokens it holds.
    public let pageBytes: Int
    public let blockTokens: Int
    /// Nil for dense models.
    public let expert: ExpertNeeds?

    public var weightBytes: Int { denseBytes + expertBytes }
    public var bytes: Int { weightBytes + scratchBytes }

    /// A pool page: the KV block's, rounded up, and where experts are paged the size that wastes least of a KV block among those that waste at most
    /// 3 % of an expert's pages. `pagesExperts` says that they are.
    public func poolPageBytes(pagesExperts: Bool) -> Int {
        Self.pageBytes(block: pageBytes, expert: pagesExperts ? expert?.bytes : nil)
    }

    /// `block` and `expert` are bytes.
    public static func pageBytes(block: Int, expert: Int?) -> Int {
        let block = WeightPlan.padded(block)
        guard let expert, expert > block else { return block }
        // The expert cut into n equal parts; more parts come closer to the block.
        let sizes = (1...expert / block).map { WeightPlan.padded((expert + $0 - 1) / $0) }
        func padding(_ size: Int) -> Double { 1 - Double(expert) / Double((expert + size - 1) / size * size) }
        return sizes.filter { padding($0) <= 0.03 }.min() ?? expert
    }
}

/// What a model will take in several arrangements. The list of its weights, which is the long part of the answer, is made once.
public struct MemoryPlanner: Sendable {
    private let configuration: ModelConfiguration
    private let element: KVElement
    private let denseBytes: Int, weightBytes: Int
    private let expert: ExpertNeeds?

    public init(_ configuration: ModelConfiguration, format: WeightFormat, kv: KVElement? = nil) {
        let plan = WeightPlan(configuration, format: format, names: TensorNames(configuration, tensors: []))
        self.configuration = configuration
        element = kv ?? .standard(format)
        (denseBytes, weightBytes) = (plan.denseBytes, plan.bytes)
        expert = ExpertNeeds(plan, configuration)
    }

    public func plan(maxRows: Int, maxLogitRows: Int? = nil, pagesExperts: Bool = false) -> MemoryPlan {
        let size = ScratchSize(configuration, maxRows: maxRows, maxLogitRows: maxLogitRows ?? Model.defaultLogitRows(maxRows: maxRows))
        let layout = KVLayout(configuration, element: element, mostBytes: pagesExperts ? expert?.bytes ?? .max : .max)
        return MemoryPlan(
            denseBytes: denseBytes, expertBytes: weightBytes - denseBytes,
            scratchBytes: Scratch.bytes(configuration, size) + Scratch.preparedBytes(configuration, size),
            pageBytes: layout.pageBytes, blockTokens: layout.blockTokens, expert: expert)
    }
}

/// What experts take, where they are paged.
public struct ExpertNeeds: Sendable, Equatable {
    /// One expert, a multiple of 4096.
    public let bytes: Int
    public let count: Int
    /// Choices of one row in one layer.
    public let chosen: Int

    /// Pages that one expert takes.
    public func pages(of pageBytes: Int) -> Int { (bytes + pageBytes - 1) / pageBytes }

    init?(_ plan: WeightPlan, _ c: ModelConfiguration) {
        guard let experts = c.largestExperts, let first = plan.extents.firstIndex(where: { $0.expert != nil }) else { return nil }
        bytes = WeightPlan.padded(plan.extents[first].bytes) + WeightPlan.padded(plan.extents[first + 1].bytes)
        count = Set(plan.extents.compactMap(\.expert)).count
        chosen = experts.chosen
    }
}

extension KVElement {
    /// What the cache holds where nobody asks for another: f32 beside f32 weights, so that those are exact throughout, else f16, whose three
    /// more bits than bf16's keep near-ties of an MoE router where they were.
    static func standard(_ format: WeightFormat) -> KVElement { format == .f32 ? .f32 : .f16 }
}

extension KVLayout {
    /// A page should be worth a lease, but not so large that the last, half-filled one of every sequence wastes much.
    private static let wantedPageBytes = 64 << 10
    private static let blockTokenBounds = (least: 16, most: 256)

    /// The layout for a model: the smallest power of two of tokens whose page has 64 KiB, or the largest that is not above `mostBytes`.
    init(_ c: ModelConfiguration, element: KVElement, mostBytes: Int = .max) {
        func layout(_ tokens: Int) -> KVLayout {
            KVLayout(layers: c.layers.count, kvHeads: c.kvHeadCount, headDim: c.headDim, blockTokens: tokens, element: element)
        }
        var tokens = Self.blockTokenBounds.least
        while tokens < Self.blockTokenBounds.most, layout(tokens).pageBytes < Self.wantedPageBytes, layout(2 * tokens).pageBytes <= mostBytes { tokens *= 2 }
        self = layout(tokens)
    }
}
