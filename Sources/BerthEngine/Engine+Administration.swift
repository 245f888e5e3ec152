// Adapters come and go, the disk reports, and people look: everything but requests that reaches a running engine.

import BerthCore
import BerthMemory
import BerthModels

/// Sums since the start, and what is here now.
public struct EngineCounters: Sendable, Equatable {
    /// Prompt tokens of requests whose prefill is complete.
    public var promptTokens = 0
    public var generatedTokens = 0
    /// Rows computed: prompt, generated and recomputed tokens.
    public var computedTokens = 0
    public var steps = 0
    /// Steps over bulk requests; and those that were begun and given up.
    public var waves = 0
    public var abandonedWaves = 0
    public var preemptions = 0
    /// Requests that had waited behind more urgent ones of their tenants for long enough.
    public var raisedRequests = 0
    /// Tokens of prompts that were looked up in the prefix cache, and found there; blocks that left it for others' sake.
    public var prefixQueries = 0
    public var prefixHits = 0
    public var prefixEvictions = 0
    public var finishedRequests = 0
    public var cancelledRequests = 0
    public var failedRequests = 0
    public var adapterLoads = 0
    public var adapterEvictions = 0
    public var failedAdapterReads = 0
    public var runningRequests = 0
    public var waitingRequests = 0

    public init() {}
}

extension Engine {
    /// Registers an adapter, or replaces the one of that name; it is read when a request needs it. Requests that began on the version
    /// before end on it.
    public func registerAdapter(_ name: AdapterName, _ source: AdapterSource) throws(GenerationFailure) {
        try registry.register(name, source)
        stir()
    }

    /// Keeps a name whose requests are refused with `reason`.
    public func rejectAdapter(_ name: AdapterName, reason: String) {
        registry.reject(name, reason: reason)
        stir()
    }

    /// Forgets an adapter. Requests that began on it end on it, then its memory is freed; requests that still wait for it fail.
    public func unregisterAdapter(_ name: AdapterName) throws(GenerationFailure) {
        guard registry.unregister(name) else { throw GenerationFailure(.unknownAdapter, "there is no adapter \(name)") }
        for request in waiting.requests where request.request.adapter == name && request.adapter == nil {
            fail(request, GenerationFailure(.unknownAdapter, "adapter \(name) was removed"))
        }
        stir()
    }

    /// A pinned adapter is read as soon as there is room and never leaves memory.
    public func setPinned(_ name: AdapterName, _ isPinned: Bool) throws(GenerationFailure) {
        try registry.setPinned(name, isPinned)
        stir()
    }

    /// A read that the reader was asked for has ended. Where it failed, the requests that wait for it fail, and nobody else.
    public func adapterRead(_ ticket: AdapterReadTicket, _ result: Result<AdapterWeights, GenerationFailure>) {
        let adapter = registry.finishRead(ticket, result)
        if case .failure(let failure) = result {
            let isCurrent = if case .adapter(let current) = registry.entries[adapter.name] { current === adapter } else { false }
            for request in waiting.requests
            where request.adapter === adapter || (isCurrent && request.adapter == nil && request.request.adapter == adapter.name) {
                fail(request, GenerationFailure(failure.code, "adapter \(adapter.name) could not be read: \(failure.message)"))
            }
        }
        if pool.excessPages > 0 {
            finishStepUnderWay()
            settleMemory()
        }
        stir()
    }

    /// Replaces what tenants may have. Requests that are here go on under the new rules.
    public func setTenants(_ policies: [TenantName: TenantPolicy]) {
        tenants.setPolicies(policies)
        lookSoon()
        stir()
    }

    // MARK: accounts

    /// In the order of their names.
    public var tenantStatuses: [TenantStatus] {
        var statuses = tenants.known.mapValues(\.status)
        for request in running.requests + bulk.requests {
            statuses[request.tenant.name]!.running += 1
            statuses[request.tenant.name]!.pages += request.pages.count
        }
        for request in waiting.requests { statuses[request.tenant.name]!.waiting += 1 }
        return statuses.values.sorted { $0.tenant < $1.tenant }
    }

    public var adapters: [AdapterStatus] { registry.statuses }

