// Two views of a row of logits as a distribution: its sorted head, and its whole extent in buckets.
//
// Weights are exp(logit − maximum), so the likeliest token weighs 1 and min-p is a bound on them. Sums are in f64 and in a fixed
// order: a draw depends on the row and on nothing else.

import BerthKernels
import Glibc

/// The likeliest tokens, sorted, ties by rising token.
struct DistributionHead {
    private var entries: [(index: Int32, value: Float)]
    private(set) var weights: [Double]
    private(set) var sum: Double
    let maximum: Float

    /// The `size` likeliest of `count` tokens, at least one.
    init(_ row: UnsafePointer<Float>, count: Int, size: Int, compute: Compute) {
        entries = compute.top(row, count, k: size)
        let maximum = entries[0].value
        self.maximum = maximum
        weights = entries.map { exp(Double($0.value) - Double(maximum)) }
        sum = weights.reduce(0, +)
    }

    var count: Int { entries.count }

    /// Keeps the first tokens, at least one.
    mutating func cut(after kept: Int) {
        guard kept < count else { return }
        entries.removeLast(count - max(1, kept))
        weights.removeLast(weights.count - max(1, kept))
        sum = weights.reduce(0, +)
    }

    /// Keeps the fewest tokens whose weights sum to at least `mass`.
    mutating func cut(toMass mass: Double) {
        var reached = 0.0
        cut(after: (weights.firstIndex { reached += $0; return reached >= mass } ?? count - 1) + 1)
    }

    /// The token at `target` of the head's sum. Rounding may leave a sliver above the sum, which is the likeliest token's.
    func draw(_ target: Double) -> Int32 { position(target).found ?? entries[0].index }

    /// The same over all tokens: first the head, then the rest of the vocabulary in its own order.
    func draw(_ target: Double, orFromTheRestOf row: UnsafePointer<Float>, count: Int) -> Int32 {
        var (found, left) = position(target)
        if let found { return found }
        let last = entries[entries.count - 1]
        for token in 0..<count where row[token] < last.value || (row[token] == last.value && token > Int(last.index)) {
            left -= exp(Double(row[token]) - Double(maximum))
            if left < 0 { return Int32(token) }
        }
        return entries[0].index
    }

    private func position(_ target: Double) -> (found: Int32?, left: Double) {
        var left = target
        for (position, weight) in weights.enumerated() {
            left -= weight
            if left < 0 { return (entries[position].index, left) }
        }
        return (nil, left)
    }
}

/// All tokens of a row, sorted into buckets of similar weight: enough order for top-p without sorting the vocabulary. For flat
/// distributions, whose head does not hold enough. Two passes over the row, one of them with exponentials.
struct FlatDistribution {
    /// Buckets of 1/64 in the logit; the last takes everything that is 32 or more below the likeliest.
    private static let bucketsPerUnit: Float = 64
    private static let bucketCount = 2048

    private let row: UnsafePointer<Float>
    private let count: Int
    private let maximum: Float
    private let minimum: Double
    private let masses: [Double]

    /// Tokens of less weight than `minimum` have none.
    init(_ row: UnsafePointer<Float>, count: Int, maximum: Float, minimum: Double) {
        self.row = row
        self.count = count
        self.maximum = maximum
        self.minimum = minimum
        var masses = Array(repeating: 0.0, count: Self.bucketCount)
        for token in 0..<count {
            let weight = exp(Double(row[token]) - Double(maximum))
            if weight >= minimum { masses[Self.bucket(row[token], maximum)] += weight }
        }
        self.masses = masses
    }

    /// Draws from the fewest tokens, likeliest first, that hold `topP` of the mass.
    func draw(_ unit: Double, topP: Double) -> Int32 {
        let total = masses.reduce(0, +)
        guard topP < 1 else { return pick(unit * total, boundary: masses.count, in: []) }
        // The bucket in which the wanted mass is reached; only its tokens need an order.
        let wanted = topP * total
        var before = 0.0
        var boundary = 0
        while boundary < masses.count - 1, before + masses[boundary] < wanted {
            before += masses[boundary]
            boundary += 1
        }
        var kept: [(token: Int32, weight: Double)] = []
        var mass = before
        for entry in tokens(of: boundary).sorted(by: { (row[Int($0.token)], $1.token) > (row[Int($1.token)], $0.token) }) {
            guard mass < wanted else { break }
            kept.append(entry)
            mass += entry.weight
        }
        return pick(unit * mass, boundary: boundary, in: kept)
    }

    /// The token at `target` of the mass of the buckets before `boundary`, each in the vocabulary's order, then of `kept`.
    private func pick(_ target: Double, boundary: Int, in kept: [(token: Int32, weight: Double)]) -> Int32 {
        var left = target
        for bucket in 0..<boundary where masses[bucket] > 0 {
            if left < masses[bucket] { return position(left, in: tokens(of: bucket)) }
            left -= masses[bucket]
        }
        // Rounding may leave a sliver above the sum. The first bucket is never empty: the likeliest token is in it.
        return kept.isEmpty ? tokens(of: 0)[0].token : position(left, in: kept)
    }

    private func position(_ target: Double, in entries: [(token: Int32, weight: Double)]) -> Int32 {
        var left = target
        for entry in entries {
            left -= entry.weight
            if left < 0 { return entry.token }
        }
        return entries[entries.count - 1].token
    }

    private func tokens(of bucket: Int) -> [(token: Int32, weight: Double)] {
        var entries: [(token: Int32, weight: Double)] = []
        for token in 0..<count where Self.bucket(row[token], maximum) == bucket {
            let weight = exp(Double(row[token]) - Double(maximum))
            if weight > 0, weight >= minimum { entries.append((Int32(token), weight)) }
        }
        return entries
    }

    private static func bucket(_ logit: Float, _ maximum: Float) -> Int {
        // Minus infinity is far below, too.
        let below = (maximum - logit) * bucketsPerUnit
        return below < Float(bucketCount - 1) ? Int(below) : bucketCount - 1
    }
}
