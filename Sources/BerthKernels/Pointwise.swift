// What happens to each row, or each value, by itself: norms, residual sums, gates, rotary positions.

import CKernels

extension Compute {
    /// y = x / sqrt(mean(x²) + epsilon) · weight, per row (Zhang and Sennrich 2019). `y` may be `x`. A norm per head is one over
    /// rows × heads rows of headDim columns.
    public func rmsNorm(_ x: Rows, weight: UnsafePointer<Float>, epsilon: Float, into y: Rows) {
        precondition(x.count == y.count && x.columns == y.columns)
        let kernel = table.pointee.rmsNorm!
        overRows(x.count, columns: x.columns) { rows in
            for row in rows { kernel(x[row], x.columns, weight, epsilon, y[row]) }
        }
    }

    /// y += x.
    public func add(_ x: Rows, to y: Rows) {
        precondition(x.count == y.count && x.columns == y.columns)
        let kernel = table.pointee.add!
        overRows(x.count, columns: x.columns) { rows in
            for row in rows { kernel(x[row], x.columns, y[row]) }
        }
    }

    /// y = silu(gate) · up, silu(v) = v / (1 + exp(−v)). `y` may be either.
    public func siluMultiply(gate: Rows, up: Rows, into y: Rows) {
        precondition(gate.count == up.count && gate.count == y.count && gate.columns == up.columns && gate.columns == y.columns)
        let kernel = table.pointee.siluMultiply!
        overRows(gate.count, columns: gate.columns * 2) { rows in
            for row in rows { kernel(gate[row], up[row], gate.columns, y[row]) }
        }
    }

    /// Rotates every head of x [rows, ≥ heads · headDim] in place by its row's angles: value i pairs with i + headDim/2, as Hugging Face's
    /// models have it (Su et al. 2021). `cos` and `sin` are [row][headDim/2].
    public func rope(_ x: Rows, heads: Int, headDim: Int, cos: UnsafePointer<Float>, sin: UnsafePointer<Float>) {
        precondition(headDim % 2 == 0 && heads * headDim <= x.columns)
        let kernel = table.pointee.rope!
        overRows(x.count, columns: heads * headDim) { rows in
            for row in rows { kernel(x[row], heads, headDim, cos + row * headDim / 2, sin + row * headDim / 2) }
        }
    }
}
