// How much of the pool's memory gives way when the machine is short of it.
//
// While somebody waits for memory, or the control group is full of what cannot be dropped, the share that is withheld from what can be read again grows by a
// step every two seconds. It falls by a step every ten seconds once the machine has been calm for half a minute. Between calm and pressed nothing
// moves, so that the two do not chase each other.

/// A value: times and readings are passed in.
struct PressurePolicy: Sendable {
    struct Reading: Sendable, Equatable {
        /// Microseconds in which some task of the machine, and of this process's control group, has waited for memory, since they began; nil where
        /// the kernel does not say.
        var machineStalled: UInt64?
        var groupStalled: UInt64?
        /// What the control group holds and cannot drop, as a share of its bound.
        var fill: Double?
    }

    /// Shares of the time from which the machine is pressed, and below which it is calm; and the same for how full the control group is.
    private static let (pressedStall, calmStall) = (0.1, 0.01)
    private static let (pressedFill, calmFill) = (0.97, 0.9)
    /// Steps of the whole, and how many of them may be withheld.
    static let steps = 16
    static let mostSteps = 12
    private static let second: UInt64 = 1_000_000_000
    /// Between two steps down; from the last pressure to the first step up, and between two of those.
    static let (shrinkInterval, calmInterval, growInterval) = (2 * second, 30 * second, 10 * second)

    private(set) var withheldSteps = 0
    /// Of the last interval, as a share of its time.
    private(set) var stall = 0.0
    private var last: (reading: Reading, time: UInt64)?
    private var lastShrink: UInt64?
    /// Since when it has been calm; nil while it is not.
    private var calmSince: UInt64?
    private var lastGrowth: UInt64?

    /// - Parameter now: monotonic nanoseconds.
    mutating func observe(_ reading: Reading, now: UInt64) {
        defer { last = (reading, now) }
        guard let last, now > last.time else { return }
        stall = Self.share(of: now - last.time, last.reading.machineStalled, reading.machineStalled)
        stall = max(stall, Self.share(of: now - last.time, last.reading.groupStalled, reading.groupStalled))
        let fill = reading.fill ?? 0
        if stall >= Self.pressedStall || fill >= Self.pressedFill {
            (calmSince, lastGrowth) = (nil, nil)
            guard withheldSteps < Self.mostSteps, lastShrink.map({ now - $0 >= Self.shrinkInterval }) ?? true else { return }
            withheldSteps += 1
            lastShrink = now
        } else if stall > Self.calmStall || fill > Self.calmFill {
            calmSince = nil
        } else {
            let since = calmSince ?? now
            calmSince = since
            guard withheldSteps > 0, now - since >= Self.calmInterval, lastGrowth.map({ now - $0 >= Self.growInterval }) ?? true else { return }
            withheldSteps -= 1
            lastGrowth = now
        }
    }

    private static func share(of nanoseconds: UInt64, _ before: UInt64?, _ after: UInt64?) -> Double {
        guard let before, let after, after > before else { return 0 }
        return min(1, Double(after - before) * 1000 / Double(nanoseconds))
    }
}
