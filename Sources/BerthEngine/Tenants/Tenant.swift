// One tenant inside the engine: its requests that wait, its standing beside the others, its accounts.
//
// Made by its first request. One that no policy names is forgotten when there are too many and it has been idle longest (`Tenants`).

import BerthCore

/// Engine thread only.
final class Tenant {
    let name: TenantName
    var policy: TenantPolicy
    /// Named by the configuration: never forgotten.
    var isConfigured: Bool
    private var interactive = Standing()
    private var bulk = Standing()
    /// Requests in the running set and their pages, as they were counted last (`Tenants.count`). A page on which several stand counts for each: so much each would
    /// take by itself, and so much shares and bounds are about.
    var running = 0
    var pages = 0
    /// Requests that have not ended.
    var activeRequests = 0
    /// A tick of `Tenants`: when it last had one.
    var lastActive: UInt64 = 0
    private var accounts: [AdapterName?: UseAccount] = [:]
    /// Of adapters that found no place of their own.
    private let others = UseAccount()

    init(_ name: TenantName, policy: TenantPolicy?) {
        self.name = name
        self.policy = policy ?? TenantPolicy()
        isConfigured = policy != nil
    }

    /// Greater than 0.
    var weight: Double { policy.weight }

    subscript(serviceClass: ServiceClass) -> Standing {
        get { serviceClass == .interactive ? interactive : bulk }
        _modify { if serviceClass == .interactive { yield &interactive } else { yield &bulk } }
    }

    func account(of adapter: AdapterName?) -> UseAccount {
        if let account = accounts[adapter] { return account }
        guard accounts.count < Limits.accountedAdapters else { return others }
        let account = UseAccount()
        accounts[adapter] = account
        return account
    }

    /// Without the requests that are here: the engine knows them.
    var status: TenantStatus {
        var status = TenantStatus(tenant: name)
        status.adapters = accounts.map { TenantStatus.AdapterUse(adapter: $0, use: $1.use) }.sorted { ($0.adapter?.text ?? "") < ($1.adapter?.text ?? "") }
        status.use = others.use
        for entry in status.adapters { status.use += entry.use }
        return status
    }
}
