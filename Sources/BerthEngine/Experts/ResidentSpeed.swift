// How fast tokens would pass if every expert were in memory: what the steps took, less the time in which they waited for the disk.
//
// Only steps of streams count, a row for each request: prompts pass much faster, and say nothing of what a user sees.

struct ResidentSpeed {
    /// A step, from its beginning until its time is known.
    private struct Step {
        var rows: Int
        var uses: Int
        var waited: UInt64
        var hasEnded = false
    }

    private var step: Step?
    private var rows = 0.0
    private var uses = 0.0
    private var nanoseconds = 0.0
    /// What the steps before weigh after another one.
    private static let fading = 0.99

    /// `uses` and `waited` are sums since the start, here and below: of experts that layers wanted, and nanoseconds.
    mutating func beginStep(_ counts: [Int], uses: Int, waited: UInt64) {
        step = counts.allSatisfy { $0 == 1 } ? Step(rows: counts.count, uses: uses, waited: waited) : nil
    }

    mutating func endStep(uses: Int, waited: UInt64) {
        guard let begun = step else { return }
        step = Step(rows: begun.rows, uses: uses - begun.uses, waited: waited - begun.waited, hasEnded: true)
    }

    /// The time of the last step, if it is known.
    mutating func stepTook(_ time: UInt64) {
        guard let ended = step, ended.hasEnded, time > ended.waited else { return }
        step = nil
        rows = rows * Self.fading + Double(ended.rows)
        uses = uses * Self.fading + Double(ended.uses)
        nanoseconds = nanoseconds * Self.fading + Double(time - ended.waited)
    }

    /// Nil before the first.
    var tokensPerSecond: Double? { nanoseconds > 0 ? rows / nanoseconds * 1e9 : nil }
    /// Experts that a token wants, over all layers; those that several rows of a step share count once.
    var expertsPerToken: Double? { rows > 0 ? uses / rows : nil }
}
