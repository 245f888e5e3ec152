// Gauges: little workloads before and after each that is compared, whose steps have a known number of rows.

extension Recording {
    /// So many streams whose prompts are over in their first step.
    public static func gauge(streams: Int, seed: UInt64) -> Recording {
        gauge(seed: seed, requests: (0..<streams).map { _ in Request(nanoseconds: 0, prompt: 4, output: 24) })
    }

    /// One prompt after the other, each of which is a step.
    public static func gauge(promptRows rows: Int, seed: UInt64) -> Recording {
        gauge(seed: seed, requests: (0..<3).map { Request(after: $0 == 0 ? nil : $0 - 1, nanoseconds: 0, prompt: rows, output: 1) })
    }

    private static func gauge(seed: UInt64, requests: [Request]) -> Recording {
        var gauge = Recording(name: "gauge", seed: seed, requests: requests)
        gauge.isGauge = true
        return gauge
    }

    /// The rows of the steps that a gauge measures.
    public var gaugedRows: Int { requests[0].output > 1 ? requests.count : requests[0].prompt }
}

extension Recordings {
    /// The gauges next to a workload, before it and after it.
    public func gauges(around index: Int) -> [Recording] {
        workloads[..<index].reversed().prefix { $0.isGauge } + workloads[(index + 1)...].prefix { $0.isGauge }
    }
}
