// Between tenants: whose request is next, and who makes way.
//
// What a tenant holds is counted anew where it is asked for (`recount`), out of the requests that run: no sum can drift.

import BerthCore

extension Engine {
    // MARK: the queue

    func enterQueue(_ request: ActiveRequest) {
        waiting.insert(request)
        let others = request.isBulk ? bulk.requests : running.requests
        tenants.enter(request, besideRunning: others.lazy.filter { $0.unpaid > 0 }.map { $0.tenant[request.request.serviceClass].counter }.min())
    }

    func leaveQueue(_ request: ActiveRequest) {
        waiting.remove(request)
        tenants.leave(request)
    }

    /// Those of a class who wait, in the order in which they are asked: by their tenants' counters, and of one tenant by urgency and as `affinityOrder` says.
    func fairOrder(_ serviceClass: ServiceClass) -> FairOrder {
        FairOrder(
            tenants.waiting(serviceClass).map { tenant in
                (tenant, tenant.promisedCounter(serviceClass), affinityOrder(tenant[serviceClass].waiting.requests))
            })
    }

    /// Who is asked first, as many as are wanted. The places of a service class stay where its requests came.
    func admissionOrder(_ most: Int = .max) -> [ActiveRequest] {
        recount()
        var orders = [fairOrder(.interactive), fairOrder(.bulk)]
        return waiting.requests.prefix(most).map { place in
            let request = orders[place.isBulk ? 1 : 0].next()!
            orders[place.isBulk ? 1 : 0].charge(priceOfAdmission(request))
            return request
        }
    }

    /// What an admitted request will surely be charged: its prompt, and a token.
    func priceOfAdmission(_ request: ActiveRequest) -> Double { Double(request.unpaid) + tenants.prices.output }

    /// Counts what tenants have in the running set.
    func recount() { tenants.count(running.requests + bulk.requests) }

    /// The same, and what those who run will want.
    func recountAll() {
        recount()
        forecast = MemoryForecast(blockTokens: model.kvLayout.blockTokens)
        for request in running.requests + bulk.requests { forecast.add(holder(request)) }
    }

    /// A request as the forecast sees it, with the pages of all its tokens; nil where nothing is known of its end.
    func holder(_ request: ActiveRequest) -> MemoryForecast.Holder? {
        guard !request.isBulk, let remaining = remainingTokens(request) else { return nil }
        let pages = request.blocks.isEmpty ? blocks(request.tokens.count) : request.pages.count
        return MemoryForecast.Holder(pages: pages, room: pages * model.kvLayout.blockTokens - request.tokens.count, remaining: remaining)
    }

    /// Tokens that a request may still generate.
    func mostTokens(_ request: ActiveRequest) -> Int { min(request.request.maxTokens, model.contextLength - request.promptCount) - request.generated }

    /// Tokens that it will still generate as the past has it, its own bound aside; nil where too little is known.
    func drawnTokens(_ request: ActiveRequest) -> OutputLengths.Draws? {
        lengths.remaining(after: request.generated, of: request.request.adapter, at: OutputLengths.places(ofArrival: request.arrival))
    }

    /// The same as `configuration.admissionRule` sees it.
    private func remainingTokens(_ request: ActiveRequest) -> OutputLengths.Draws? {
        let most = OutputLengths.Draws(repeating: Float(mostTokens(request)))
        switch configuration.admissionRule {
        case .optimistic: return .zero
        case .pageToSpare: return nil
        case .worstCase: return most
        case .predicted: return drawnTokens(request).map { $0.replacing(with: most, where: $0 .> most) }
        }
    }

