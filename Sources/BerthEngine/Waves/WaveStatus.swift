// Bulk work as operators see it: the plan of its waves beside what they take.

public struct WaveStatus: Sendable, Equatable {
    /// Bulk requests that run, and that wait.
    public var running = 0
    public var waiting = 0
    /// Waves that ended, and that were given up because a stream needed the pages.
    public var waves = 0
    public var abandoned = 0
    /// Rows that a wave may have, and that pass attention at once; 0 while there is no bulk work.
    public var rows = 0
    public var partRows = 0
    /// Requests that a wave shall have, and the seconds that one should take in which each gets a token; 0 before the first.
    public var plannedRequests = 0
    public var plannedSeconds = 0.0
    /// The last wave that ended: requests that had rows in it, rows, and seconds as they were foreseen and as it took.
    public var lastRequests = 0
    public var lastRows = 0
    public var foreseenSeconds = 0.0
    public var measuredSeconds = 0.0
    /// The same of all waves that ended, together.
    public var allForeseenSeconds = 0.0
    public var allMeasuredSeconds = 0.0
    /// Rows that waves with prompts have, and the seconds that all bulk work was foreseen to take when the last of them began.
    public var scheduledRows = 0
    public var scheduledSeconds = 0.0

    public init() {}
}

extension Engine {
    public var waveStatus: WaveStatus {
        var status = WaveStatus()
        status.running = bulk.count
        status.waiting = waiting.requests.count { $0.isBulk }
        (status.waves, status.abandoned) = (counters.waves, counters.abandonedWaves)
        if waves.memory != nil { (status.rows, status.partRows) = (waves.size.rows, waves.partRows) }
        if let choice = waves.choice { (status.plannedRequests, status.plannedSeconds) = (choice.requests, choice.nanoseconds / 1e9) }
        if let measured = waves.measured {
            (status.lastRequests, status.lastRows) = (measured.requests, measured.rows)
            (status.foreseenSeconds, status.measuredSeconds) = (measured.foreseen / 1e9, Double(measured.nanoseconds) / 1e9)
        }
        (status.allForeseenSeconds, status.allMeasuredSeconds) = (waves.sums.foreseen / 1e9, waves.sums.measured / 1e9)
        if let schedule = waves.schedule { (status.scheduledRows, status.scheduledSeconds) = (schedule.rows, schedule.nanoseconds / 1e9) }
        return status
    }
}
