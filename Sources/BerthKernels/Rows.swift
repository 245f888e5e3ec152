// A view of activations. Views are cheap and own nothing; buffers are owned by the model.

/// Row-major f32 values: row r is at `base + r · stride`, `columns` long.
public struct Rows {
    public var base: UnsafeMutablePointer<Float>
    public var count: Int
    public var columns: Int
    /// Floats from one row to the next.
    public var stride: Int

    public init(base: UnsafeMutablePointer<Float>, count: Int, columns: Int, stride: Int? = nil) {
        self.base = base
        self.count = count
        self.columns = columns
        self.stride = stride ?? columns
    }

    /// Some of the rows.
    public func rows(_ range: Range<Int>) -> Rows {
        precondition(range.lowerBound >= 0 && range.upperBound <= count)
        return Rows(base: base + range.lowerBound * stride, count: range.count, columns: columns, stride: stride)
    }

    /// Some of the columns of every row.
    public func columns(_ range: Range<Int>) -> Rows {
        precondition(range.lowerBound >= 0 && range.upperBound <= columns)
        return Rows(base: base + range.lowerBound, count: count, columns: range.count, stride: stride)
    }

    public subscript(row: Int) -> UnsafeMutablePointer<Float> { base + row * stride }
}
