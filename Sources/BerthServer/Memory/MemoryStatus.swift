// `--memory` at one moment, for people and programs.

import BerthCore

/// Sizes are bytes.
public struct MemoryStatus: Sendable, Equatable {
    /// In force, and asked for: less is in force where the machine or the control group has less.
    public var limit = 0
    public var wanted = 0
    /// The model needs so much; more than `most` cannot be had without a restart.
    public var least = 0
    public var most = 0
    public var weights = 0
    public var activations = 0
    public var process = 0
    public var pool = 0
    /// Of the pool, what its caches do without because the machine is short of memory: what it has given back, and what it has not touched.
    public var withheld = 0
    /// The part of the time in which somebody waits for memory.
    public var stall = 0.0
    public var groupLimit: Int?
    /// What could not be had as it was asked for.
    public var warnings: [String] = []

    public init() {}
}

extension MemoryStatus {
    var json: JSON {
        [
            "limit_bytes": JSON(limit), "wanted_bytes": JSON(wanted), "least_bytes": JSON(least), "most_bytes": JSON(most),
            "plan": ["weights": JSON(weights), "activations": JSON(activations), "process": JSON(process), "pool": JSON(pool)],
            "withheld_bytes": JSON(withheld), "stall": .number((stall * 1e4).rounded() / 1e4), "group_limit_bytes": groupLimit.map { JSON($0) } ?? nil,
            "warnings": .array(warnings.map(JSON.string)),
        ]
    }
}
