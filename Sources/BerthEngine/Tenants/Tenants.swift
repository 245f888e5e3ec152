// Everybody who has asked the engine for something, by name, and what the configuration lets them have.

import BerthCore

/// Engine thread only.
final class Tenants {
    private(set) var known: [TenantName: Tenant] = [:]
    private var policies: [TenantName: TenantPolicy] = [:]
    private var counters = [VirtualCounters(.interactive), VirtualCounters(.bulk)]
    var prices = ServicePrices()
    /// Those that were counted last.
    private var counted: [Tenant] = []
    /// Those that have a floor of pages.
    private var floored: [Tenant] = []
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
        floored = known.values.filter { $0.policy.kv.floorPages > 0 }
    }

    // MARK: who waits

    /// - Parameter running: the least counter of those whose prompts run.
    func enter(_ request: ActiveRequest, besideRunning running: Double?) { counters[request.isBulk ? 1 : 0].enter(request, besideRunning: running) }

    func leave(_ request: ActiveRequest) { counters[request.isBulk ? 1 : 0].leave(request) }

    func charge(_ request: ActiveRequest, _ units: Double) { counters[request.isBulk ? 1 : 0].charge(request.tenant, units) }

    /// Those with a request of the class that waits, in no order.
    func waiting(_ serviceClass: ServiceClass) -> some Collection<Tenant> { counters[serviceClass == .bulk ? 1 : 0].waiting.values }

    // MARK: who runs

    /// Counts what tenants have in the running set, which is `requests`.
    func count(_ requests: [ActiveRequest]) {
        for tenant in counted {
            (tenant.running, tenant.pages) = (0, 0)
            (tenant[.interactive].promised, tenant[.bulk].promised) = (0, 0)
        }
        counted.removeAll(keepingCapacity: true)
        for request in requests { count(request) }
    }

    /// Another one runs.
    func count(_ request: ActiveRequest) {
        let tenant = request.tenant
        if tenant.running == 0 { counted.append(tenant) }
        tenant.running += 1
        tenant.pages += request.pages.count
        tenant[request.request.serviceClass].promised += request.unpaid
    }

    /// Pages that are kept for other tenants: what those of them who wait have less than their floors.
    func unfilledFloors(beside tenant: Tenant) -> Int {
        floored.reduce(0) { sum, other in
            let waits = !other[.interactive].waiting.isEmpty || !other[.bulk].waiting.isEmpty
            return other !== tenant && waits ? sum + max(0, other.policy.kv.floorPages - other.pages) : sum
        }
    }

    // MARK: who is known

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
        if tenant.policy.kv.floorPages > 0 { floored.append(tenant) }
        return tenant
    }

    /// Proves that every tenant knows its requests.
    func checkInvariants(active: [ActiveRequest], waiting: [ActiveRequest]) {
        let byTenant = Dictionary(grouping: active) { ObjectIdentifier($0.tenant) }
        for tenant in known.values { precondition(tenant.activeRequests == byTenant[ObjectIdentifier(tenant)]?.count ?? 0, "\(tenant.name) miscounts its requests") }
        precondition(active.allSatisfy { known[$0.tenant.name] === $0.tenant }, "a tenant was forgotten with a request")
        let queued = ServiceClass.allCases.flatMap { serviceClass in
            self.waiting(serviceClass).flatMap { tenant in
                precondition(!tenant[serviceClass].waiting.isEmpty, "\(tenant.name) waits with nothing")
                return tenant[serviceClass].waiting.requests
            }
        }
        precondition(queued.map(\.arrival).sorted() == waiting.map(\.arrival), "the queue and its tenants disagree on who waits")
    }

    /// Forgets a part of those that nothing holds here, the longest idle first: their sums are lost with them. A part, because finding them takes a look at all.
    private func forgetIdle() {
        let idle = known.values.filter { $0.activeRequests == 0 && !$0.isConfigured }.sorted { $0.lastActive < $1.lastActive }
        for tenant in idle.prefix(max(1, limit / 8)) { known[tenant.name] = nil }
    }
}
