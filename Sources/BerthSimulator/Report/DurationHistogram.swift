// Durations by the thousands of millions in little memory: counts by size, 32 sizes to an octave, so that a percentile is right within 2.2 %.

import Glibc

public struct DurationHistogram: Sendable {
    private static let perOctave = 32.0
    private var counts: [Int] = []
    public private(set) var count = 0
    private var sum = 0.0
    public private(set) var largest: UInt64 = 0

    private static func place(of nanoseconds: Double) -> Int { Int(log2(max(nanoseconds, 1)) * perOctave) }

    mutating func add(_ nanoseconds: UInt64) {
        let index = Self.place(of: Double(nanoseconds))
        while counts.count <= index { counts.append(0) }
        counts[index] += 1
        count += 1
        sum += Double(nanoseconds)
        largest = max(largest, nanoseconds)
    }

    mutating func add(_ other: DurationHistogram) {
        while counts.count < other.counts.count { counts.append(0) }
        for index in other.counts.indices { counts[index] += other.counts[index] }
        count += other.count
        sum += other.sum
        largest = max(largest, other.largest)
    }

    /// Seconds; 0 of none.
    public var mean: Double { count > 0 ? sum / Double(count) / 1e9 : 0 }

    /// The duration that so much of all (0...1) does not exceed, in seconds; 0 of none.
    public func percentile(_ fraction: Double) -> Double {
        let rank = max(1, Int((fraction * Double(count)).rounded(.up)))
        var seen = 0
        for (index, number) in counts.enumerated() {
            seen += number
            if seen >= rank { return min(exp2((Double(index) + 0.5) / Self.perOctave), Double(largest)) / 1e9 }
        }
        return 0
    }

    /// The part of all that is not longer than so many seconds; 1 of none.
    public func share(within seconds: Double) -> Double {
        guard count > 0 else { return 1 }
        return Double(counts.prefix(Self.place(of: seconds * 1e9) + 1).reduce(0, +)) / Double(count)
    }

    /// Points of the distribution: seconds, and the part of all that does not exceed them.
    public var curve: [(seconds: Double, fraction: Double)] {
        var seen = 0
        return counts.enumerated().compactMap { index, number in
            seen += number
            return number > 0 ? (exp2(Double(index + 1) / Self.perOctave) / 1e9, Double(seen) / Double(count)) : nil
        }
    }
}
