// The way of a batch through the model, which may be left after each module and taken up again.
//
// An ordinary step goes through in one scratch, mostly without a stop. A *wave*, a step over hundreds of sequences that nobody waits for, has a scratch of its own and is
// advanced piece by piece (module-based batching, after MoE-Gen, Xu et al. 2025): attention and dense projections in parts of bounded size,
// each expert once over all rows, and between any two pieces the engine may run another step on the same model. Rows do not depend on
// how they are cut, so a wave's tokens are those of any other step.

import BerthKernels

/// How large a wave may be.
public struct WaveSize: Sendable, Equatable {
    /// Rows of all sequences together.
    public var rows: Int
    public var logitRows: Int
    /// Rows that pass attention and dense projections at once.
    public var partRows: Int

    public init(rows: Int, logitRows: Int, partRows: Int) {
        self.rows = rows
        self.logitRows = logitRows
        self.partRows = partRows
    }
}

extension ScratchSize {
    init(_ c: ModelConfiguration, _ size: WaveSize) {
        self.init(c, maxRows: size.rows, maxLogitRows: size.logitRows, partRows: size.partRows)
    }
}

/// A batch on its way.
public protocol InterruptiblePass: AnyObject {
    /// Computes the next piece; true while there are more.
    func advance() -> Bool
    /// As of `CausalModel.forward`, once nothing is left to advance; valid until another pass begins in the same memory.
    var logits: Rows? { get }
}

/// A pass that cannot be left in the middle, in the memory of ordinary steps.
public final class WholePass: InterruptiblePass {
    private let model: any CausalModel
    private let batch: Batch
    public private(set) var logits: Rows?

    public init(_ model: any CausalModel, _ batch: Batch) {
        self.model = model
        self.batch = batch
    }

    public func advance() -> Bool {
        if logits == nil { logits = model.forward(batch) }
        return false
    }
}

extension CausalModel {
    public func beginStep(_ batch: Batch) -> any InterruptiblePass { WholePass(self, batch) }

    public func waveBytes(_ size: WaveSize) -> Int? { nil }

    public func beginWave(_ batch: Batch, _ size: WaveSize, in memory: UnsafeMutableRawPointer) -> any InterruptiblePass { WholePass(self, batch) }
}

final class ForwardPass: InterruptiblePass {
    private enum Place {
        case embedding
        case attention(layer: Int, piece: Int)
        /// Dense layers by pieces, mixtures as a whole first.
        case feedForward(layer: Int, piece: Int)
        case mixture(layer: Int, MixtureOfExperts, MixtureOfExperts.Passage)
        case head
        case done
    }

    private let model: Model
    private let batch: Batch
    private let step: Step
    private let pieces: [Step.Part]
    private let hidden: Rows
    private var place = Place.embedding
    private(set) var logits: Rows?

    init(_ model: Model, _ batch: Batch, _ scratch: Scratch) {
        self.model = model
        self.batch = batch
        step = Step(batch, scratch: scratch, compute: model.compute, layout: model.kvLayout, rotary: model.rotary)
        pieces = step.pieces
        hidden = scratch.hidden.first(step.rows)
    }

    func advance() -> Bool {
        let layers = model.layers
        switch place {
        case .embedding:
            model.embedding(batch.tokens, into: hidden, step)
            place = layers.isEmpty ? .head : .attention(layer: 0, piece: 0)
        case .attention(let layer, let piece):
            layers[layer].attend(hidden.rows(pieces[piece].rows), pieces[piece].step)
            place = piece + 1 < pieces.count ? .attention(layer: layer, piece: piece + 1) : .feedForward(layer: layer, piece: 0)
        case .feedForward(let layer, let piece):
            if let mixture = layers[layer].mixture {
                let next = layer + 1 < layers.count ? layers[layer + 1].foresight : nil
                place = .mixture(layer: layer, mixture, layers[layer].beginMixture(mixture, hidden, step, next: next))
            } else {
                layers[layer].feed(hidden.rows(pieces[piece].rows), pieces[piece].step)
                place = piece + 1 < pieces.count ? .feedForward(layer: layer, piece: piece + 1) : after(layer)
            }
        case .mixture(let layer, let mixture, var passage):
            place = mixture.advance(&passage, step) ? .mixture(layer: layer, mixture, passage) : after(layer)
        case .head:
            logits = model.head(hidden, batch, step)
            place = .done
        case .done: break
        }
        if case .done = place { return false }
        return true
    }

    private func after(_ layer: Int) -> Place { layer + 1 < model.layers.count ? .attention(layer: layer + 1, piece: 0) : .head }
}
