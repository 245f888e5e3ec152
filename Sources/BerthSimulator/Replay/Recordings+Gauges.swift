// Gauges: little workloads before and after each that is compared, whose steps have a known number of rows.

extension Recording {
    /// Streams alone, whose prompts are over in their first step; or prompts one after the other, each of which is a step, alone or beside streams.
    /// - Parameter rows: of each prompt; 0 without prompts.
    public static func gauge(streams: Int, promptRows rows: Int, seed: UInt64) -> Recording {
        precondition(streams > 0 || rows > 0)
        var gauge = Recording(name: "gauge", seed: seed, requests: [])
        gauge.isGauge = true
        gauge.requests = (0..<streams).map { _ in Request(nanoseconds: 0, prompt: 4, output: Self.streamedTokens) }
        guard rows > 0 else { return gauge }
        // The last stream is over soon, and then the first prompt comes. Three tokens pass with each prompt at most: in its step, before it and after it.
        if streams > 0 { gauge.requests[streams - 1].output = 2 }
        let prompts = streams > 0 ? streamedTokens / 3 - 1 : 3
        for _ in 0..<prompts { gauge.requests.append(Request(after: gauge.requests.isEmpty ? nil : gauge.requests.count - 1, nanoseconds: 0, prompt: rows, output: 1)) }
        return gauge
    }

    private static let streamedTokens = 24

    private var gaugingPrompts: Range<Int> { (requests.firstIndex { $0.output == 1 } ?? requests.count)..<requests.count }

    /// The rows of the steps that a gauge measures.
    public var gaugedRows: Int {
        let prompts = gaugingPrompts
        return prompts.isEmpty ? requests.count : max(0, prompts.lowerBound - 1) + requests[prompts.lowerBound].prompt
    }

    /// What such a step has taken, seconds: from one prompt to the next, with what comes between them; or between two tokens of the streams.
    /// - Parameter answers: as many as there are requests.
    public func gaugedSeconds(_ answers: [Answer]) -> Double {
        let prompts = gaugingPrompts
        if let first = prompts.first, let last = prompts.last { return (answers[last].end - answers[first].asked) / Double(prompts.count) }
        return zip(requests, answers).reduce(0) { $0 + ($1.1.end - $1.1.first) / Double($1.0.output - 1) } / Double(requests.count)
    }
}

extension Recordings {
    /// The gauges next to a workload, before it and after it.
    public func gauges(around index: Int) -> [Recording] {
        workloads[..<index].reversed().prefix { $0.isGauge } + workloads[(index + 1)...].prefix { $0.isGauge }
    }
}
