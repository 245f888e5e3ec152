// How fast a machine goes at some time, beside what its costs say.
//
// Costs are measured by a process that has the machine to itself. A daemon's loop and its clients take their share of it, and a machine that others use, too,
// is slower in one minute than in the next. So steps of known rows are measured through the daemon, before and after what is to be compared, and the
// simulated steps of as many rows take as much longer.

import Glibc

/// Factors on the durations of steps, by their rows. Pure.
public struct Pace: Sendable, Equatable {
    public struct Point: Sendable, Equatable {
        public var rows: Int
        public var factor: Double

        public init(rows: Int, factor: Double) {
            self.rows = rows
            self.factor = factor
        }
    }

    public let points: [Point]

    /// - Parameter points: by rising rows above 0, factors above 0. Without any, all takes what it costs.
    public init(_ points: [Point] = []) {
        precondition((points.first?.rows ?? 1) > 0 && zip(points, points.dropFirst()).allSatisfy { $0.rows < $1.rows } && points.allSatisfy { $0.factor > 0 })
        self.points = points
    }

    /// Between two points in proportion to the octaves, beyond the ends as at the ends.
    public func factor(rows: Int) -> Double {
        guard let upper = points.firstIndex(where: { $0.rows >= rows }) else { return points.last?.factor ?? 1 }
        guard upper > 0 else { return points[0].factor }
        let (from, to) = (points[upper - 1], points[upper])
        return from.factor + (to.factor - from.factor) * log(Double(rows) / Double(from.rows)) / log(Double(to.rows) / Double(from.rows))
    }
}
