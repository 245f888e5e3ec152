// Who has had how much: virtual token counters (Sheng et al., Fairness in Serving Large Language Models, OSDI 2024).
//
// A tenant's counter grows with the service that it gets, divided by its weight; of those who wait, whoever has the least is served next. A tenant that comes back
// from idleness is lifted to the least counter of those who wait: what it did not use is not saved up. So the service that two tenants got while both had
// requests waiting differs by no more than what one admission or one step can add, whatever they ask for.
//
// Service is counted when it is given, row by row, not when a request is let in: prompts are computed in chunks, and a newcomer must not be
// lifted to what others are still owed. For the order of admission what running prompts are still owed counts, too (`Standing.promised`). What a preempted request
// computes anew is not counted again, nor is what was found in a cache.
//
// Interactive and bulk requests have counters of their own: bulk work uses what is idle, and says nothing of how a tenant stands beside others
// who wait for answers.

import BerthCore

extension Tenant {
    /// How a tenant stands in one service class.
    struct Standing {
        /// Units of service over weight.
        var counter = 0.0
        var waiting = TenantLine()
        /// Of prompts in the running set, what is not computed yet; as it was counted last (`Tenants.count`).
        var promised = 0
    }

    /// Its counter with what its running prompts will be charged, but for so many tokens of them. Counts must be fresh.
    func promisedCounter(_ serviceClass: ServiceClass, without tokens: Int = 0) -> Double {
        self[serviceClass].counter + Double(self[serviceClass].promised - tokens) / weight
    }
}

/// Of one service class. Engine thread only.
struct VirtualCounters {
    let serviceClass: ServiceClass
    /// Tenants with a request that waits.
    private(set) var waiting: [TenantName: Tenant] = [:]
    /// Whose last waiting request was the last to leave.
    private var lastToLeave: Tenant?

    init(_ serviceClass: ServiceClass) { self.serviceClass = serviceClass }

    /// A request waits from now on. Where nobody waits, those count whose prompts run: they wait for rows.
    mutating func enter(_ request: ActiveRequest, besideRunning running: Double?) {
        let tenant = request.tenant
        if tenant[serviceClass].waiting.isEmpty {
            let least = waiting.values.reduce(Double.infinity) { min($0, $1[serviceClass].counter) }
            let level = least.isFinite ? least : running ?? lastToLeave?[serviceClass].counter ?? 0
            tenant[serviceClass].counter = max(tenant[serviceClass].counter, level)
            waiting[tenant.name] = tenant
        }
        tenant[serviceClass].waiting.insert(request)
    }

    /// It does not wait any more.
    mutating func leave(_ request: ActiveRequest) {
        let tenant = request.tenant
        tenant[serviceClass].waiting.remove(request)
        if tenant[serviceClass].waiting.isEmpty {
            waiting[tenant.name] = nil
            lastToLeave = tenant
        }
    }

    /// The tenant got so many units of service.
    func charge(_ tenant: Tenant, _ units: Double) { tenant[serviceClass].counter += units / tenant.weight }
}
