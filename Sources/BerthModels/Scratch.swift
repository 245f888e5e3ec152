// The memory of a forward pass: every buffer that layers write, allocated once for the largest batch.
//
// The sizes follow from the configuration, so that the daemon knows them before it starts. Layers run one after another and
// hand results on through these buffers only; each is written before it is read within a step, and nothing in them
// survives one.

import BerthCore
import BerthKernels

/// Sizes of the buffers, in rows.
struct ScratchSize {
    let rows: Int
    let logitRows: Int
    /// Rows that pass attention and dense projections at once.
    let partRows: Int
    /// Places of experts' rows that are in the projections at once.
    let portionRows: Int

    init(_ c: ModelConfiguration, maxRows: Int, maxLogitRows: Int, partRows: Int? = nil) {
        rows = maxRows
        logitRows = maxLogitRows
        self.partRows = min(maxRows, partRows ?? maxRows)
        let chosen = c.largestExperts?.chosen ?? 0
        portionRows = min(maxRows * chosen, max(2 * self.partRows, 64))
    }
}

/// The buffers of one model.
final class Scratch {
    /// The rows between layers.
    let hidden: Rows
    let normalized: Rows
    let qkv: Rows
    let attended: Rows
    /// gate|up of dense, shared and chosen experts.
    let gateUp: Rows
    let logitHidden: Rows
    let logits: Rows
    /// Sine and cosine of every row, per rotary embedding.
    let angles: [UnsafeMutablePointer<Float>]
    let embeddingRanks: UnsafeMutablePointer<Float>

    // Mixtures of experts.
    let portionRows: Int
    let partRows: Int
    let routerLogits: Rows
    let portion: Rows
    /// `[rows · chosen]`
    let expertOutput: Rows
    let sharedOutput: Rows
    let chosenExperts: UnsafeMutablePointer<Int32>
    let chosenWeights: UnsafeMutablePointer<Float>
    let places: UnsafeMutablePointer<Int32>
    let rowAtPlace: UnsafeMutablePointer<Int32>
    let expertStarts: UnsafeMutablePointer<Int32>
    /// What the next layer will choose: see Foresight.
    let foreseenRows: Rows
    let foreseenLogits: Rows
    let foreseenExperts: UnsafeMutablePointer<Int32>
    let foreseenWeights: UnsafeMutablePointer<Float>

    /// Activations in the form of some weight format; valid until the next `prepare`.
    let prepared: PreparedRows
    /// Nil where somebody else keeps the memory.
    private let memory: AlignedBuffer?

    convenience init(_ c: ModelConfiguration, _ size: ScratchSize) {
        let memory = AlignedBuffer(bytes: Self.bytes(c, size))
        self.init(c, size, at: memory.base, memory, PreparedRows())
    }

    /// Everything in memory of the caller's, `bytes + preparedBytes` of it, which lives longer.
    convenience init(_ c: ModelConfiguration, _ size: ScratchSize, at base: UnsafeMutableRawPointer) {
        let bytes = Self.bytes(c, size), rows = size.preparedRows
        let values = UnsafeMutableRawBufferPointer(start: base + bytes, count: rows * PreparedRows.mostBytes(columns: c.widestInput))
        let adapters = UnsafeMutableRawBufferPointer(start: values.baseAddress! + values.count, count: Self.preparedBytes(c, size) - values.count)
        self.init(c, size, at: base, nil, PreparedRows(values: values, adapters: adapters))
    }

