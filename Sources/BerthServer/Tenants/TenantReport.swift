// A tenant as operators see it: what the configuration says, what the door knows, what the engine has counted.

import BerthCore
import BerthEngine

struct TenantReport {
    let name: TenantName
    /// Nil where no section names it (any more).
    let settings: TenantSettings?
    let standing: TenantAccount
    let status: TenantStatus

    /// For `GET /tenants`. Never with a key or its digest.
    var json: JSON {
        [
            "name": .string(name.text), "configured": .bool(settings != nil), "settings": settings?.json ?? nil,
            "waiting": JSON(status.waiting), "running": JSON(status.running), "pages": JSON(status.pages), "use": status.use.json,
            "adapters": .array(status.adapters.map { entry in ["adapter": entry.adapter.map { .string($0.text) } ?? nil, "use": entry.use.json] }),
            "refused": .object(.init(uniqueKeysWithValues: TenantLimit.allCases.compactMap { limit in
                standing.refusals[limit].map { (limit.rawValue, .integer(Int64($0))) }
            })),
        ]
    }
}

extension TenantUse {
    var json: JSON {
        [
            "requests": JSON(requests), "prompt_tokens": JSON(promptTokens), "cached_tokens": JSON(cachedTokens), "generated_tokens": JSON(generatedTokens),
            "compute_seconds": .number((computeSeconds * 1e6).rounded() / 1e6), "disk_bytes": JSON(Int(diskBytes)), "finished": JSON(finishedRequests),
            "cancelled": JSON(cancelledRequests), "failed": JSON(failedRequests), "refused": JSON(refusedRequests), "preemptions": JSON(preemptions),
            "raised": JSON(raisedRequests),
        ]
    }

    /// Sequences that have ended, however they did.
    var requests: Int { finishedRequests + cancelledRequests + failedRequests + refusedRequests }
}

extension TenantSettings {
    fileprivate var json: JSON {
        func number(_ value: Int?) -> JSON { value.map { JSON($0) } ?? nil }
        func numbers(_ values: Set<UInt32>) -> [JSON] { values.sorted().map { JSON(Int($0)) } }
        return [
            "uid": .array(numbers(users) + (hasAllOtherUsers ? ["*"] : [])), "gid": .array(numbers(groups)), "keys": JSON(keys.count),
            "adapters": .array(adapters.map { .string($0.description) }), "weight": .number(weight), "max_running": number(maxRunning),
            "max_queued": number(maxQueued), "tokens_per_minute": number(tokensPerMinute), "kv_floor": kvFloor.map { .string("\($0)") } ?? nil,
            "kv_ceiling": kvCeiling.map { .string("\($0)") } ?? nil, "context_length": number(contextLength), "max_adapters": number(maxAdapters),
            "adapter_bytes": number(adapterBytes?.bytes), "batch_bytes": number(batchBytes?.bytes), "batch_lines": number(batchLines),
            "token_interval": number(tokenInterval), "first_token": number(firstToken),
        ]
    }
}

/// Which tenants have series of their own in the metrics: the first `Limits.tenantSeries` that came, for good. So the page stays small, and a counter never
/// becomes another's.
struct TenantSeries {
    private var own: Set<TenantName> = []

    /// The label of each.
    mutating func names(_ tenants: [TenantName]) -> [TenantName: String] {
        for tenant in tenants where own.count < Limits.tenantSeries { own.insert(tenant) }
        return Dictionary(tenants.map { ($0, own.contains($0) ? $0.text : "others") }, uniquingKeysWith: { first, _ in first })
    }
}

extension PrometheusPage {
    /// - Parameter series: the label of each tenant; those of one label are added up.
    mutating func add(_ tenants: [TenantReport], series: [TenantName: String]) {
        let groups = Dictionary(grouping: tenants) { series[$0.name]! }.sorted { $0.key < $1.key }
        func sums(_ value: (TenantReport) -> Double) -> [([(String, String)], Double)] {
            groups.map { ([("tenant", $0.key)], $0.value.reduce(0) { $0 + value($1) }) }
        }
        func counts(_ value: (TenantReport) -> Int) -> [([(String, String)], UInt64)] {
            groups.map { ([("tenant", $0.key)], UInt64($0.value.reduce(0) { $0 + value($1) })) }
        }
        gauges("berth_tenant_requests_running", "Sequences in the running batch.", sums { Double($0.status.running) })
        gauges("berth_tenant_requests_waiting", "Sequences that wait.", sums { Double($0.status.waiting) })
        gauges("berth_tenant_kv_pages", "Pages of the pool that hold keys and values of running sequences.", sums { Double($0.status.pages) })
        counters("berth_tenant_requests", "Sequences that have ended.", counts { $0.status.use.requests })
        counters("berth_tenant_prompt_tokens", "Prompt tokens.", counts { $0.status.use.promptTokens })
        counters("berth_tenant_cached_tokens", "Of these, those that were there already.", counts { $0.status.use.cachedTokens })
        counters("berth_tenant_generation_tokens", "Generated tokens.", counts { $0.status.use.generatedTokens })
        counters("berth_tenant_compute_milliseconds", "Of the steps' time.", counts { Int($0.status.use.computeSeconds * 1000) })
        counters("berth_tenant_disk_bytes", "Read for its requests.", counts { Int($0.status.use.diskBytes) })
        counters("berth_tenant_raised", "Requests that go before all others of theirs that are not raised, because more urgent ones had overtaken them often enough.", counts { $0.status.use.raisedRequests })
        counters("berth_tenant_refused", "Requests that were refused, by the limit that was reached.", groups.flatMap { label, tenants in
            TenantLimit.allCases.compactMap { limit in
                let count = tenants.reduce(0) { $0 + ($1.standing.refusals[limit] ?? 0) }
                return count == 0 ? nil : ([("tenant", label), ("limit", limit.rawValue)], count)
            }
        })
    }
}