    /// The running requests whose prompts are computed next, in the order in which they get rows: those of whoever had least first, and of one tenant as `order` says, which is by urgency. Tenants with little to do do not
    /// wait for others' chunks: as long as such tenants come first, only their prompts are in the step, which is shorter then.
    func promptOrder(
        of requests: [ActiveRequest], _ serviceClass: ServiceClass, by order: ([ActiveRequest]) -> [ActiveRequest] = { $0.byUrgency }
    ) -> [ActiveRequest] {
        guard let tenant = requests.first?.tenant, !requests.allSatisfy({ $0.tenant === tenant }) else { return order(requests) }
        var lines: [ObjectIdentifier: (tenant: Tenant, counter: Double, requests: [ActiveRequest])] = [:]
        for request in requests where request.pending > 1 {
            lines[ObjectIdentifier(request.tenant), default: (request.tenant, request.tenant[serviceClass].counter, [])].requests.append(request)
        }
        var turns = FairOrder(lines.values.map { ($0.tenant, $0.counter, order($0.requests)) })
        var prompts: [ActiveRequest] = []
        while let request = turns.next() {
            prompts.append(request)
            turns.charge(Double(request.unpaid))
        }
        let most = configuration.stepTokens / Self.lightPart
        let light = Set(
            lines.filter { _, line in
                line.tenant[serviceClass].waiting.isEmpty && line.requests.reduce(0) { $0 + $1.pending } <= most
            }.keys)
        let first = prompts.prefix { light.contains(ObjectIdentifier($0.tenant)) }
        return first.isEmpty ? prompts : Array(first)
    }

    /// All prompts of a tenant with little to do take at most this part of a step's rows.
    static let lightPart = 4

    // MARK: service

    /// The next `count` tokens of a request have been computed.
    func chargeRows(_ request: ActiveRequest, _ count: Int) {
        let end = request.computed + count
        let first = max(request.charged, request.computed)
        if min(end, request.promptCount) > first { tenants.charge(request, Double(min(end, request.promptCount) - first)) }
        request.charged = max(request.charged, end)
    }

    /// So much was read from disk for it.
    func chargeDisk(_ request: ActiveRequest, bytes: Double) {
        request.account.use.diskBytes += bytes
        tenants.charge(request, bytes * tenants.prices.byte)
    }

    /// What experts have read since the last step goes by the rows of this one.
    func chargeExpertReads(_ plan: StepPlan) {
        guard let experts else { return }
        let bytes = Double(experts.account.bytesRead - bookedExpertBytes)
        bookedExpertBytes = experts.account.bytesRead
        guard bytes > 0, plan.tokenCount > 0 else { return }
        for scheduled in plan.rows { chargeDisk(scheduled.request, bytes: bytes * Double(scheduled.count) / Double(plan.tokenCount)) }
    }

    /// What a generated token costs a tenant now, in tokens of prompts.
    public var outputPrice: Double { tenants.prices.output }

    // MARK: bounds of a tenant

    /// Its tenant has as much as it may have: others go first. Counts are those of this pass.
    func isAtBound(_ request: ActiveRequest) -> Bool {
        let tenant = request.tenant
        if let most = tenant.policy.maxRunning, tenant.running >= max(1, most) { return true }
        return tenant.running > 0 && exceedsCeiling(tenant, blocks(request.tokens.count))
    }

    private func exceedsCeiling(_ tenant: Tenant, _ more: Int) -> Bool {
        tenant.policy.kv.ceilingPages < pool.pageCount && tenant.pages + more > tenant.policy.kv.ceilingPages
    }

    // MARK: who makes way

    /// What a tenant holds of the running set, the greater of requests and pages, over its weight.
    private func hold(_ tenant: Tenant, requests: Int, pages: Int) -> Double {
        let most = max(1, min(pool.pageCount, pool.share(of: .kv).ceilingPages))
        return max(Double(tenant.running + requests) / Double(configuration.runningRequests), Double(tenant.pages + pages) / Double(most)) / tenant.weight
    }