    private init(_ c: ModelConfiguration, _ size: ScratchSize, at base: UnsafeMutableRawPointer, _ memory: AlignedBuffer?, _ prepared: PreparedRows) {
        self.memory = memory
        self.prepared = prepared
        var arena = Arena(base: base)
        let experts = c.largestExperts
        let choices = size.rows * (experts?.chosen ?? 0)
        hidden = arena.rows(size.rows, c.hiddenSize)
        normalized = arena.rows(size.rows, c.hiddenSize)
        qkv = arena.rows(size.partRows, c.qkvWidth)
        attended = arena.rows(size.partRows, c.queryWidth)
        gateUp = arena.rows(max(size.partRows, size.portionRows), 2 * c.largestIntermediateSize)
        logitHidden = arena.rows(size.logitRows, c.hiddenSize)
        logits = arena.rows(size.logitRows, c.vocabularySize)
        angles = c.ropes.map { _ in arena.take(Float.self, size.rows * c.headDim) }
        embeddingRanks = arena.take(Float.self, size.rows * Limits.adapterRank)
        portionRows = size.portionRows
        partRows = size.partRows
        routerLogits = arena.rows(experts == nil ? 0 : size.rows, (experts?.count ?? 0) + 1)
        portion = arena.rows(size.portionRows, c.hiddenSize)
        expertOutput = arena.rows(choices, c.hiddenSize)
        sharedOutput = arena.rows(experts?.sharedIntermediateSize == nil ? 0 : size.rows, c.hiddenSize)
        chosenExperts = arena.take(Int32.self, choices)
        chosenWeights = arena.take(Float.self, choices)
        places = arena.take(Int32.self, choices)
        rowAtPlace = arena.take(Int32.self, choices)
        expertStarts = arena.take(Int32.self, (experts?.count ?? 0) + 1)
        let foreseen = experts == nil ? 0 : min(size.rows, Foresight.mostRows)
        foreseenRows = arena.rows(foreseen, c.hiddenSize)
        foreseenLogits = arena.rows(foreseen, (experts?.count ?? 0) + 1)
        foreseenExperts = arena.take(Int32.self, foreseen * (experts?.chosen ?? 0))
        foreseenWeights = arena.take(Float.self, foreseen * (experts?.chosen ?? 0))
        precondition(arena.bytes <= Self.bytes(c, size))
    }

    /// Bytes of all buffers.
    static func bytes(_ c: ModelConfiguration, _ size: ScratchSize) -> Int {
        let experts = c.largestExperts
        let choices = size.rows * (experts?.chosen ?? 0)
        var floats = size.rows * 2 * c.hiddenSize + size.partRows * (c.qkvWidth + c.queryWidth)
        floats += max(size.partRows, size.portionRows) * 2 * c.largestIntermediateSize
        floats += size.logitRows * (c.hiddenSize + c.vocabularySize)
        floats += size.rows * (c.headDim * c.ropes.count + Limits.adapterRank)
        if let experts {
            floats += size.rows * (experts.count + 1) + (size.portionRows + choices) * c.hiddenSize + 4 * choices + experts.count + 1
            floats += min(size.rows, Foresight.mostRows) * (c.hiddenSize + experts.count + 1 + 2 * experts.chosen)
            if experts.sharedIntermediateSize != nil { floats += size.rows * c.hiddenSize }
        }
        return floats * 4 + 32 * 64  // every buffer starts on a line
    }

    /// Bytes that `prepared` grows to, at most: rows, and what the adapters of as many as three stacked parts (q, k, v) make of them.
    static func preparedBytes(_ c: ModelConfiguration, _ size: ScratchSize) -> Int {
        size.preparedRows * (PreparedRows.mostBytes(columns: c.widestInput) + 3 * Limits.adapterRank * 4)
    }
}

extension ScratchSize {
    fileprivate var preparedRows: Int { max(rows, portionRows, logitRows) }
}

extension ModelConfiguration {
    /// Columns of the widest rows that enter a projection.
    fileprivate var widestInput: Int { max(hiddenSize, queryWidth, largestIntermediateSize) }
}

/// Hands out pieces of a buffer, each on a line of its own.
private struct Arena {
    let base: UnsafeMutableRawPointer
    var bytes = 0

    mutating func take<Element>(_ type: Element.Type, _ count: Int) -> UnsafeMutablePointer<Element> {
        let start = base + bytes
        bytes += (count * MemoryLayout<Element>.stride + 63) / 64 * 64
        return start.bindMemory(to: type, capacity: count)
    }

    mutating func rows(_ count: Int, _ columns: Int) -> Rows {
        Rows(base: take(Float.self, count * columns), count: count, columns: columns)
    }
}

extension ModelConfiguration {
    /// The mixture whose scratch fits all layers' mixtures; all layers of a model have the same one.
    var largestExperts: Experts? {
        for layer in layers {
            if case .experts(let experts) = layer.feedForward { return experts }
        }
        return nil
    }

    var largestIntermediateSize: Int {
        layers.map { layer in
            switch layer.feedForward {
            case .dense(let width): width
            case .experts(let experts): max(experts.intermediateSize, experts.sharedIntermediateSize ?? 0)
            }
        }.max() ?? 0
    }
}
