// The time of a simulation.
//
// It moves when something takes time: a step that computes, a read that is waited for, and, where nothing can run, the next thing that comes
// from outside. Nobody reads another clock, so a run takes what its work takes and comes out the same each time.

/// Nanoseconds since the beginning of the run. One thread only.
public final class VirtualClock {
    public private(set) var now: UInt64 = 0

    func advance(by nanoseconds: Double) { now += UInt64(max(0, nanoseconds)) }

    /// The past stays where it is.
    func advance(to time: UInt64) { now = max(now, time) }
}
