// What sampling asks of a row of logits.

import CKernels

extension Compute {
    /// The index of the largest of n values, the lowest among equals. NaN counts as smaller than everything.
    public func argmax(_ row: UnsafePointer<Float>, _ n: Int) -> Int {
        precondition(n > 0)
        return table.pointee.argmax(row, n)
    }

    /// log Σ exp(v), computed about the largest value.
    public func logSumExp(_ row: UnsafePointer<Float>, _ n: Int) -> Float {
        precondition(n > 0)
        return table.pointee.logSumExp(row, n)
    }

    /// The k largest of n values, falling, equal ones by rising index. O(n + m log k), where m values are among the best so far.
    public func top(_ row: UnsafePointer<Float>, _ n: Int, k: Int) -> [(index: Int32, value: Float)] {
        let k = min(k, n)
        guard k > 0 else { return [] }
        return withUnsafeTemporaryAllocation(of: Int32.self, capacity: k) { indices in
            withUnsafeTemporaryAllocation(of: Float.self, capacity: k) { values in
                select_top(row, n, k, indices.baseAddress!, values.baseAddress!)
                return (0..<k).map { (indices[$0], values[$0]) }
            }
        }
    }
}
