// What a tenant has had of the machine, for whoever bills or wonders.
//
// Booked where it happens, once, on the account of a tenant and an adapter; a tenant's sums are those of its accounts. Sums only grow, for as
// long as the tenant is remembered.

import BerthCore

/// Sums since the tenant's first request.
public struct TenantUse: Sendable, Equatable {
    /// Of prompts that were computed to their end; and those among them whose keys and values were there already.
    public var promptTokens = 0
    public var cachedTokens = 0
    public var generatedTokens = 0
    /// Of the steps' measured time, each shared out over its rows by what they cost. A step after which nothing followed counts as long as it was foreseen to take.
    public var computeSeconds = 0.0
    /// Adapters that were read for its requests, and of experts what their steps have read.
    public var diskBytes = 0.0
    public var finishedRequests = 0
    public var cancelledRequests = 0
    /// Those that ended with a failure after they had been taken.
    public var failedRequests = 0
    /// Those that were not taken.
    public var refusedRequests = 0
    public var preemptions = 0
    /// Those that had waited behind its more urgent ones for long enough.
    public var raisedRequests = 0

    public init() {}

    public static func += (sum: inout TenantUse, other: TenantUse) {
        sum.promptTokens += other.promptTokens
        sum.cachedTokens += other.cachedTokens
        sum.generatedTokens += other.generatedTokens
        sum.computeSeconds += other.computeSeconds
        sum.diskBytes += other.diskBytes
        sum.finishedRequests += other.finishedRequests
        sum.cancelledRequests += other.cancelledRequests
        sum.failedRequests += other.failedRequests
        sum.refusedRequests += other.refusedRequests
        sum.preemptions += other.preemptions
        sum.raisedRequests += other.raisedRequests
    }
}

/// A tenant as operators see it.
public struct TenantStatus: Sendable, Equatable {
    public struct AdapterUse: Sendable, Equatable {
        /// Nil is the base model.
        public var adapter: AdapterName?
        public var use: TenantUse

        public init(adapter: AdapterName?, use: TenantUse) {
            self.adapter = adapter
            self.use = use
        }
    }

    public var tenant: TenantName
    /// Requests in the running set, and those that wait.
    public var running = 0
    public var waiting = 0
    /// Pages that the running ones' keys and values take.
    public var pages = 0
    /// Over all adapters.
    public var use = TenantUse()
    /// In the order of the adapters' names, the base first. What came after `Limits.accountedAdapters` others stands in `use` alone.
    public var adapters: [AdapterUse] = []

    public init(tenant: TenantName) { self.tenant = tenant }
}

/// The account of a tenant and an adapter. Engine thread only.
final class UseAccount {
    var use = TenantUse()
}
