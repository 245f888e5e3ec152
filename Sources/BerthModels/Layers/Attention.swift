// Grouped-query attention over pages of keys and values.

import BerthKernels

/// The attention of one layer: project, normalise, rotate, store, attend, project back.
struct Attention {
    private let index: Int
    private let qkv: Linear
    private let output: Linear
    private let queryNorm: RMSNorm?, keyNorm: RMSNorm?
    private let normKind: ModelConfiguration.QueryKeyNorm
    private let clip: Float?
    private let window: Int?
    private let rope: Int
    private let headCount: Int, kvHeadCount: Int, headDim: Int
    private let scale: Float

    init(_ store: WeightStore, _ c: ModelConfiguration, layer: Int, firstModule: Int) {
        typealias Offset = ModuleMap.Offset
        let path = TensorNames.layer(layer) + ".self_attn"
        index = layer
        qkv = Linear(
            store, path + ".qkv_proj", modules: [Offset.query, Offset.key, Offset.value].map { firstModule + $0 },
            widths: [c.queryWidth, c.kvWidth, c.kvWidth])
        output = Linear(store, path + ".o_proj", modules: [firstModule + Offset.output], widths: [c.hiddenSize])
        normKind = c.queryKeyNorm
        queryNorm = store.vectorIfPresent(path + ".q_norm").map { RMSNorm(weight: $0, epsilon: c.epsilon) }
        keyNorm = store.vectorIfPresent(path + ".k_norm").map { RMSNorm(weight: $0, epsilon: c.epsilon) }
        clip = c.clipQKV
        window = c.layers[layer].window
        rope = c.layers[layer].rope
        (headCount, kvHeadCount, headDim) = (c.headCount, c.kvHeadCount, c.headDim)
        scale = c.attentionScale
    }

    /// Adds the attention of the normalised rows `x` to `residual`.
    func callAsFunction(_ x: Rows, addingTo residual: Rows, _ step: Step) {
        let compute = step.compute
        let projected = step.scratch.qkv.first(step.rows)
        let queryEnd = headCount * headDim, keyEnd = queryEnd + kvHeadCount * headDim
        let queries = projected.columns(0..<queryEnd)
        let keys = projected.columns(queryEnd..<keyEnd)
        let values = projected.columns(keyEnd..<projected.columns)

        qkv(x, into: projected, step)
        switch normKind {
        case .none: break
        case .head:
            queryNorm!.normalizeHeads(queries, heads: headCount, headDim: headDim, compute)
            keyNorm!.normalizeHeads(keys, heads: kvHeadCount, headDim: headDim, compute)
        case .projection:
            queryNorm!(queries, into: queries, compute)
            keyNorm!(keys, into: keys, compute)
        }
        if let clip { projected.clamp(to: clip, compute) }
        let angles = step.angles[rope]
        compute.rope(queries, heads: headCount, headDim: headDim, cos: angles.cosines, sin: angles.sines)
        compute.rope(keys, heads: kvHeadCount, headDim: headDim, cos: angles.cosines, sin: angles.sines)

        compute.storeKV(keys: keys, values: values, sequences: step.sequences, layout: step.layout, layer: index)
        let attended = step.scratch.attended.first(step.rows)
        compute.attention(
            queries: queries, sequences: step.sequences, layout: step.layout, layer: index, window: window, scale: scale, into: attended)
        output(attended, into: residual, step, accumulate: true)
    }
}

extension Rows {
    func first(_ count: Int) -> Rows { rows(0..<count) }

    /// Limits every value to ± `bound`.
    func clamp(to bound: Float, _ compute: Compute) {
        compute.parallel(count) { row in
            let values = self[row]
            for column in 0..<columns { values[column] = min(max(values[column], -bound), bound) }
        }
    }
}
