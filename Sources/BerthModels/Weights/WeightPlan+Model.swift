// The extents of a decoder, from its configuration. The only place that says which tensors a model has.

import BerthCore
import BerthKernels

/// How the parts of a model are held when its linear layers are in some format.
struct WeightFormats {
    let linear: WeightFormat
    /// Embeddings and head: 4 bits there cost more accuracy than they save memory.
    var vocabulary: WeightFormat { linear == .int4 ? .int8 : linear }
    /// Whether rows of the embedding are looked up with more bits than its matrix has.
    var hasEmbeddingResiduals: Bool { vocabulary == .int8 }
    /// Routers: a rounded router chooses other experts.
    let router = WeightFormat.f32

    init(_ linear: WeightFormat) { self.linear = linear }
}

extension WeightPlan {
    /// The weights of a model in `format`, whose tensors are called `names`.
    init(_ configuration: ModelConfiguration, format: WeightFormat, names: TensorNames) {
        let c = configuration
        let formats = WeightFormats(format)
        self.init()
        let embeddings = [WeightSource.matrix(names.embeddingTensor, c.vocabularySize, c.hiddenSize)]
        matrix(TensorNames.embedding, inputs: c.hiddenSize, formats.vocabulary, embeddings)
        if formats.hasEmbeddingResiduals { residuals(TensorNames.embeddingResiduals, columns: c.hiddenSize, embeddings) }
        if !c.tiesEmbeddings {
            matrix(TensorNames.head, inputs: c.hiddenSize, formats.vocabulary, [.matrix(TensorNames.head + ".weight", c.vocabularySize, c.hiddenSize)])
        }
        vector(TensorNames.norm, [.vector(TensorNames.norm + ".weight", c.hiddenSize)])
        for (index, layer) in c.layers.enumerated() {
            addAttention(TensorNames.layer(index), c, formats)
            switch layer.feedForward {
            case .dense(let width): addMLP(TensorNames.layer(index) + ".mlp", c, width: width, formats)
            case .experts(let experts): addRouter(names.experts[index], c, experts, formats)
            }
        }
        // Experts come last, so that what is always resident is one run.
        for (index, layer) in c.layers.enumerated() {
            if case .experts(let experts) = layer.feedForward {
                addExperts(names.experts[index], layer: index, c, experts, formats)
            }
        }
    }

    private mutating func addAttention(_ layer: String, _ c: ModelConfiguration, _ formats: WeightFormats) {
        let attention = layer + ".self_attn"
        let projections = [("q_proj", c.queryWidth), ("k_proj", c.kvWidth), ("v_proj", c.kvWidth)]
        vector(layer + ".input_layernorm", [.vector(layer + ".input_layernorm.weight", c.hiddenSize)])
        vector(layer + ".post_attention_layernorm", [.vector(layer + ".post_attention_layernorm.weight", c.hiddenSize)])
        matrix(
            attention + ".qkv_proj", inputs: c.hiddenSize, formats.linear,
            projections.map { .matrix("\(attention).\($0.0).weight", $0.1, c.hiddenSize) })
        matrix(attention + ".o_proj", inputs: c.queryWidth, formats.linear, [.matrix(attention + ".o_proj.weight", c.hiddenSize, c.queryWidth)])
        if c.hasQKVBias { vector(attention + ".qkv_proj.bias", projections.map { .vector("\(attention).\($0.0).bias", $0.1) }) }
        if c.hasOutputBias { vector(attention + ".o_proj.bias", [.vector(attention + ".o_proj.bias", c.hiddenSize)]) }
        switch c.queryKeyNorm {
        case .none: break
        case .head:
            vector(attention + ".q_norm", [.vector(attention + ".q_norm.weight", c.headDim)])
            vector(attention + ".k_norm", [.vector(attention + ".k_norm.weight", c.headDim)])
        case .projection:
            vector(attention + ".q_norm", [.vector(attention + ".q_norm.weight", c.queryWidth)])
            vector(attention + ".k_norm", [.vector(attention + ".k_norm.weight", c.kvWidth)])
        }
    }

    private mutating func addMLP(_ path: String, _ c: ModelConfiguration, width: Int, _ formats: WeightFormats) {
        matrix(
            path + ".gate_up_proj", inputs: c.hiddenSize, formats.linear,
            [.matrix(path + ".gate_proj.weight", width, c.hiddenSize), .matrix(path + ".up_proj.weight", width, c.hiddenSize)])
        matrix(path + ".down_proj", inputs: width, formats.linear, [.matrix(path + ".down_proj.weight", c.hiddenSize, width)])
        if c.hasMLPBias {
            vector(path + ".gate_up_proj.bias", [.vector(path + ".gate_proj.bias", width), .vector(path + ".up_proj.bias", width)])
            vector(path + ".down_proj.bias", [.vector(path + ".down_proj.bias", c.hiddenSize)])
        }
    }

    /// Router, with the shared expert's gate as one more output, and the shared expert.
    private mutating func addRouter(_ names: TensorNames.Experts, _ c: ModelConfiguration, _ experts: ModelConfiguration.Experts, _ formats: WeightFormats) {
        var rows = [WeightSource.matrix(names.block + ".gate.weight", experts.count, c.hiddenSize)]
        if let width = experts.sharedIntermediateSize {
            rows.append(.matrix(names.block + ".shared_expert_gate.weight", 1, c.hiddenSize))
            addMLP(names.block + ".shared_expert", c, width: width, formats)
        }
        matrix(names.block + ".gate", inputs: c.hiddenSize, formats.router, rows)
    }

    private mutating func addExperts(
        _ names: TensorNames.Experts, layer: Int, _ c: ModelConfiguration, _ experts: ModelConfiguration.Experts, _ formats: WeightFormats
    ) {
        let (hidden, width) = (c.hiddenSize, experts.intermediateSize)
        for expert in 0..<experts.count {
            let id = ExpertID(layer: layer, expert: expert)
            func tensor(_ last: String) -> String { names.module(expert, last) + ".weight" }
            let gateUp: [WeightSource] =
                names.isFused
                ? [.fused(names.prefix + ".gate_up_proj", experts.count, 2 * width, hidden, expert: expert)]
                : [.matrix(tensor(names.gate), width, hidden), .matrix(tensor(names.up), width, hidden)]
            let down: WeightSource =
                names.isFused
                ? .fused(names.prefix + ".down_proj", experts.count, hidden, width, expert: expert)
                : .matrix(tensor(names.down), hidden, width)
            matrix(TensorNames.gateUp(names, expert), inputs: hidden, formats.linear, gateUp, expert: id)
            matrix(TensorNames.down(names, expert), inputs: width, formats.linear, [down], expert: id)
        }
    }
}
