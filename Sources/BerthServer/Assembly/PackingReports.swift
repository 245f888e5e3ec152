// Lines about the progress of packing: for the log of whoever waits at a terminal, and for `systemctl status`.

import BerthCore
import BerthStore

/// Turns the many steps of packing into a line now and then.
struct PackingReports {
    private let intervalNanoseconds: UInt64
    private var nextNanoseconds: UInt64

    init(intervalNanoseconds: UInt64) {
        self.intervalNanoseconds = intervalNanoseconds
        nextNanoseconds = intervalNanoseconds
    }

    /// The line for `progress`; nil while the last one is fresh. A packing that is done within one interval has no lines.
    mutating func line(_ progress: PackingProgress) -> String? {
        guard progress.elapsedNanoseconds >= nextNanoseconds, progress.doneBytes < progress.totalBytes else { return nil }
        nextNanoseconds = progress.elapsedNanoseconds + intervalNanoseconds
        let done = "packing weights: \(ByteSize(bytes: progress.doneBytes)) of \(ByteSize(bytes: progress.totalBytes))"
        return done + (progress.remainingNanoseconds.map { ", about \(Self.text(nanoseconds: $0)) to go" } ?? "")
    }

    /// Rounded up: `8 s`, `3 min`.
    static func text(nanoseconds: UInt64) -> String {
        let seconds = (nanoseconds + 999_999_999) / 1_000_000_000
        return seconds <= 90 ? "\(seconds) s" : "\((seconds + 59) / 60) min"
    }
}
