// The requests of a run, one after the other, out of its seed.
//
// Every tenant draws from a source of its own, so that another tenant's requests change none of its.

import BerthCore
import BerthEngine

/// A request before the engine has it.
struct PlannedRequest {
    var request: GenerationRequest
    /// Its place among the scenario's tenants, and its adapter's in the population.
    var tenant: Int
    var adapter: Int?
    /// Nanoseconds after which the client calls it off.
    var patience: Double?
    /// Seconds until its answer is of no use any more.
    var seconds: Double?
}

struct Workload {
    private struct Source {
        var random: RandomSource
        let adapters: ZipfChoice
        var made = 0
        /// Of the last request, in seconds.
        var time = 0.0
    }

    private let tenants: [TenantLoad]
    private let seconds: Double
    private var sources: [Source]
    private var lastID: UInt64 = 0

    init(_ scenario: Scenario, seed: UInt64) {
        tenants = scenario.tenants
        seconds = scenario.seconds
        sources = scenario.tenants.enumerated().map { index, load in
            let choice = load.popularity.isEmpty ? ZipfChoice(count: load.adapters.count, exponent: load.zipf) : ZipfChoice(weights: load.popularity)
            return Source(random: RandomSource(seed: mix(seed ^ UInt64(index) << 32)), adapters: choice, time: load.begins)
        }
    }

    static func adapterName(_ number: Int) -> AdapterName { AdapterName("a\(number)")! }

    /// When a tenant's next request comes, in nanoseconds; nil where none comes by itself, or it would be too late.
    mutating func nextArrival(of tenant: Int) -> UInt64? {
        guard let gap = tenants[tenant].arrivals.gap(after: sources[tenant].time, &sources[tenant].random) else { return nil }
        sources[tenant].time += gap
        return sources[tenant].time < seconds ? UInt64(sources[tenant].time * 1e9) : nil
    }

    /// When a client whose answer came at `time` asks again; nil where it does not.
    mutating func nextQuestion(of tenant: Int, after time: UInt64) -> UInt64? {
        guard case .clients(_, let thinking) = tenants[tenant].arrivals else { return nil }
        let next = Double(time) / 1e9 + (thinking > 0 ? thinking * sources[tenant].random.exponential() : 0)
        return next < seconds ? max(time, UInt64(next * 1e9)) : nil
    }

    /// The tenant's next request; nil where it has had all of them.
    mutating func next(of tenant: Int) -> PlannedRequest? {
        let load = tenants[tenant]
        guard sources[tenant].made < load.mostRequests else { return nil }
        sources[tenant].made += 1
        lastID += 1
        let made = sources[tenant].made, turns = load.adaptersInTurn
        return sources[tenant].random.request(id: lastID, load, tenant: tenant, sources[tenant].adapters, adapter: turns.isEmpty ? nil : turns[(made - 1) % turns.count])
    }
}

extension RandomSource {
    fileprivate mutating func request(id: UInt64, _ load: TenantLoad, tenant: Int, _ choice: ZipfChoice, adapter named: Int?) -> PlannedRequest {
        let adapter = named ?? (unit() < load.adapterShare ? load.adapters.lowerBound + choice.draw(&self) : nil)
        var prompt: [Int32] = []
        if load.prefixTokens > 0 {
            var text = RandomSource(seed: mix(UInt64(tenant) << 32 ^ next() % UInt64(load.prefixes)))
            prompt = (0..<load.prefixTokens).map { _ in text.word() }
        }
        for _ in 0..<load.prompt.draw(&self) { prompt.append(word()) }
        var request = GenerationRequest(id: RequestID(id), adapter: adapter.map(Workload.adapterName), prompt: prompt, maxTokens: load.output.draw(&self))
        request.tenant = load.name
        request.sampling.temperature = 0
        request.ignoresEndTokens = !load.endsAtEndToken
        if unit() < load.bulkShare { request.serviceClass = .bulk }
        request.priority = load.priorities.count == 1 ? load.priorities[0] : load.priorities.randomElement(using: &self)!
        let patience = unit() < load.cancelShare ? load.cancelSeconds * exponential() * 1e9 : nil
        let seconds = unit() < load.deadlineShare ? load.deadlineSeconds : nil
        return PlannedRequest(request: request, tenant: tenant, adapter: adapter, patience: patience, seconds: seconds)
    }

    private mutating func word() -> Int32 { TokenFunction.words.lowerBound + Int32((next() >> 32) % UInt64(TokenFunction.words.count)) }
}
