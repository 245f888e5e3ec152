// How many requests a wave takes, and how many rows.
//
// A wave of n requests that generate costs their rows' computing, or the reading of the experts that are not in memory, whichever takes longer, since
// one goes on beside the other. More requests share the reading and take pages from the experts, so that more is read: the best n is found
// by trying them (after MoE-Gen's search, with costs that are measured here instead of profiled before).

import BerthModels

/// A pure value; times in nanoseconds.
struct WavePlanner {
    /// What the choice depends on, at one moment.
    struct Situation: Equatable {
        /// Pages that waves and experts can have together.
        var pages: Int
        /// Pages of one request at its longest, about.
        var pagesPerRequest: Double
        /// Experts of the model that are paged; 0 where none are.
        var experts = 0
        var pagesPerExpert = 0
        /// Pages that experts have at least, and at most.
        var leastExpertPages = 0
        var mostExpertPages = Int.max
        var expertBytes = 0
        var bytesPerNanosecond = 1.0
        /// Requests that there are.
        var requests: Int
        /// As many as a wave's logits have room for.
        var most: Int
    }

    /// A choice with what it should bring.
    struct Choice: Equatable {
        var requests: Int
        /// Of a wave in which every request gets a token.
        var nanoseconds: Double
        var tokensPerSecond: Double { nanoseconds > 0 ? Double(requests) / nanoseconds * 1e9 : 0 }
    }

    /// What computing takes, learned from waves before: without waiting for the disk.
    private(set) var times = StepTimeModel()
    /// What a row takes as long as no wave was measured.
    private static let firstRow = 2e6

    mutating func observe(_ load: StepLoad, computing: UInt64) { times.observe(load, nanoseconds: computing) }

    private func computing(_ requests: Int, context: Int) -> Double {
        var load = StepLoad()
        for _ in 0..<requests { load.add(rows: 1, after: context) }
        return times.largestRows == 0 ? Self.firstRow * Double(requests) : times.nanoseconds(of: load)
    }

    /// The number of requests with the most tokens per second; of equals the smallest. `context` is how long they are, about.
    /// Where the number is fixed nothing is searched, but what it should bring.
    func choose(_ situation: Situation, context: Int, fixed: Int? = nil) -> Choice {
        let s = situation
        var best = Choice(requests: 1, nanoseconds: .infinity)
        let room = Double(s.pages - (s.experts > 0 ? s.leastExpertPages : 0))
        let most = max(1, min(s.requests, s.most, Int(room / max(s.pagesPerRequest, 1))))
        func foreseen(_ size: Int) -> Choice { Choice(requests: size, nanoseconds: max(computing(size, context: context), reading(size, s))) }
        if let fixed { return foreseen(max(1, min(fixed, most))) }
        // Sizes an eighth apart: finer ones do not differ by more than the costs are known.
        var size = 1
        while true {
            let choice = foreseen(size)
            if choice.tokensPerSecond > best.tokensPerSecond * 1.001 { best = choice }
            if size == most { return best }
            size = min(most, size + max(1, size / 8))
        }
    }

    /// What a wave of so many requests reads: every expert is wanted, and those that have room stay.
    private func reading(_ requests: Int, _ s: Situation) -> Double {
        guard s.experts > 0 else { return 0 }
        let left = max(s.leastExpertPages, min(s.mostExpertPages, s.pages - Int(Double(requests) * s.pagesPerRequest)))
        let missing = max(0, s.experts - left / s.pagesPerExpert)
        return Double(missing * s.expertBytes) / s.bytesPerNanosecond
    }
}
