// What a tenant may have of the engine, as its configuration says.
//
// The server knows who a caller is and what may be asked (`BerthServer`); here stands what the scheduler has to know of it. A tenant that
// no policy names has the defaults.

import BerthMemory

public struct TenantPolicy: Sendable, Equatable {
    /// Its share of the machine beside the others' while all have work, as a ratio; within `weights`.
    public var weight = 1.0 {
        didSet { weight = weight.isFinite ? min(max(weight, Self.weights.lowerBound), Self.weights.upperBound) : 1 }
    }
    public static let weights = 0.001...1000.0
    /// Requests in the running set, at most; nil is no bound of its own.
    public var maxRunning: Int?
    /// Pages of KV that are kept for it, and that it may have at most.
    public var kv = PoolShare()
    /// Nanoseconds between two tokens of its streams, about, while prompts come in; nil is the daemon's.
    public var tokenInterval: UInt64?
    /// Nanoseconds to the first token: a request that can no longer have it in this time is refused early. Nil is no objective.
    public var firstTokenObjective: UInt64?

    public init() {}
}
