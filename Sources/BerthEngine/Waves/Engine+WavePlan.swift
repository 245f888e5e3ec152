// What waves shall be: how many requests, which rows, in what order.

import BerthCore

extension Engine {
    /// How many bulk requests may run.
    func waveWidth() -> Int {
        let requests = bulk.requests + waitingForWaves
        guard !requests.isEmpty else { return 0 }
        let demand = WaveDemand(requests.map { waveDemand(of: $0) }, blockTokens: model.kvLayout.blockTokens)
        for (request, blocks) in zip(requests, demand.repeatedBlocks) { request.repeatedTokens = blocks * model.kvLayout.blockTokens }
        // What bulk requests hold now is part of what they will want.
        let others = pool.pageCount(of: .adapter) + running.requests.reduce(0) { $0 + $1.pages.count + 1 } + pool.pageCount(of: .activation)
        var situation = WavePlanner.Situation(
            pages: max(0, pool.pageCount - others - demand.sharedPages), pagesPerRequest: demand.pagesPerRequest, requests: requests.count,
            most: mostWaveRequests)
        if let experts {
            let share = pool.share(of: .expert)
            situation.experts = experts.supply.count
            situation.chosen = experts.supply.layers.count * experts.supply.chosen
            situation.pagesPerExpert = experts.pagesPerExpert
            (situation.leastExpertPages, situation.mostExpertPages) = (share.floorPages, share.ceilingPages)
            situation.expertBytes = experts.supply.bytes
            situation.bytesPerNanosecond = experts.supply.reader.account.loadedSpeed ?? 1
        }
        waves.situation = situation
        let choice = waves.planner.choose(situation, context: demand.context, fixed: configuration.waveSizes?.requests)
        waves.choice = choice
        return choice.requests
    }

    private var waitingForWaves: [ActiveRequest] { waiting.requests.prefix(Limits.waveRequests).filter(\.isBulk) }

    private func waveDemand(of request: ActiveRequest) -> WaveDemand.Request {
        if prefixes.isEnabled, request.prefixHashes == nil, request.promptLogprobs.isEmpty {
            request.prefixHashes = WaveDemand.prefixes(
                of: request.request.prompt, blockTokens: model.kvLayout.blockTokens, tenant: configuration.sharesPrefixes ? nil : request.request.tenant,
                adapter: request.request.adapter)
        }
        return WaveDemand.Request(
            prefixes: request.prefixHashes ?? [], mostTokens: min(request.promptCount + request.request.maxTokens, model.contextLength))
    }

    /// Bulk requests in the order in which a tenant's prompts are computed: by priority, then whom others wait for, then who will generate longest, so that the
    /// last waves do not come for a few of them alone. Each wave that somebody waits counts for a token: nobody waits for ever behind longer ones that come later.
    func wavePrompts(_ requests: [ActiveRequest]) -> [ActiveRequest] {
        guard requests.contains(where: { $0.pending > 1 }) else { return requests }
        let keys = requests.enumerated().map { place, request in
            (request.urgency.rank, request.isAwaited ? 0 : 1, -foreseenTokens(request) - (counters.waves - request.firstWave), place)
        }
        return keys.sorted { $0 < $1 }.map { requests[$0.3] }
    }

    /// Rows that the next wave has; `requests` run, in the order of their prompts.
    func scheduledRows(_ requests: [ActiveRequest]) -> Int {
        if configuration.waveSizes?.rows != nil { return waves.size.rows }
        if let speed = experts?.supply.reader.account.loadedSpeed { waves.situation.bytesPerNanosecond = speed }
        func work(_ request: ActiveRequest, isWaiting: Bool) -> WaveSchedule.Request {
            let known = isWaiting ? min(request.repeatedTokens, request.pending - 1) : request.computed
            return WaveSchedule.Request(prompt: request.tokens.count - known, computed: known, generates: foreseenTokens(request))
        }
        let width = max(requests.count, waves.choice?.requests ?? 1)
        var all = requests.map { work($0, isWaiting: false) } + waitingForWaves.map { work($0, isWaiting: true) }
        // Who waits for a prefix and not for a place will be among those who run soon.
        if all.count <= width { all.sort { $0.generates > $1.generates } }
        guard let choice = waves.planner.schedule(all, width: width, most: waves.size.rows, waves.situation) else { return waves.size.rows }
        waves.schedule = choice
        return choice.rows
    }

    /// Tokens that a request will still generate: as many as it may, or as the past says.
    private func foreseenTokens(_ request: ActiveRequest) -> Int {
        let most = max(1, mostTokens(request))
        guard !request.request.ignoresEndTokens, let draws = drawnTokens(request) else { return most }
        return min(most, max(1, Int(draws.sum() / Float(OutputLengths.Draws.scalarCount))))
    }
}
