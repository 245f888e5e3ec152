// Who may run: admission, loading of adapters, and preemption when pages run out.
//
// The order is that of tenants' counters, and for one tenant that of priority and age (`Engine+Fairness.swift`, `TenantLine.swift`). It is kept strictly where memory is short: a request that finds no pages
// keeps those behind it from free ones, so that small newcomers cannot starve a large request; they get only what a tenant gives up that holds more than they. It is not kept where only the disk is slow: a request whose adapter is being
// read steps aside until the read ends, and the pages it will need are kept for it; otherwise its adapter would be read only to be
// thrown out again. A tenant that has as much as it may have steps aside, too, with all that it has. Where experts are paged, whose
// experts are in memory may go before a few others of its tenant that are as urgent (`affinityOrder`).
//
// When a running request needs a page and there is none, the economy lets go what is worth least; then the least urgent and youngest
// running request of the tenant that holds most gives up its pages and waits to be computed again. The oldest request is never disturbed, so there is
// always one that comes to its end.

import BerthCore
import BerthMemory

extension Engine {
    enum Admission {
        case admitted
        /// Its adapter is on its way, or must wait for another read.
        case waitsForDisk
        /// Somebody who runs is computing what it begins with.
        case waitsForPrefix
        /// Somebody must give up pages, or a place, first.
        case waitsForPages
        case failed(GenerationFailure)
    }

    /// Lets in whoever can run, in the order of tenants' counters.
    func admit() {
        admissionPending = false
        (isFull, isShortOfPages) = (false, false)
        for adapter in registry.pinnedAbsent where adapter.lastFailure == nil { _ = registry.beginLoad(adapter) }
        /// KV blocks of those who wait for the disk, and come before the one that is asked.
        var promised = 0
        /// Places of the same.
        var promisedPlaces = 0
        var hasFailed = false
        recountAll()
        let ahead = awaited()
        let width = tenants.waiting(.bulk).isEmpty ? 0 : waveWidth()
        // Who waits for an answer comes before who does not.
        asking: for serviceClass in [ServiceClass.interactive, .bulk] {
            // What is free is kept for a stream that has found too little: who made way for it does not come back before.
            if serviceClass == .bulk, isShortOfPages { break }
            var order = fairOrder(serviceClass)
            // Its tenant was charged for the reading, and may not be the next any more: but where nothing runs, and two adapters do not fit together, each would be
            // read only to be thrown out for the other.
            if running.isEmpty, bulk.isEmpty { order.giveTurns(hasUnusedAdapter) }
            // Of those whom somebody before them keeps from free pages, how many may still look for one who makes way.
            var lookers: Int?
            while let request = order.next() {
                if request.isBulk, bulk.count >= width { break }
                if isAtBound(request) {
                    request.phase = .queued
                    order.setAside()
                    continue
                }
                if let left = lookers {
                    if left == 0 { break asking }
                    lookers = left - 1
                }
                var admission = tryToAdmit(request, promised: promised, mayTakeFree: lookers == nil)
                // Reads ahead hold pages that are nobody's yet; where nothing runs, nobody will look again when they have ended.
                if case .waitsForPages = admission, running.isEmpty, experts?.finishReads() == true { admission = tryToAdmit(request, promised: promised) }
                while case .waitsForPages = admission, !request.isBulk,
                    let other = running.count < configuration.runningRequests ? whoGivesUpBulk() ?? whoMakesWay(for: request) : whoMakesWay(for: request)
                {
                    preempt(other)
                    recountAll()
                    admission = tryToAdmit(request, promised: promised)
                }
                if case .waitsForPages = admission, givesLastReserves() { admission = tryToAdmit(request, promised: promised) }
                switch admission {
                case .admitted:
                    if let raised = letIn(request) { order.bringForward(raised) }
                    order.charge(priceOfAdmission(request))
                case .waitsForDisk:
                    request.phase = .waitingForAdapter
                    promised += blocks(request.tokens.count)
                    if running.count + promisedPlaces < configuration.runningRequests { request.hasWaitedForAdapter = true }
                    promisedPlaces += 1
                    order.charge(priceOfAdmission(request))
                case .waitsForPrefix: request.phase = .waitingForPrefix
                case .failed(let failure):
                    hasFailed = true
                    fail(request, failure)
                case .waitsForPages:
                    request.phase = .queued
                    // Who was preferred to older ones of its tenant does not block them, but those who are less urgent: it will be asked again.
                    let hasPlaces = running.count < configuration.runningRequests
                    if hasPlaces, order.wasPreferred(request, among: Limits.admissionWindow), request.passedOver < Limits.passedOver {
                        order.setAside(lessUrgentThan: request)
                        continue
                    }
                    // Where nothing runs and nothing is read, nobody will ever give up pages.
                    guard running.isEmpty && bulk.isEmpty && registry.readsInFlight == 0 else {
                        isFull = true
                        if hasPlaces { isShortOfPages = true }
                        // What is free is kept for this one. Other tenants may have what those give up who hold more.
                        if request.isBulk { break asking }
                        if lookers == nil { lookers = Limits.admissionWindow }
                        order.setAside()
                        continue
                    }
                    hasFailed = true
                    fail(request, GenerationFailure(.overloaded, "the memory pool has no room for this request beside what is pinned in it"))
                }
            }
        }
        promisedBlocks = promised
        lookAhead(ahead, leaving: running.count + bulk.count + promised)
        // Failures set the flag again, though everything has been looked at; but for those that stepped back before one who failed.
        admissionPending = hasFailed && running.isEmpty && bulk.isEmpty && !waiting.isEmpty && registry.readsInFlight == 0
    }

