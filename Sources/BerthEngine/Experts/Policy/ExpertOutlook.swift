// What is known of experts beside the running requests' choices: which are popular whoever asks, and which uses are already certain.

import Glibc

final class ExpertOutlook {
    /// The share of all rows of late that chose the expert, whoever they belonged to: it outlives the requests, and restarts.
    private(set) var popularity: [Float]
    private let shape: ExpertShape
    /// The step of each expert's last use; 0 before the first.
    private var lastUses: [Int]
    /// The steps of certain uses: bit n is the step `base` + n.
    private var uses: [UInt64] = []
    private var base = 0
    /// Up to this step every use is known: an expert that is not expected is not wanted before.
    private var horizon = -1
    /// Rows after which a choice weighs half in `popularity`.
    private static let popularityHalfLife: Double = 512
    /// Of an expert that was used n steps ago, one in (16 + n/2) steps wants it at least. Decayed counts fall much faster than uses really do
    /// (topics come back), which counts where a cache is large enough to hold what was not wanted for long.
    private static let (recencyWeight, recencyOffset) = (2.0, 32.0)

    init(shape: ExpertShape) {
        self.shape = shape
        popularity = Array(repeating: 0, count: shape.count)
        lastUses = Array(repeating: 0, count: shape.count)
    }

    func note(_ use: LayerUse, step: Int) {
        let range = shape.range(of: use.layer)
        for expert in use.experts { lastUses[range.lowerBound + expert] = step }
        let rows = use.requests.reduce(0) { $0 + $1.rows }
        guard rows > 0 else { return }
        let kept = Float(exp2(-Double(rows) / Self.popularityHalfLife))
        let gain = (1 - kept) / Float(rows)
        popularity.withUnsafeMutableBufferPointer { popularity in
            for index in range { popularity[index] *= kept }
            for request in use.requests.indices {
                use.withCounts(ofRequest: request) { counts in
                    for expert in 0..<range.count where counts[expert] > 0 { popularity[range.lowerBound + expert] += gain * counts[expert] }
                }
            }
        }
    }

    /// Takes over what an earlier run knew.
    func restore(_ popularity: [Float]) {
        precondition(popularity.count == shape.count, "a history of \(popularity.count) experts for \(shape.count)")
        self.popularity = popularity.map { $0.isFinite ? min(max($0, 0), 1) : 0 }
    }

    /// The least chance that the step `nextTurn`, the next of the expert's layer, wants it, by its last use alone; 0 where it was never used.
    func recencyChance(_ index: Int, nextTurn: Int) -> Double {
        let last = lastUses[index]
        return last == 0 ? 0 : Self.recencyWeight / (Self.recencyOffset + Double(nextTurn - 1 - last))
    }

    // MARK: what is certain

    /// Steps ahead of the present one that uses can be known for.
    static let window = UInt64.bitWidth

    private(set) var knowsFuture = false

    func beginStep(_ step: Int) {
        if knowsFuture {
            for index in uses.indices { uses[index] >>= UInt64(step - base) }
            knowsFuture = horizon >= step || uses.contains { $0 != 0 }
        }
        base = step
    }

    /// Uses beyond the window are not worth remembering: nothing is decided by them yet.
    func expect(_ index: Int, inSteps steps: Int) {
        guard steps < Self.window else { return }
        if uses.isEmpty { uses = Array(repeating: 0, count: shape.count) }
        knowsFuture = true
        uses[index] |= 1 << UInt64(steps)
    }

    func allKnown(inSteps steps: Int) {
        knowsFuture = true
        horizon = max(horizon, base + min(steps, Self.window - 1))
    }

    /// Turns of the layer between its next one, in the step `nextTurn`, and the expert's next use, where `estimate` is what its history says.
    func turnsUntilUse(_ index: Int, nextTurn: Int, estimate: Double) -> Double {
        let ahead = uses.isEmpty ? 0 : uses[index] >> UInt64(nextTurn - base)
        let unexpected = Double(max(0, horizon + 1 - nextTurn))
        guard ahead != 0 else { return max(estimate, unexpected) }
        // Before the first certain use there may be others, unless all up to there are known.
        return min(Double(ahead.trailingZeroBitCount), max(estimate, unexpected))
    }
}
