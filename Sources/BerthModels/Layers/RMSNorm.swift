// Root mean square normalisation (Zhang and Sennrich, 2019), of whole rows and of the heads of a projection.

import BerthKernels

/// y = x / √(mean(x²) + ε) · weight.
struct RMSNorm {
    let weight: UnsafePointer<Float>
    let epsilon: Float

    func callAsFunction(_ x: Rows, into y: Rows, _ compute: Compute) {
        compute.rmsNorm(x, weight: weight, epsilon: epsilon, into: y)
    }

    /// Normalises each of the `heads` heads of each row of `x` by itself, in place.
    ///
    /// Heads lie one after the other within a row, rows at some stride: two loops, the shorter of which is the outer.
    func normalizeHeads(_ x: Rows, heads: Int, headDim: Int, _ compute: Compute) {
        if x.count < heads {
            for row in 0..<x.count {
                let view = Rows(base: x[row], count: heads, columns: headDim)
                compute.rmsNorm(view, weight: weight, epsilon: epsilon, into: view)
            }
        } else {
            for head in 0..<heads {
                let view = x.columns(head * headDim..<(head + 1) * headDim)
                compute.rmsNorm(view, weight: weight, epsilon: epsilon, into: view)
            }
        }
    }
}