    /// The requests of one tenant and class, which stand in order of urgency, in the order in which they are asked. Where experts are paged, those of the first few that
    /// are equally urgent are asked in the order of how much of what they will want is in memory, as far as it is known: a step then reads less. Nobody is passed over
    /// more than `Limits.passedOver` times for that.
    func affinityOrder(_ requests: [ActiveRequest]) -> [ActiveRequest] {
        guard let experts, experts.supply.options.ordersAdmission, requests.count > 1 else { return requests }
        let few = requests.prefix(Limits.admissionWindow)
        let isDue = few.map { $0.passedOver >= Limits.passedOver }
        let overlaps = few.map { experts.overlap(of: $0.request) }
        // Whoever nothing is known of is neither preferred nor put back: the order that was given holds, and where the overlaps are about the same, too.
        guard overlaps.allSatisfy({ $0 != nil }) else { return requests }
        let grades = overlaps.map { Int($0! * Self.overlapGrades) }
        let ranks = few.map(\.urgency.rank)
        let order = few.indices.sorted { left, right in
            if ranks[left] != ranks[right] { return ranks[left] < ranks[right] }
            if isDue[left] != isDue[right] { return isDue[left] }
            if !isDue[left], grades[left] != grades[right] { return grades[left] > grades[right] }
            return left < right
        }
        return order.map { few[$0] } + requests.dropFirst(few.count)
    }

    /// Overlaps that differ by less than one part in so many are the same.
    private static let overlapGrades = 10.0

    /// A request that was admitted runs. Returns whom that raises.
    func letIn(_ request: ActiveRequest) -> ActiveRequest? {
        passOver(olderThan: request)
        let raised = noteOvertaking(by: request)
        leaveQueue(request)
        if request.isBulk {
            request.firstWave = counters.waves
            bulk.insert(request)
        } else {
            running.insert(request)
        }
        tenants.count(request)
        forecast.add(holder(request))
        if request.preemptions > 0 { experts?.requestReturns(request.request.id) }
        return raised
    }

    /// Counts for those of its tenant and class who are as urgent as a request that is let in and came before it, and could have been.
    private func passOver(olderThan request: ActiveRequest) {
        for older in request.tenant[request.request.serviceClass].waiting.requests {
            guard older.urgency < request.urgency else { return }
            if older.urgency.rank == request.urgency.rank, older.phase == .queued { older.passedOver += 1 }
        }
    }

    /// - Parameters:
    ///   - mayTakeFree: free pages are not kept for somebody before it.
    ///   - places: how many may run.
    func tryToAdmit(_ request: ActiveRequest, promised: Int, mayTakeFree: Bool = true, places: Int? = nil) -> Admission {
        // What those who run will want before long, and what is kept for other tenants, beside what is promised: a request let in
        // at their cost would soon be thrown out again.
        let isFirst = running.isEmpty && bulk.isEmpty
        let room = pool.room(for: .kv) + prefixes.evictablePages - blocks(request.tokens.count) - promised
        let reserve = promised + (isFirst ? 0 : forecast.peak(with: holder(request), room: room) + tenants.unfilledFloors(beside: request.tenant))
        let adapter: Adapter?
        switch self.adapter(for: request) {
        case .success(let found): adapter = found
        case .failure(let failure): return .failed(failure)
        }
        guard request.isBulk || running.count < places ?? configuration.runningRequests else { return .waitsForPages }
        if let adapter {
            switch adapter.residency {
            case .resident: break
            case .loading: return .waitsForDisk
            case .absent:
                switch registry.beginLoad(adapter, leaving: blocks(request.tokens.count) + reserve) {
                case .begun:
                    chargeDisk(request, bytes: Double(adapter.source.bytes))
                    return .waitsForDisk
                case .readersBusy: return .waitsForDisk
                case .noRoom: return .waitsForPages
                }
            }
        }
        if isBeingComputed(by: request, adapter) { return .waitsForPrefix }
        guard mayTakeFree else { return .waitsForPages }
        if let adapter { registry.beginUse(adapter, now: now) }
        let isNew = request.adapter == nil
        request.adapter = adapter
        guard leasePages(for: request, leaving: reserve) else {
            if isNew { request.adapter = nil }
            if let adapter { registry.endUse(adapter, now: now) }
            return .waitsForPages
        }
        if let adapter, isNew { registry.bind(adapter, wasInMemory: !request.hasWaitedForAdapter) }
        request.phase = .prefilling
        return .admitted
    }

