// Sizes of waves that somebody wants, in place of those that the planner would choose.

/// For measurements of the planner; nil is its choice. What memory does not allow is not had.
public struct WaveSizes: Sendable, Equatable {
    /// Requests of a wave.
    public var requests: Int?
    /// Rows of a wave: prompts take what requests that generate leave.
    public var rows: Int?
    /// Rows that pass attention and dense projections at once, and half of those that pass experts.
    public var partRows: Int?

    public init() {}
}
