// The pool for people: who holds what, what could leave, and what had to.
//
// Made on request, between two steps, from what the engine knows anyway. Pages are counted once: *in use* by requests, waves, and what they run on;
// *pinned*; *loading*, on their way from a file; *cached*, which may leave for others.

import BerthCore
import BerthMemory

public struct PoolPicture: Sendable, Equatable {
    /// Pages of one class by what holds them.
    public struct Class: Sendable, Equatable {
        public var use: PageClass
        public var pages = 0
        public var inUse = 0
        public var pinned = 0
        public var loading = 0
        public var cached = 0

        public init(_ use: PageClass) { self.use = use }
    }

    /// Somebody who holds pages.
    public struct Holder: Sendable, Equatable {
        public enum Kind: String, Sendable { case request, adapter, experts, wave }
        public enum State: String, Sendable { case running, bulk, used, pinned, loading, cached }

        public var kind: Kind
        public var name: String
        public var state: State
        public var pages: Int
        /// Of requests.
        public var adapter: AdapterName?
        public var tenant: TenantName?

        public init(kind: Kind, name: String, state: State, pages: Int, adapter: AdapterName? = nil, tenant: TenantName? = nil) {
            (self.kind, self.name, self.state, self.pages, self.adapter, self.tenant) = (kind, name, state, pages, adapter, tenant)
        }
    }

    /// How often something was looked for in memory, and found.
    public struct Lookups: Sendable, Equatable {
        public var queries = 0
        public var hits = 0
        public init() {}
    }

    public var capacity = 0
    public var withheld = 0
    /// Pages that have memory of the machine's.
    public var touched = 0
    public var classes: [Class] = []
    /// Those with the most pages, most first.
    public var holders: [Holder] = []
    /// Pages of running requests by tenant, each once, however many of its requests stand on it.
    public var tenants: [TenantName: Int] = [:]
    public var evictions: [Eviction: Int] = [:]
    /// Requests with an adapter, and those of them that did not have to wait for it.
    public var adapters = Lookups()

    public init() {}
}

extension Engine {
    public var poolPicture: PoolPicture {
        let snapshot = pool.snapshot
        var picture = PoolPicture()
        (picture.capacity, picture.withheld, picture.touched) = (pool.capacity, snapshot.withheld, snapshot.touched)
        picture.classes = PageClass.allCases.map { use in
            var row = PoolPicture.Class(use)
            let pages = snapshot[use]
            row.pages = pages.reserved + pages.published
            row.loading = pages.reserved
            row.pinned = use == .adapter ? registry.residents.reduce(0) { $0 + ($1.isPinned ? $1.pageCount : 0) } : 0
            row.cached = economy.evictablePages(of: use)
            row.inUse = max(0, row.pages - row.loading - row.pinned - row.cached)
            return row
        }
        let requests = running.requests + bulk.requests
        var holders = requests.map { request in
            PoolPicture.Holder(
                kind: .request, name: "\(request.request.id)", state: request.isBulk ? .bulk : .running, pages: request.pages.count,
                adapter: request.request.adapter, tenant: request.request.tenant)
        }
        holders += registry.holders
        if let experts, pool.pageCount(of: .expert) > 0 {
            let pages = pool.pageCount(of: .expert)
            holders.append(.init(kind: .experts, name: "\(pages / experts.pagesPerExpert) of \(experts.slots.count)", state: .cached, pages: pages))
        }
        let rows = pool.pageCount(of: .activation)
        if rows > 0 { holders.append(.init(kind: .wave, name: "rows", state: .used, pages: rows)) }
        picture.holders = Array(holders.sorted { ($1.pages, $0.kind.rawValue, $0.name) < ($0.pages, $1.kind.rawValue, $1.name) }.prefix(Limits.poolHolders))
        for (tenant, requests) in Dictionary(grouping: requests, by: \.request.tenant) { picture.tenants[tenant] = Set(requests.flatMap(\.pages)).count }
        picture.evictions = economy.evictions
        picture.adapters = registry.lookups
        return picture
    }
}

extension AdapterRegistry {
    /// Adapters in memory or on their way there.
    fileprivate var holders: [PoolPicture.Holder] {
        (residents + reads.values).map { adapter in
            let state: PoolPicture.Holder.State = adapter.isLoading ? .loading : adapter.isPinned ? .pinned : adapter.runningRequests > 0 ? .used : .cached
            return .init(kind: .adapter, name: adapter.name.text, state: state, pages: adapter.pageCount)
        }
    }
}
