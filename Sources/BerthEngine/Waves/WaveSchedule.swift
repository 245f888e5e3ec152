// What of prompts goes into each wave, foreseen to the end of the work.
//
// A wave reads the experts that are missing however many rows it has. One of prompts has more to compute than to read, one of requests that generate more
// to read than to compute: where each came by itself, the disk would rest in the first and the processor in the second. So prompts are spread over the
// waves of those who generate already (after BlendServe, Zhao et al., arXiv 2411.16102). How many rows a wave should have follows from
// playing the waves that are still to come with few rows in each, with more, and so on: with too few the last prompts come late, and a long tail of waves
// reads for few requests; with too many there is nothing left that the tail could compute while it reads.

/// A pure value.
struct WaveSchedule {
    /// A request, as far as the time of waves depends on it.
    struct Request: Equatable {
        /// Tokens that are to be computed before it generates, and those that are.
        var prompt: Int
        var computed: Int
        /// Tokens that it will still generate, about.
        var generates: Int
    }

    /// Those who generate.
    private(set) var generating: [Request] = []
    /// The others, in the order in which they get rows.
    private(set) var prompts: [Request] = []
    /// As many have places at a time.
    let width: Int

    init(_ requests: [Request], width: Int) {
        self.width = width
        for var request in requests {
            // Beyond so many waves nobody looks.
            request.generates = min(max(request.generates, 1), Self.horizon / 2)
            if request.prompt > 1 { prompts.append(request) } else { generating.append(request) }
        }
    }

    /// Waves that are played, at most.
    private static let horizon = 2048
    /// Rows of prompts beside those who generate, as they are tried.
    private static let promptRows = [64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096]
    /// Prompts get as many rows in every wave, whoever generates.
    private static let leastPromptRows = 32
    /// Of two numbers that differ by less, the larger is taken: it gives prompts sooner what they wait for.
    private static let tolerance = 0.005

    /// A number of rows with the time that everything would take.
    struct Choice: Equatable {
        var rows: Int
        var nanoseconds: Double
    }

    /// The rows of the next wave with which all is done soonest.
    /// - Parameters:
    ///   - most: rows that a wave may have.
    ///   - cost: nanoseconds of a wave.
    func choose(most: Int, cost: (StepLoad) -> Double) -> Choice {
        var best = Choice(rows: most, nanoseconds: nanoseconds(rows: most, cost) ?? .infinity)
        for rows in Self.promptRows.reversed() where generating.count + rows < most {
            guard let time = nanoseconds(rows: generating.count + rows, cost) else { break }
            if time < best.nanoseconds * (1 - Self.tolerance) { best = Choice(rows: generating.count + rows, nanoseconds: time) }
        }
        return best
    }

    /// What all waves take with so many rows in each, as long as there are prompts; nil where that is beyond the horizon.
    func nanoseconds(rows: Int, _ cost: (StepLoad) -> Double) -> Double? {
        /// Those who generate, and the sum of their contexts; those who stop after a wave, likewise.
        var (count, contexts) = (generating.count, 0)
        var ends = [(count: Int, contexts: Int)](repeating: (0, 0), count: Self.horizon)
        for request in generating {
            contexts += request.computed
            ends[request.generates - 1].count += 1
            ends[request.generates - 1].contexts += request.computed + request.generates
        }
        var next = 0
        /// Of the next prompt, what was computed in waves before.
        var done = 0
        var time = 0.0
        var wave = 0
        while count > 0 || next < prompts.count {
            guard wave < Self.horizon else { return nil }
            var load = StepLoad()
            load.add(single: count, after: contexts)
            var room = max(rows - count, Self.leastPromptRows)
            var (joined, joinedContexts, places) = (0, 0, width - count)
            while room > 0, next < prompts.count, places > 0 {
                let prompt = prompts[next]
                let part = min(prompt.prompt - done, room)
                load.add(rows: part, after: prompt.computed + done)
                room -= part
                done += part
                guard done == prompt.prompt else { break }
                // The last row of the prompt has brought the first token.
                places -= 1
                (next, done) = (next + 1, 0)
                guard prompt.generates > 1 else { continue }
                let (context, last) = (prompt.computed + prompt.prompt, wave + prompt.generates - 1)
                guard last < Self.horizon else { return nil }
                joined += 1
                joinedContexts += context
                ends[last].count += 1
                ends[last].contexts += context + prompt.generates - 1
            }
            time += cost(load)
            contexts += count + joinedContexts - ends[wave].contexts
            count += joined - ends[wave].count
            wave += 1
        }
        return time
    }
}
