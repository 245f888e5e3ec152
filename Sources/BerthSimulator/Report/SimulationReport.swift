// What came of a run.

import BerthCore
import BerthEngine

/// Times in seconds of the virtual clock.
public struct SimulationReport: Sendable {
    public struct Tenant: Sendable {
        public var name: TenantName
        public var requests = 0
        public var finished = 0
        public var cancelled = 0
        /// By code.
        public var failed: [String: Int] = [:]
        public var promptTokens = 0
        public var outputTokens = 0
        /// From the client's call to the first token.
        public var firstToken = DurationHistogram()
        /// Between two tokens of a stream.
        public var gap = DurationHistogram()

        init(name: TenantName) { self.name = name }
    }

    /// One moment of the run.
    public struct Sample: Sendable {
        public var seconds: Double
        /// Tokens since the moment before, by tenant.
        public var tokens: [Int]
        public var running: Int
        public var waiting: Int
        public var kvPages: Int
        public var adapterPages: Int
        public var expertPages: Int
        /// Of all uses: pages that are not kept merely because somebody may want them.
        public var heldPages: Int
    }

    public var seed: UInt64
    public var seconds = 0.0
    public var tenants: [Tenant]
    public var counters = EngineCounters()
    public var experts: ExpertStatus?
    /// Since the time that the run was told to measure from.
    public var use = ResourceUse()
    /// Requests that found their adapter in memory, and all that have one.
    public var adapterRequests = 0
    public var samples: [Sample] = []
    /// Of a recording, by request; nil for those that failed.
    public var answers: [Recording.Answer?] = []
    /// Steps that were left for somebody who had come; and how often the limit has moved, or what is withheld.
    public var leftSteps = 0
    public var memoryMoves = 0
    public var violation: Violation?
    /// Nobody wanted to know how it went on.
    public var isCutShort = false
    /// Of every event: equal numbers are equal decisions.
    public var digest: UInt64 = 0

    init(seed: UInt64, tenants: [TenantName]) {
        self.seed = seed
        self.tenants = tenants.map(Tenant.init)
    }

    public var requests: Int { tenants.reduce(0) { $0 + $1.requests } }
    public var outputTokens: Int { tenants.reduce(0) { $0 + $1.outputTokens } }
    public var tokensPerSecond: Double { seconds > 0 ? Double(outputTokens) / seconds : 0 }
    /// Of the requests with adapters, those for which none had to be read.
    public var adapterHitRate: Double? { adapterRequests > 0 ? max(0, 1 - Double(counters.adapterLoads) / Double(adapterRequests)) : nil }
    public var firstToken: DurationHistogram { tenants.reduce(into: DurationHistogram()) { $0.add($1.firstToken) } }
    public var gap: DurationHistogram { tenants.reduce(into: DurationHistogram()) { $0.add($1.gap) } }
}
