// What the daemon counts, and how Prometheus reads it.
//
// Names that dashboards and gateways already know are used where the meaning is the same (`vllm:…`); the rest is `berth_…`.
// Counters belong to the loop thread; gauges about the engine come with its status.

import BerthCore
import BerthEngine
import HTTPTypes

final class Metrics {
    var promptTokens: UInt64 = 0
    var generationTokens: UInt64 = 0
    /// Requests by how they ended.
    var finished: [String: UInt64] = [:]
    /// Answers whose client left before the end.
    var cancelledAnswers: UInt64 = 0
    /// Answers by route and status.
    var answers: [String: [Int: UInt64]] = [:]
    var timeToFirstToken = Histogram(bounds: [0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80])
    var interTokenLatency = Histogram(bounds: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 10, 20])
    var endToEndLatency = Histogram(bounds: [0.01, 0.05, 0.1, 0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480])

    private var series = TenantSeries()

    func countAnswer(route: String, status: HTTPResponse.Status) { answers[route, default: [:]][status.code, default: 0] += 1 }

    /// The text of `GET /metrics`.
    /// - Parameter seconds: since 1970; the value of the adapter gauge, as gateways expect it.
    func text(model: String, status: EngineStatus, registeredAdapters: Int, tenants: [TenantReport], connections: Int, seconds: Int) -> String {
        var page = PrometheusPage(label: "model_name", value: model)
        page.gauge("vllm:num_requests_running", "Requests in the running batch.", Double(status.running))
        page.gauge("vllm:num_requests_waiting", "Requests that wait.", Double(status.waiting))
        page.gauge("vllm:kv_cache_usage_perc", "Part of the pool that holds KV cache (0 to 1).", status.pages == 0 ? 0 : Double(status.kvPages) / Double(status.pages))
        page.counter("vllm:prefix_cache_queries", "Tokens looked up in the prefix cache.", UInt64(status.prefixQueries))
        page.counter("vllm:prefix_cache_hits", "Tokens found in the prefix cache.", UInt64(status.prefixHits))
        page.counter("vllm:prompt_tokens", "Prompt tokens.", promptTokens)
        page.counter("vllm:generation_tokens", "Generated tokens.", generationTokens)
        page.counters("vllm:request_success", "Requests by finish reason.", finished.sorted { $0.key < $1.key }.map { ([("finished_reason", $0.key)], $0.value) })
        page.histogram("vllm:time_to_first_token_seconds", "From the request's arrival to its first token.", timeToFirstToken)
        page.histogram("vllm:inter_token_latency_seconds", "Between two tokens of a request.", interTokenLatency)
        page.histogram("vllm:e2e_request_latency_seconds", "From the request's arrival to its end.", endToEndLatency)
        page.gauge(
            "vllm:lora_requests_info", "Adapters at work; the value is the time.", Double(seconds),
            labels: [
                ("max_lora", String(registeredAdapters)), ("running_lora_adapters", status.runningAdapters.map(\.text).joined(separator: ",")),
                ("waiting_lora_adapters", status.waitingAdapters.map(\.text).joined(separator: ",")),
            ])
        page.gauge("berth_adapters_registered", "Adapters that requests may name.", Double(registeredAdapters))
        page.gauge("berth_pool_page_bytes", "Size of a page.", Double(status.pageBytes))
        page.gauges(
            "berth_pool_pages", "Pages of the pool by use.",
            ([EngineStatus.PageClass(name: "free", pages: status.freePages)] + status.classes).map { ([("class", $0.name)], Double($0.pages)) })
        page.gauges("berth_pool_waste_bytes", "Bytes of leased pages that hold nothing, by use.", status.classes.map { ([("class", $0.name)], Double($0.wasteBytes)) })
        Self.add(status.picture, status, to: &page)
        if let experts = status.experts { Self.add(experts, to: &page) }
        page.add(tenants, series: series.names(tenants.map(\.name)))
        page.counter("berth_waves", "Steps over bulk requests.", UInt64(status.waves.waves))
        page.counter("berth_abandoned_waves", "Of those begun, given up because a stream needed the pages.", UInt64(status.waves.abandoned))
        page.counter("berth_engine_steps", "Steps of the engine.", UInt64(status.steps))
        page.gauge("berth_connections", "Open connections.", Double(connections))
        page.counter("berth_cancelled_answers", "Answers whose client left first.", cancelledAnswers)
        page.counters(
            "berth_http_answers", "Answers by route and status.",
            answers.sorted { $0.key < $1.key }.flatMap { route, counts in
                counts.sorted { $0.key < $1.key }.map { ([("route", route), ("code", String($0.key))], $0.value) }
            })
        return page.text
    }

    private static func add(_ picture: PoolPicture, _ status: EngineStatus, to page: inout PrometheusPage) {
        page.gauge("berth_pool_limit_pages", "Pages that the pool may have.", Double(status.pages))
        page.gauge("berth_pool_withheld_pages", "Of these, what its caches do without while the machine is short of memory.", Double(picture.withheld))
        page.gauge("berth_pool_touched_pages", "Pages that have memory.", Double(picture.touched))
        func gauges(_ name: String, _ help: String, _ pages: (PoolPicture.Class) -> Int) {
            page.gauges(name, help, picture.classes.map { ([("class", $0.use.name)], Double(pages($0))) })
        }
        gauges("berth_pool_cached_pages", "Pages that may leave for others, by use.", \.cached)
        gauges("berth_pool_pinned_pages", "Pages that never leave, by use.", \.pinned)
        page.counters(
            "berth_pool_evictions", "Objects that had to leave the pool, by use and by what for.",
            picture.evictions.map { ([("class", $0.key.use.name), ("cause", $0.key.cause.name)], UInt64($0.value)) }.sorted { "\($0.0)" < "\($1.0)" })
        page.counter("berth_adapter_queries", "Requests with an adapter that were let in.", UInt64(picture.adapters.queries))
        page.counter("berth_adapter_hits", "Of these, with the adapter in memory when it was their turn.", UInt64(picture.adapters.hits))
    }

    private static func add(_ experts: ExpertStatus, to page: inout PrometheusPage) {
        page.gauge("berth_experts_resident", "Experts in memory.", Double(experts.resident))
        page.gauge("berth_experts", "Experts of the model.", Double(experts.count))
        page.counter("berth_expert_uses", "Experts that a layer of a step wanted.", UInt64(experts.uses))
        page.counter("berth_expert_hits", "Of these, in memory.", UInt64(experts.account.hits))
        page.counter("berth_expert_read_bytes", "Bytes of experts read.", UInt64(experts.account.bytesRead))
        page.counter("berth_expert_evictions", "Experts that left memory.", UInt64(experts.account.evictions))
        page.counter("berth_expert_failed_reads", "Reads of experts that failed.", UInt64(experts.account.failedReads))
        page.counter("berth_expert_queue_reads", "Reads of experts begun between steps for the requests of the next.", UInt64(experts.account.queueReads))
        page.counter("berth_expert_useful_queue_reads", "Of these, in memory when wanted.", UInt64(experts.account.usefulQueueReads))
        page.counter("berth_expert_guesses", "Reads of experts begun on a guess.", UInt64(experts.account.guesses))
        page.counter("berth_expert_right_guesses", "Of these, wanted by the next layer.", UInt64(experts.account.usefulGuesses + experts.account.lateGuesses))
    }
}
