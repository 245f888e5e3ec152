// The gated feed-forward of Llama and its kin (SwiGLU, Shazeer, 2020).

import BerthKernels

/// down(silu(gate(x)) · up(x)), with gate and up stacked in one projection.
struct DenseMLP {
    private let gateUp: Linear
    private let down: Linear
    private let width: Int

    init(_ store: WeightStore, _ path: String, hiddenSize: Int, width: Int, gate: Int, up: Int, down: Int) {
        gateUp = Linear(store, path + ".gate_up_proj", modules: [gate, up], widths: [width, width])
        self.down = Linear(store, path + ".down_proj", modules: [down], widths: [hiddenSize])
        self.width = width
    }

    /// Writes the result for the rows `x` to `y`, or adds it.
    func callAsFunction(_ x: Rows, into y: Rows, accumulate: Bool, _ step: Step) {
        let both = step.scratch.gateUp.first(step.rows).columns(0..<2 * width)
        let gate = both.columns(0..<width)
        gateUp(x, into: both, step)
        step.compute.siluMultiply(gate: gate, up: both.columns(width..<2 * width), into: gate)
        down(gate, into: y, step, accumulate: accumulate)
    }
}