    /// In order of arrival: first who runs, then who waits.
    public var requests: [RequestStatus] { (running.requests + bulk.requests + waiting.requests).map(RequestStatus.init) }

    /// The streams that run, the oldest first.
    public var streams: [RunningStream] { running.requests.map(RunningStream.init) }

    public var poolSnapshot: PoolSnapshot {
        var snapshot = pool.snapshot
        let bytesPerToken = model.kvLayout.pageBytes / model.kvLayout.blockTokens
        snapshot.kv.wasteBytes = prefixes.blockCount * pool.pageBytes - prefixes.heldTokens * bytesPerToken
        snapshot.kv.cached = prefixes.idleCount
        snapshot.adapter.wasteBytes = registry.wasteBytes
        snapshot.expert.wasteBytes = experts?.wasteBytes ?? 0
        return snapshot
    }

    public var counterSnapshot: EngineCounters {
        var counters = counters
        (counters.prefixQueries, counters.prefixHits, counters.prefixEvictions) = (prefixes.queriedTokens, prefixes.foundTokens, economy.evictions(of: .kv))
        counters.adapterLoads = registry.loads
        counters.adapterEvictions = registry.evictions
        counters.failedAdapterReads = registry.failedReads
        counters.runningRequests = running.count + bulk.count
        counters.waitingRequests = waiting.count
        return counters
    }

    /// Proves that requests, adapters and leases agree and that the pool's sums are right; traps where they do not.
    public func checkInvariants() {
        pool.checkInvariants()
        precondition(active.count == running.count + bulk.count + waiting.count, "a request is in no list, or in two")
        var uses: [ObjectIdentifier: (adapter: Adapter, running: Int, bound: Int)] = [:]
        for request in running.requests + bulk.requests {
            precondition(request.isRunning && !request.blocks.isEmpty, "request \(request.request.id) runs without pages")
            let held = request.blocks.count
            precondition(request.pages == request.blocks.map { $0.address! } && request.computed <= held * model.kvLayout.blockTokens && request.pending > 0)
            for (index, block) in request.blocks.enumerated() where configuration.cachesPrefixes {
                let first = index * model.kvLayout.blockTokens
                let end = min(request.computed, first + model.kvLayout.blockTokens)
                precondition(block.tokens.elementsEqual(request.tokens[min(first, end)..<end]), "request \(request.request.id) stands on others' tokens")
            }
            precondition(request.adapter != nil || request.request.adapter == nil, "request \(request.request.id) runs without its adapter")
            precondition(request.adapter == nil || request.adapter!.weights != nil, "request \(request.request.id) runs on an adapter that is not in memory")
        }
        for request in waiting.requests {
            precondition(!request.isRunning && request.blocks.isEmpty && request.pages.isEmpty && request.computed == 0, "request \(request.request.id) waits with pages")
        }
        tenants.checkInvariants(active: Array(active.values), waiting: waiting.requests)
        for request in departed {
            precondition(waves.current?.contains(request) == true || isUnderWay(request), "request \(request.request.id) holds on to pages for no step")
        }
        precondition((waves.memory == nil ? 0 : pool.pageCount(of: waves.memory!)) == pool.pageCount(of: .activation), "waves and the pool disagree on pages")
        for request in Array(active.values) + departed {
            guard let adapter = request.adapter else { continue }
            let known = uses[ObjectIdentifier(adapter)] ?? (adapter, 0, 0)
            uses[ObjectIdentifier(adapter)] = (adapter, known.running + (request.blocks.isEmpty ? 0 : 1), known.bound + 1)
        }
        for (adapter, running, bound) in uses.values {
            precondition(adapter.runningRequests == running && adapter.boundRequests == bound, "adapter \(adapter.name) miscounts its requests")
        }
        prefixes.checkInvariants(holders: (running.requests + bulk.requests + departed).flatMap(\.blocks))
        precondition((experts?.checkInvariants() ?? 0) == pool.pageCount(of: .expert), "experts and the pool disagree on pages")
        precondition(registry.checkInvariants() == pool.pageCount(of: .adapter), "adapters and the pool disagree on pages")
        precondition(hasWork || waiting.isEmpty || !running.isEmpty || !bulk.isEmpty || registry.readsInFlight > 0, "requests wait and nothing will wake them")
    }
}