    /// The running request that gives up its place for one that found none: the least urgent of the tenant that holds most for its weight, as long as that tenant still
    /// holds twice what the other will (or as much, where the other has nothing yet). So a newcomer does not wait for a flood to end, and nobody takes back what was
    /// taken. Nor does anybody take from who has had less service: the first in line would lose again the place that its counter gave it, and what tenants get would go
    /// by places. A tenant below its floor of pages takes from whoever is above its own. The oldest request of all stays: one always comes to its end.
    func whoMakesWay(for request: ActiveRequest) -> ActiveRequest? {
        guard running.count > 1, running.requests.contains(where: { $0.tenant !== request.tenant }) else { return nil }
        recount()
        let own = request.tenant
        let wanted = blocks(request.tokens.count)
        let after = hold(own, requests: 1, pages: wanted) * (own.running == 0 ? 1 : 2)
        let counter = own.promisedCounter(.interactive)
        let isBelowFloor = own.pages + wanted <= own.policy.kv.floorPages
        return leastUrgentOfLargest(running.requests.dropFirst()) { other in
            other.tenant !== own && other.tenant.pages - other.pages.count >= other.tenant.policy.kv.floorPages
                && (isBelowFloor
                    || hold(other.tenant, requests: -1, pages: -other.pages.count) >= after
                        && other.tenant.promisedCounter(.interactive, without: other.unpaid) >= counter)
        }
    }

    /// More run than may: a newcomer was let in during a step.
    func whoGivesUpPlace() -> ActiveRequest? {
        guard running.count > configuration.runningRequests else { return nil }
        recount()
        return leastUrgentOfLargest(running.requests.dropFirst()) { _ in true }
    }

    /// The bulk request that gives up its pages for a stream.
    func whoGivesUpBulk() -> ActiveRequest? {
        if bulk.isEmpty { return nil }
        recount()
        return leastUrgentOfLargest(bulk.requests[...]) { _ in true }
    }

    /// Where a tenant's request must grow and the tenant has all the pages that it may have: its own least urgent, as long as it has another; never the oldest of all.
    func whoGivesUpBelowCeiling(_ request: ActiveRequest) -> ActiveRequest? {
        guard request.tenant.policy.kv.ceilingPages < pool.pageCount else { return nil }
        recount()
        guard request.tenant.running > 1, exceedsCeiling(request.tenant, 1) else { return nil }
        return leastUrgent(of: request.tenant, in: bulk.requests[...]) ?? leastUrgent(of: request.tenant, in: running.requests.dropFirst())
    }

    /// Who gives up its pages for one that must grow: first bulk requests, then the least urgent of the tenant that holds most for its weight; never the oldest of all.
    func whoGivesUp() -> ActiveRequest? {
        recount()
        let isAboveFloor = { (request: ActiveRequest) in request.tenant.pages > request.tenant.policy.kv.floorPages }
        let streams = running.requests.dropFirst()
        return whoGivesUpBulk() ?? leastUrgentOfLargest(streams, isAboveFloor) ?? streams.last.flatMap { leastUrgent(of: $0.tenant, in: streams) }
    }

    /// Of the requests, which stand in order of arrival, the least urgent of the tenant that holds most, as far as tenants' least urgent ones fit. Of tenants that hold the
    /// same it is the one with the youngest request: priorities have no say between tenants.
    private func leastUrgentOfLargest(_ requests: ArraySlice<ActiveRequest>, _ fits: (ActiveRequest) -> Bool) -> ActiveRequest? {
        var last: [ObjectIdentifier: ActiveRequest] = [:]
        for request in requests where last[ObjectIdentifier(request.tenant)].map({ $0.urgency < request.urgency }) ?? true { last[ObjectIdentifier(request.tenant)] = request }
        var best: (request: ActiveRequest, hold: Double, counter: Double)?
        for tenant in requests.reversed().lazy.map(\.tenant) {
            guard let request = last.removeValue(forKey: ObjectIdentifier(tenant)), fits(request) else { continue }
            let hold = hold(tenant, requests: 0, pages: 0)
            let counter = tenant[request.request.serviceClass].counter
            if let best, (best.hold, best.counter) >= (hold, counter) { continue }
            best = (request, hold, counter)
        }
        return best?.request
    }

    private func leastUrgent(of tenant: Tenant, in requests: ArraySlice<ActiveRequest>) -> ActiveRequest? {
        requests.lazy.filter { $0.tenant === tenant }.max { $0.urgency < $1.urgency }
    }
}
