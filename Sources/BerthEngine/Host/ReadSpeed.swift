// How fast a disk brings what is read from it, of late.

import Synchronization

/// A moving average over reads. Any thread.
final class ReadSpeed: Sendable {
    private struct Sums {
        var bytes = 0.0
        var nanoseconds = 0.0
    }

    private let sums = Mutex(Sums())
    /// What the reads before weigh after another one.
    private static let fading = 0.9

    func took(_ nanoseconds: UInt64, bytes: Int) {
        sums.withLock { sums in
            sums.bytes = sums.bytes * Self.fading + Double(bytes)
            sums.nanoseconds = sums.nanoseconds * Self.fading + Double(nanoseconds)
        }
    }

    /// Nil before the first read.
    var bytesPerSecond: Double? { sums.withLock { $0.nanoseconds > 0 ? $0.bytes / $0.nanoseconds * 1e9 : nil } }
}
