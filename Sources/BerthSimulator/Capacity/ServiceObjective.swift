// When a machine is fast enough.

/// Most requests have their first token in time, and most tokens follow in time. Seconds, and parts of all.
public struct ServiceObjective: Sendable, Equatable {
    public var firstToken = 1.0
    /// Of all requests; those that fail are late.
    public var requests = 0.9
    public var gap = 0.25
    public var tokens = 0.99

    public init() {}
}

/// What requests of one or several machines got.
public struct ServiceOutcome: Sendable {
    public private(set) var requests = 0
    public private(set) var failed = 0
    /// So many were late that the others do not matter, and were not waited for.
    public internal(set) var isHopeless = false
    public private(set) var firstToken = DurationHistogram()
    public private(set) var gap = DurationHistogram()

    mutating func add(_ tenant: SimulationReport.Tenant) {
        requests += tenant.requests
        failed += tenant.requests - tenant.finished
        firstToken.add(tenant.firstToken)
        gap.add(tenant.gap)
    }

    mutating func add(_ other: ServiceOutcome) {
        requests += other.requests
        failed += other.failed
        isHopeless = isHopeless || other.isHopeless
        firstToken.add(other.firstToken)
        gap.add(other.gap)
    }

    public func meets(_ objective: ServiceObjective) -> Bool {
        if isHopeless { return false }
        let inTime = Double(firstToken.count) * firstToken.share(within: objective.firstToken) - Double(failed)
        return inTime >= objective.requests * Double(requests) && gap.share(within: objective.gap) >= objective.tokens
    }
}
