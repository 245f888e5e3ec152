// A pool whose limit moves while a run goes on, a machine that gets short of memory, and what must hold then.
//
// The moves are the engine's own calls, as `berth memory` and the governor make them. What fits is computed here anew, from the limit, from what is pinned and
// from the sizes of versions; the engine is not asked.

import BerthCore
import BerthEngine
import BerthMemory

extension Simulation {
    // MARK: moves

    func changeLimit() throws(Violation) {
        let pages = Int.random(in: scenario.faults.limitPages, using: &random)
        let ages = AgeWatch(engine), streams = engine.requests.filter { $0.pages > 0 }
        do throws(GenerationFailure) {
            try engine.setLimit(PoolLimit(pages: pages, leastPages: scenario.leastPages, shares: [.expert: expertShare]))
        } catch {
            guard pinnedPages + scenario.leastPages > pages else { throw Violation(.failuresHaveCauses, "a limit of \(pages) pages was refused: \(error.message)") }
            return
        }
        limit = pages
        report.memoryMoves += 1
        log.tell(clock.now) { "the pool may have \(pages) pages" }
        noteRoom()
        try check(ages) { oldest in isTooTight(for: streams.first { $0.id == oldest.id }) }
        try checkMemory()
    }

    /// What cannot leave takes so much of the pool that the pages of a stream, and those of its adapter, do not fit beside it.
    private func isTooTight(for stream: RequestStatus?) -> Bool {
        guard let stream, let record = records[stream.id] else { return false }
        return stream.pages + adapterPages(of: record) + engine.poolSnapshot.adapter.reserved + pinnedPages + expertShare.floorPages > limit
    }

    func changePressure() throws(Violation) {
        pressure.step(&random)
        let before = engine.counterSnapshot.preemptions
        touchedBeforePressure = pressure.withheld == 0 ? nil : touchedBeforePressure ?? pool.touchedPages
        engine.withhold(parts: pressure.withheld, of: PressureWalk.parts)
        report.memoryMoves += 1
        log.tell(clock.now) { "\(pool.withheldPages) of \(limit) pages are withheld" }
        // Who took a place during a step that was left gives it up at its end, and what that step takes is touched before anything is withheld.
        if scenario.machine.stepPieces == 1 {
            guard engine.counterSnapshot.preemptions == before else {
                throw Violation(.pressureTakesWhatIsIdle, "\(engine.counterSnapshot.preemptions - before) requests gave up their pages because the machine is short of memory")
            }
            try checkPressureIsFelt()
        }
        guard pool.leasedPages > limit - pool.withheldPages else { return }
        let cached = engine.poolSnapshot.kv.cached
        guard cached == 0 else { throw Violation(.pressureTakesWhatIsIdle, "\(pool.withheldPages) pages are withheld, and \(cached) hold what requests have left") }
        if let idle = engine.adapters.first(where: { $0.state == .resident && $0.runningRequests == 0 && !$0.isPinned }) {
            throw Violation(.pressureTakesWhatIsIdle, "\(pool.withheldPages) pages are withheld, and adapter \(idle.name) stays though nobody uses it")
        }
    }

    /// Parts are counted from what was touched: the first of them already is memory that the machine gets back.
    private func checkPressureIsFelt() throws(Violation) {
        guard let touched = touchedBeforePressure else {
            guard pool.withheldPages == 0 else { throw Violation(.pressureTakesWhatIsIdle, "pressure is over, and \(pool.withheldPages) pages are withheld") }
            return
        }
        let most = max(min(touched, limit) * (PressureWalk.parts - pressure.withheld) / PressureWalk.parts, limit / 16)
        guard pool.touchedPages <= max(most, pool.leasedPages) else {
            throw Violation(
                .pressureTakesWhatIsIdle, "\(pressure.withheld) parts of \(touched) touched pages are withheld, and \(pool.touchedPages) have memory, of which \(pool.leasedPages) are leased")
        }
    }

    // MARK: what fits

    var expertShare: PoolShare { scenario.machine.expertShare(scenario.routing) }

    var pinnedPages: Int { isPinned ? versions.present(0)?.pages ?? 0 : 0 }

    /// Pages of keys and values that a request comes to. Those of its last token are not needed.
    func kvPages(_ request: GenerationRequest) -> Int {
        let machine = scenario.machine
        let tokens = max(request.prompt.count, min(machine.contextLength, request.prompt.count + request.maxTokens) - 1)
        return (tokens + machine.blockTokens - 1) / machine.blockTokens
    }

    /// Pages that a request's adapter may take beside what is pinned: it may run with any version that has been current since it came.
    private func adapterPages(of record: RequestRecord) -> Int {
        guard let adapter = record.plan.adapter else { return 0 }
        let sizes = versions.pages(adapter, during: record.submitted...clock.now)
        return isPinned && adapter == 0 && sizes.count == 1 ? 0 : sizes.max() ?? 0
    }

    /// The limit, what is pinned or the size of an adapter has changed: whoever does not fit now, even alone, may be told so.
    func noteRoom() {
        for id in records.keys { noteRoom(id) }
    }

    func noteRoom(_ id: RequestID) {
        let record = records[id]!
        if record.kvPages + adapterPages(of: record) + pinnedPages + expertShare.floorPages > limit { records[id]!.wasTooLarge = true }
    }

    // MARK: checks

    /// After whatever leases or frees.
    func checkMemory() throws(Violation) {
        if pool.excessPages > 0 {
            let reading = engine.poolSnapshot.adapter.reserved
            guard pool.excessPages <= reading else {
                throw Violation(.theLimitHolds, "\(pool.claimedPages) pages are taken of \(limit), and reads under way have \(reading)")
            }
        }
        guard isPinned, let version = versions.present(0)?.number else { return }
        let isThere = engine.adapters.contains { $0.digest == String(version) && $0.state == .resident }
        guard isThere || pinnedInMemory != version else { throw Violation(.thePinnedStay, "version \(version) of adapter 0 is pinned, and has left memory") }
        if isThere { pinnedInMemory = version }
    }

    /// Nobody has anything to do: free memory over the limit, or withheld of it, is the machine's again.
    func checkMemoryAtTheEnd() throws(Violation) {
        guard pool.surplusPages == 0 else {
            throw Violation(.nothingIsLeaked, "nobody is left, and the memory of \(pool.surplusPages) free pages is kept beyond the limit of \(limit)")
        }
    }
}
