// A cost that depends on a number as no formula does: measured at some numbers, read between them.

/// Points by rising numbers; pure. Nothing gets cheaper for being more.
public struct CostTable: Sendable, Equatable {
    public struct Point: Sendable, Equatable {
        public var rows: Int
        public var nanoseconds: Double

        public init(rows: Int, nanoseconds: Double) {
            self.rows = rows
            self.nanoseconds = nanoseconds
        }
    }

    public private(set) var points: [Point]

    /// - Parameter points: at least one; rows rise and are above 0.
    public init(_ points: [Point]) {
        precondition(!points.isEmpty && points[0].rows > 0 && zip(points, points.dropFirst()).allSatisfy { $0.rows < $1.rows })
        self.points = points
    }

    /// Points as they were measured, of which some trembled: where a point is below one with fewer rows, both take the mean of them (the least-squares rising
    /// sequence, by pooling adjacent violators).
    public init(smoothing measured: [Point]) {
        var pools: [(mean: Double, count: Int)] = []
        for point in measured {
            pools.append((point.nanoseconds, 1))
            while pools.count > 1, pools[pools.count - 2].mean > pools[pools.count - 1].mean {
                let last = pools.removeLast(), before = pools.removeLast(), count = last.count + before.count
                pools.append(((last.mean * Double(last.count) + before.mean * Double(before.count)) / Double(count), count))
            }
        }
        let means = pools.flatMap { Array(repeating: $0.mean, count: $0.count) }
        self.init(zip(measured, means).map { Point(rows: $0.rows, nanoseconds: $1) })
    }

    /// Between two points in proportion, below the first one what that takes, beyond the last as the last two lead there.
    public func nanoseconds(rows: Int) -> Double {
        let last = points[points.count - 1]
        guard rows > points[0].rows, points.count > 1 else { return points[0].nanoseconds }
        let upper = rows >= last.rows ? points.count - 1 : points.firstIndex { $0.rows >= rows }!
        let (from, to) = (points[upper - 1], points[upper])
        return from.nanoseconds + (to.nanoseconds - from.nanoseconds) * Double(rows - from.rows) / Double(to.rows - from.rows)
    }
}
