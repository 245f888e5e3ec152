// One layer of a decoder: attention and a feed-forward part.

import BerthKernels

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
        guard let mixture else { return nil }
        return Foresight(norm: feedForwardNorm, mixture: mixture)
    }

    /// Adds the attention of `hidden`, whose rows are those of `step`.
    func attend(_ hidden: Rows, _ step: Step) {
        let x = step.scratch.normalized.first(step.rows)
        attentionNorm(hidden, into: x, step.compute)
        attention(x, addingTo: hidden, step)
    }

    var mixture: MixtureOfExperts? {
        if case .experts(let mixture) = feedForward { mixture } else { nil }
    }

    /// Adds the feed-forward part of a dense layer.
    func feed(_ hidden: Rows, _ step: Step) {
        guard case .dense(let mlp) = feedForward else { preconditionFailure("a mixture is passed step by step") }
        let x = step.scratch.normalized.first(step.rows)
        feedForwardNorm(hidden, into: x, step.compute)
        mlp(x, into: hidden, accumulate: true, step)
    }

    /// Begins the feed-forward part of a layer with a mixture.
    func beginMixture(_ mixture: MixtureOfExperts, _ hidden: Rows, _ step: Step, next: Foresight?) -> MixtureOfExperts.Passage {
        let x = step.scratch.normalized.first(step.rows)
        feedForwardNorm(hidden, into: x, step.compute)
        return mixture.begin(x, addingTo: hidden, step, next: next)
    }
}
