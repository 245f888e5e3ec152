// How busy a run kept its machine.

/// Sums over a part of a run.
public struct ResourceUse: Sendable, Equatable {
    /// The run's own time, in seconds.
    public var seconds = 0.0
    /// In which passes computed; and of it what passes of one row would have taken, and experts without rows: the reading of weights.
    public var computeSeconds = 0.0
    public var weightSeconds = 0.0
    /// In which the disk moved bytes.
    public var diskSeconds = 0.0

    static func - (left: ResourceUse, right: ResourceUse) -> ResourceUse {
        ResourceUse(
            seconds: left.seconds - right.seconds, computeSeconds: left.computeSeconds - right.computeSeconds, weightSeconds: left.weightSeconds - right.weightSeconds,
            diskSeconds: left.diskSeconds - right.diskSeconds)
    }
}
