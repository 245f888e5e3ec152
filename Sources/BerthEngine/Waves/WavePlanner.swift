// How many requests a wave takes, and how many rows.
//
// A wave of n requests that generate costs their rows' computing, or the reading of the experts that are not in memory, whichever takes longer, since
// one goes on beside the other. More requests share the reading and take pages from the experts, so that more is read: the best n is found
// by trying them (after MoE-Gen's search, with costs that are measured here instead of profiled before).

import BerthModels
import Foundation

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
        /// Of them, those that a row chooses.
        var chosen = 0
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
    /// Large waves of prompts cannot tell what a row costs, what a sequence, and what every wave. As long as none of requests that generate was measured,
    /// schedules go by this: one of an eighth of the rows is taken to cost an eighth, whosever the rows are.
    private var proportional: StepTimeModel? = StepTimeModel()
    private static let firstPart = 8

    mutating func observe(_ load: StepLoad, computing: UInt64) {
        times.observe(load, nanoseconds: computing)
        if load.rows == load.sequences { proportional = nil }
        guard proportional != nil else { return }
        proportional?.observe(load, nanoseconds: computing)
        guard load.rows >= Self.firstPart else { return }
        var part = StepLoad()
        part.add(single: load.rows / Self.firstPart, after: (load.attended - load.rows) / Self.firstPart)
        proportional?.observe(part, nanoseconds: computing / UInt64(Self.firstPart))
    }

    /// What a wave of so many requests would take, of those that run.
    func foresee(_ load: StepLoad, requests: Int, _ situation: Situation) -> Double {
        max(times.largestRows == 0 ? Self.firstRow * Double(load.rows) : times.nanoseconds(of: load), reading(requests, rows: load.rows, situation))
    }

    /// How many rows the next wave has, so that all of the requests are done soonest; nil where there is nothing to choose, or to choose by.
    func schedule(_ requests: [WaveSchedule.Request], width: Int, most: Int, _ situation: Situation) -> WaveSchedule.Choice? {
        let schedule = WaveSchedule(requests, width: width)
        let times = proportional ?? times
        guard situation.experts > 0, times.largestRows > 0, !schedule.prompts.isEmpty else { return nil }
        var prices: [Int: StepTimeModel.Prices] = [:]
        return schedule.choose(most: most) { load in
            let sizeClass = StepTimeModel.sizeClass(load.rows)
            let price = prices[sizeClass] ?? times.prices(near: sizeClass)
            prices[sizeClass] = price
            return max(price.nanoseconds(of: load), reading(min(requests.count, width), rows: load.rows, situation))
        }
    }

    /// The number of requests with the most tokens per second; of equals the smallest. `context` is how long they are, about.
    /// Where the number is fixed nothing is searched, but what it should bring.
    func choose(_ situation: Situation, context: Int, fixed: Int? = nil) -> Choice {
        let s = situation
        var best = Choice(requests: 1, nanoseconds: .infinity)
        let room = Double(s.pages - (s.experts > 0 ? s.leastExpertPages : 0))
        let most = max(1, min(s.requests, s.most, Int(room / max(s.pagesPerRequest, 1))))
        func foreseen(_ size: Int) -> Choice {
            var load = StepLoad()
            load.add(single: size, after: size * context)
            return Choice(requests: size, nanoseconds: foresee(load, requests: size, s))
        }
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

    /// What a wave reads for so many rows while so many requests run: of the experts that are wanted, those that have no room.
    private func reading(_ requests: Int, rows: Int, _ s: Situation) -> Double {
        guard s.experts > 0 else { return 0 }
        let left = max(s.leastExpertPages, min(s.mostExpertPages, s.pages - Int(Double(requests) * s.pagesPerRequest)))
        let missing = max(0, s.experts - left / s.pagesPerExpert)
        // Rows choose as if by chance: a few of them leave many experts alone.
        let wanted = 1 - pow(1 - Double(s.chosen) / Double(s.experts), Double(rows))
        return wanted * Double(missing * s.expertBytes) / s.bytesPerNanosecond
    }
}
