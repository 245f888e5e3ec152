// Everybody who has asked the engine for something, by name, and what the configuration lets them have.

import BerthCore

/// Engine thread only.
final class Tenants {
    private(set) var known: [TenantName: Tenant] = [:]
    private var policies: [TenantName: TenantPolicy] = [:]
    private var tick: UInt64 = 0
    /// Tenants that are remembered; all of them may be active.
    private let limit: Int

    /// - Parameter activeRequests: how many requests there can be at a time.
    init(activeRequests: Int) { limit = max(Limits.rememberedTenants, activeRequests + 1) }

    func setPolicies(_ policies: [TenantName: TenantPolicy]) {
        self.policies = policies
        for (name, tenant) in known {
            tenant.policy = policies[name] ?? TenantPolicy()
            tenant.isConfigured = policies[name] != nil
        }
    }

    func tenant(_ name: TenantName) -> Tenant {
        tick += 1
        if let tenant = known[name] {
            tenant.lastActive = tick
            return tenant
        }
        if known.count >= limit { forgetIdle() }
        let tenant = Tenant(name, policy: policies[name])
        tenant.lastActive = tick
        known[name] = tenant
        return tenant
    }

    /// Forgets a part of those that nothing holds here, the longest idle first: their sums are lost with them. A part, because finding them takes a look at all.
    private func forgetIdle() {
        let idle = known.values.filter { $0.activeRequests == 0 && !$0.isConfigured }.sorted { $0.lastActive < $1.lastActive }
        for tenant in idle.prefix(max(1, limit / 8)) { known[tenant.name] = nil }
    }
}