    /// The version that a request began with, or else the current one of its name. Names may have changed since it was submitted.
    private func adapter(for request: ActiveRequest) -> Result<Adapter?, GenerationFailure> {
        if let bound = request.adapter { return .success(bound) }
        guard let name = request.request.adapter else { return .success(nil) }
        switch registry.entries[name] {
        case nil: return .failure(GenerationFailure(.unknownAdapter, "adapter \(name) was removed"))
        case .rejected(let reason): return .failure(GenerationFailure(.adapterRejected, "adapter \(name) cannot be used: \(reason)"))
        case .adapter(let adapter): return .success(adapter)
        }
    }

    /// Leases the blocks of all tokens that the request has, where `leaving` more could be had.
    private func leasePages(for request: ActiveRequest, leaving: Int) -> Bool {
        let blocks = blocks(request.tokens.count)
        var match = prefixes.match(request.tokens, limit: request.takeableTokens, in: scope(of: request))
        // What was found stays while room is made for the rest.
        prefixes.claim(match)
        while !economy.makeRoom(blocks - match.blocks.count, for: .kv, leaving: leaving) {
            prefixes.unclaim(match)
            // A block that is to be copied takes a page beside the copy: a request that fits the pool alone would never run for it.
            guard match.partial != nil else { return false }
            match.dropPartial()
            prefixes.claim(match)
        }
        let isFirst = request.cachedTokens == nil
        request.blocks = prefixes.blocks(blocks, startingOn: match, countingAs: isFirst, promptTokens: request.promptCount)
        request.pages = request.blocks.map { $0.address! }
        request.computed = match.tokens
        if isFirst { request.cachedTokens = match.tokens }
        return true
    }

    func blocks(_ tokens: Int) -> Int { (tokens + model.kvLayout.blockTokens - 1) / model.kvLayout.blockTokens }

    // MARK: growth

    /// Gives every request of the list (`\.running`, `\.bulk`) the page that its next token needs, oldest first, at the cost of idle adapters, of
    /// bulk requests and of the least urgent of the tenant that holds most. False where the only request that runs must wait until a read ends.
    func grow(_ list: KeyPath<Engine, ArrivalList>) -> Bool {
        // Others may leave the list meanwhile: they hold no pages then.
        for request in self[keyPath: list].requests where request.isRunning {
            guard request.pages.count * model.kvLayout.blockTokens < request.tokens.count else { continue }
            if case .mustWait = grow(request) { return false }
        }
        return true
    }

    private enum Growth { case grown, gone, mustWait }

    private func grow(_ request: ActiveRequest) -> Growth {
        while let other = whoGivesUpBelowCeiling(request) {
            preempt(other)
            if other === request { return .gone }
        }
        while true {
            if economy.makeRoom(1, for: .kv), let block = prefixes.newBlock(at: request.blocks.count) {
                request.blocks.append(block)
                request.pages.append(block.address!)
                return .grown
            }
            if experts?.finishReads() == true { continue }
            let isAlone = running.count + bulk.count == 1
            if !isAlone, let other = whoGivesUp() {
                preempt(other)
                if other === request { return .gone }
            } else if registry.readsInFlight > 0 {
                return .mustWait
            } else if waves.memory != nil {
                dropWaveMemory()
            } else {
                fail(request, GenerationFailure(.overloaded, "the memory pool is too small for this request beside what is pinned in it"))
                running.removeFinished()
                bulk.removeFinished()
                return .gone
            }
        }
    }

    /// Takes a running request's pages; it waits again, in its old place, and is computed anew.
    func preempt(_ request: ActiveRequest) {
        if waves.current?.contains(request) == true { abandonWave() }
        if request.isBulk { bulk.remove(request) } else { running.remove(request) }
        releasePages(of: request)
        request.phase = .queued
        request.preemptions += 1
        counters.preemptions += 1
        request.account.use.preemptions += 1
        experts?.requestPreempted(request.request.id)
        enterQueue(request)
    }
}
