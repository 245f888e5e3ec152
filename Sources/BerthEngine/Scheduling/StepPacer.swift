// How much of a prompt a step may take while streams wait for their next token.
//
// A stream gets one token per step, so the time between its tokens is the time of a step, and a chunk of somebody's prompt in it is what
// makes it long. Where streams wait, the pacer sizes chunks so that a step stays near the wanted interval; where nobody waits, a step takes
// what it can. It learns what steps take from the times at which they begin: the engine calls `finishStep` at the next one.

import BerthCore

/// Engine thread only, like the engine. No clock: times are passed in.
struct StepPacer {
    /// What a step with a waiting stream may take.
    struct Allowance {
        var nanoseconds: Double
        /// Rows of the whole step.
        var rows: Int
    }

    /// Rows of a prompt beside streams as long as nothing is known.
    private static let firstChunkRows = 8
    /// How far a step may go beyond the largest one that was measured.
    private static let growth = 2
    /// What a step beside streams may always take, in multiples of what the streams take by themselves: three quarters of the time are the prompt's then.
    /// With less, few rows would share the reading of the weights on a slow machine, and the prompt would take much longer than alone.
    private static let leastStreams = 4.0

    /// A step takes a few per cent more or less than foreseen, and the interval is a promise: so much of it is planned.
    private static let plannedShare = 0.95

    /// Between two tokens of a stream, in nanoseconds.
    var interval: Double
    /// What a step with many rows takes whatever their number: while experts are paged, the reading of those that are missing. Cutting a prompt
    /// into smaller chunks would only read them more often.
    var passNanoseconds = 0.0
    /// What a step with a whole chunk takes beside the reading, at most.
    private static let passAllowance = 1.5
    private(set) var times = StepTimeModel()
    /// The step whose time is not known yet.
    private var unfinished: (load: StepLoad, start: UInt64)?

    init(interval: UInt64) { self.interval = Double(interval) }

    mutating func startStep(_ load: StepLoad, now: UInt64) { unfinished = (load, now) }

    /// The next step begins, right after the one before. Returns the time of that, where it is known.
    @discardableResult
    mutating func finishStep(now: UInt64) -> UInt64? {
        guard let (load, start) = unfinished else { return nil }
        unfinished = nil
        guard now >= start else { return nil }
        times.observe(load, nanoseconds: now - start)
        return now - start
    }

    /// No step follows until an input comes: the time until then says nothing about the step before. Returns what that step was foreseen to take.
    @discardableResult
    mutating func pause() -> Double? {
        defer { unfinished = nil }
        return unfinished.map { times.nanoseconds(of: $0.load) }
    }

    /// - Parameter streams: the rows of those who wait for a token.
    func allowance(beside streams: StepLoad) -> Allowance {
        Allowance(
            nanoseconds: max(Self.plannedShare * interval, Self.passAllowance * passNanoseconds, Self.leastStreams * times.nanoseconds(of: streams)),
            rows: passNanoseconds > interval ? .max : max(streams.rows + Self.firstChunkRows, Self.growth * times.largestRows))
    }

    /// How many of the next `most` tokens after `context` fit into the allowance beside what is in the step already.
    func rows(_ most: Int, after context: Int, beside load: StepLoad, _ allowance: Allowance) -> Int {
        let most = min(most, allowance.rows - load.rows)
        guard most > 0 else { return 0 }
        // Prices hold for an octave of rows: look for the last octave in which a step fits.
        let first = load.rows + 1, last = load.rows + most
        for sizeClass in (StepTimeModel.sizeClass(first)...StepTimeModel.sizeClass(last)).reversed() {
            let prices = times.prices(near: sizeClass)
            func fits(_ rows: Int) -> Bool {
                prices.nanoseconds(of: load.adding(rows: rows - load.rows, after: context)) <= allowance.nanoseconds
            }
            var fitting = max(first, 1 << (sizeClass - 1)), tooMany = min(last, 1 << sizeClass - 1) + 1
            guard fits(fitting) else { continue }
            while tooMany - fitting > 1 {
                let middle = (fitting + tooMany) / 2
                if fits(middle) { fitting = middle } else { tooMany = middle }
            }
            return fitting - load.rows
        }
        return 0
    }
}
