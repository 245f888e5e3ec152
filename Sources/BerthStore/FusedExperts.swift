// Adapters of fused experts (PEFT `target_parameters`) taken apart into adapters of single experts.
//
// PEFT's ParamWrapper (tuners/lora/layer.py) stores for E experts A `[E·r, in]`, read as (E, r, in), and B `[out, r·E]`,
// read as (out, r, E); ΔW[e] = scale · einsum "o r e, e r i → e o i". Of two parameters of one module the first to be
// wrapped ends up inside (`….base_layer.lora_A`), so nesting says little and the shapes decide which parameter it is:
// gate_up maps hidden → 2·intermediate (gate rows first), down maps intermediate → hidden. Before 0.19 PEFT took the two
// sides of the parameter by position, so that A carried the outputs and B the inputs: A's width shows it, and only
// where both sides are equally wide the version in the configuration must tell.

/// A pair of fused tensors and where it stands.
struct FusedExperts {
    let group: ModuleCatalog.ExpertGroup
    /// The path of the fused module as the file has it.
    let path: String
    /// All of tensor A, `[E·r, width]`, and all of B, `[height, r·E]`.
    let a: AdapterFactor, b: AdapterFactor
    /// The name of tensor A, for messages.
    let tensor: String

    enum Parameter: String { case gateUp = "gate_up_proj", down = "down_proj" }

    /// Which parameter the shapes fit, and whether in and out are swapped.
    func parameter(_ configuration: AdapterConfiguration) throws(AdapterRejection) -> (Parameter, swapped: Bool) {
        let hidden = group.hidden, intermediate = group.intermediate
        let sides = (a.columns, b.rows)
        for (parameter, inputs, outputs) in [(Parameter.gateUp, hidden, 2 * intermediate), (.down, intermediate, hidden)] {
            if inputs == outputs, sides == (inputs, outputs) {
                guard let version = configuration.peftVersion else {
                    throw AdapterRejection("peft_version", "peft_version is missing, and the shapes of '\(tensor)' do not tell inputs from outputs")
                }
                return (parameter, swapped: version < (0, 19))
            }
            if sides == (inputs, outputs) { return (parameter, swapped: false) }
            if sides == (outputs, inputs) { return (parameter, swapped: true) }
        }
        throw AdapterRejection(
            tensor,
            "tensor '\(tensor)' [\(a.rows), \(a.columns)] with lora_B [\(b.rows), \(b.columns)] fits neither gate_up_proj (\(hidden) → \(2 * intermediate)) nor down_proj (\(intermediate) → \(hidden)) of \(path)")
    }

    /// The adapters of the single experts. `rank` is that of one expert.
    func modules(_ parameter: Parameter, swapped: Bool, rank: Int, scale: Float) -> [AdapterModule] {
        var result: [AdapterModule] = []
        for expert in 0..<group.count {
            // (E, r, width): the expert's rows lie together.
            let slow = a.rows(from: expert * rank, count: rank)
            // (height, r, E): the expert's columns are E apart.
            let fast = AdapterFactor(
                type: b.type, rows: b.rows, columns: rank, offset: b.offset + expert, rowStride: b.rowStride, columnStride: group.count,
                entry: b.entry, range: b.range)
            let (inner, outer) = swapped ? (fast.transposed, slow.transposed) : (slow, fast)
            let parts: [(name: String, first: Int, count: Int)] = switch parameter {
            case .gateUp: [(group.gate, 0, group.intermediate), (group.up, group.intermediate, group.intermediate)]
            case .down: [(group.down, 0, group.hidden)]
            }
            for part in parts {
                result.append(AdapterModule(
                    path: "\(group.modulePrefix).\(expert).\(part.name)", kind: .linear, inputs: inner.columns, outputs: part.count,
                    rank: rank, scale: scale, a: inner, b: outer.rows(from: part.first, count: part.count)))
            }
        }
        return result
    }
}
