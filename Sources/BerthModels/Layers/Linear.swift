// A projection: packed weights, perhaps a bias, and the adapters' share.

import BerthKernels

/// y = x·Wᵀ + b + what each row's adapter adds. Several modules of the checkpoint may be stacked in one (q|k|v, gate|up).
struct Linear {
    /// A module of the checkpoint inside the projection.
    struct Part {
        /// Its number in the module map.
        let module: Int
        /// Its outputs among the projection's.
        let columns: Range<Int>
    }

    let weights: PackedMatrix
    let bias: UnsafePointer<Float>?
    let parts: [Part]

    /// `widths` are the outputs of the stacked modules, whose numbers are `modules`.
    init(_ store: WeightStore, _ name: String, modules: [Int], widths: [Int]) {
        weights = store.matrix(name)
        bias = store.vectorIfPresent(name + ".bias")
        var start = 0
        parts = zip(modules, widths).map { module, width in
            defer { start += width }
            return Part(module: module, columns: start..<start + width)
        }
        precondition(start == weights.outputs, "\(name) has \(weights.outputs) outputs, its modules \(start)")
    }

    /// With `accumulate` the result is added to `y`.
    func callAsFunction(_ x: Rows, into y: Rows, _ step: Step, accumulate: Bool = false) {
        let prepared = step.scratch.prepared
        step.compute.prepare(x, for: weights.format, adapters: parts.adapted(by: step.segments), into: prepared)
        step.compute.linear(prepared, weights, into: y, bias: bias, accumulate: accumulate)
    }
}

extension [Linear.Part] {
    /// What the adapters of some rows do in these parts of a projection.
    func adapted(by segments: [AdapterSegment]) -> [Compute.LoRASegment] {
        var calls: [Compute.LoRASegment] = []
        for segment in segments {
            for part in self {
                if var call = segment.adapter.segment(module: part.module, rows: segment.rows) {
                    call.columns = part.columns
                    calls.append(call)
                }
            }
        }
        return calls
    }
}
