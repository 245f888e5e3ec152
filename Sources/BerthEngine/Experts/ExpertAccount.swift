// What paging experts has cost and brought since the start.

/// Counts of one cache. An expert of a layer counts once per step, however many rows chose it.
public struct ExpertAccount: Sendable, Equatable {
    /// Wanted and in memory.
    public var hits = 0
    /// Wanted, and read while its rows waited.
    public var misses = 0
    /// Wanted while a guess was still being read.
    public var lateGuesses = 0
    public var evictions = 0
    public var bytesRead = 0
    /// Rows that passed the model: tokens.
    public var rows = 0
    /// Reads begun on a guess about the next layer; of these, in memory when wanted, evicted unused, not wanted when their layer came (and
    /// taken back before they started).
    public var guesses = 0
    public var usefulGuesses = 0
    public var wastedGuesses = 0
    public var wrongGuesses = 0
    public var cancelledGuesses = 0
    /// Reads begun between two steps for what the next one's requests used last; of these, in memory when wanted.
    public var queueReads = 0
    public var usefulQueueReads = 0
    /// Reads that brought back what an earlier life used most.
    public var warmReads = 0
    public var failedReads = 0
    /// Experts that a layer had to go on without.
    public var lostExperts = 0

    public init() {}
}
