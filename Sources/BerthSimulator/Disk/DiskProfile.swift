// The disk of a simulated machine: how fast it is, and how it fails.

import BerthCore

/// Rates per second and durations in nanoseconds, in bytes of the machine that is simulated.
public struct DiskProfile: Sendable, Equatable {
    /// All reads together.
    public var bytesPerSecond = 1.0e9
    /// Before the first byte of a read; reads under way at the same time share this time.
    public var latency = 120_000.0
    /// The chance of a read to fail, after it took its time.
    public var errorChance = 0.0
    /// The chance of a read to be held up, and for how long.
    public var delayChance = 0.0
    public var delay = 50e6

    public init() {}
}

/// Says when reads end. Those of adapters and of experts share it.
final class SimulatedDisk {
    private let profile: DiskProfile
    private var random: RandomSource
    /// When the last byte of all reads so far has come.
    private var busyUntil = 0.0
    /// In which bytes moved, of all reads so far. Nanoseconds.
    private(set) var busy = 0.0

    init(_ profile: DiskProfile, seed: UInt64) {
        self.profile = profile
        random = RandomSource(seed: seed)
    }

    struct Passage {
        var end: UInt64
        var fails: Bool
    }

    /// A read that starts now, or when one ended: starts come in order of time.
    func read(bytes: Double, at start: UInt64) -> Passage {
        var begin = Double(start) + profile.latency * (0.8 + 0.4 * random.unit())
        if random.unit() < profile.delayChance { begin += profile.delay }
        let moving = bytes / profile.bytesPerSecond * 1e9
        busyUntil = max(begin, busyUntil) + moving
        busy += moving
        return Passage(end: UInt64(busyUntil), fails: random.unit() < profile.errorChance)
    }
}
