// Who may run: admission in order of arrival, loading of adapters, and preemption when pages run out.
//
// The order of arrival is kept strictly where memory is short: a request that finds no pages blocks those behind it, so that
// small newcomers cannot starve a large request. It is not kept where only the disk is slow: a request whose adapter is being
// read steps aside until the read ends, and the pages it will need are kept for it; otherwise its adapter would be read only to be
// thrown out again. Where experts are paged, whose experts are in memory may go before a few others (`admissionOrder`). (The seam for tenants
// is here: an order other than that of arrival is another order of `waiting`.)
//
// When a running request needs a page and there is none, the economy lets go what is worth least; then the youngest
// running request gives up its pages and waits to be computed again. The oldest request is never disturbed, so there is
// always one that comes to its end.

import BerthCore
import BerthMemory

extension Engine {
    private enum Admission {
        case admitted
        /// Its adapter is on its way, or must wait for another read.
        case waitsForDisk
        /// Somebody who runs is computing what it begins with.
        case waitsForPrefix
        /// Somebody must give up pages, or a place, first.
        case waitsForPages
        case failed(GenerationFailure)
    }

    /// Lets in whoever can run, oldest first.
    func admit() {
        admissionPending = false
        for adapter in registry.pinnedAbsent where adapter.lastFailure == nil { _ = registry.beginLoad(adapter) }
        /// KV blocks of those who wait for the disk, and come before the one that is asked.
        var promised = 0
        /// Places of the same.
        var promisedPlaces = 0
        var hasFailed = false
        // Who waits for an answer comes before who does not.
        let order = admissionOrder().partitioned { $0.isBulk }
        noteAwaitedAdapters(order)
        defer { if waiting.isEmpty { registry.awaited = [:] } }
        let width = order.last?.isBulk == true ? waveWidth() : 0
        for (index, request) in order.enumerated() {
            if request.isBulk, bulk.count >= width {
                lookAhead(order[index...], leaving: running.count + bulk.count + promised)
                break
            }
            var admission = tryToAdmit(request, promised: promised)
            // Reads ahead hold pages that are nobody's yet; where nothing runs, nobody will look again when they have ended.
            if case .waitsForPages = admission, running.isEmpty, experts?.finishReads() == true { admission = tryToAdmit(request, promised: promised) }
            while case .waitsForPages = admission, !request.isBulk, running.count < configuration.runningRequests, let youngest = bulk.youngest {
                preempt(youngest)
                admission = tryToAdmit(request, promised: promised)
            }
            if case .waitsForPages = admission, givesLastReserves() { admission = tryToAdmit(request, promised: promised) }
            switch admission {
            case .admitted:
                passOver(olderThan: request)
                waiting.remove(request)
                if request.isBulk { bulk.insert(request) } else { running.insert(request) }
                if request.preemptions > 0 { experts?.requestReturns(request.request.id) }
            case .waitsForDisk:
                request.phase = .waitingForAdapter
                promised += blocks(request.tokens.count)
                if running.count + promisedPlaces < configuration.runningRequests { request.hasWaitedForAdapter = true }
                promisedPlaces += 1
            case .waitsForPrefix: request.phase = .waitingForPrefix
            case .failed(let failure):
                hasFailed = true
                fail(request, failure)
            case .waitsForPages:
                request.phase = .queued
                // Who was preferred to older ones of its class does not block them: it will be asked again.
                let hasPlaces = running.count < configuration.runningRequests
                let wasPreferred = order[(index + 1)...].contains { $0.isBulk == request.isBulk && $0.arrival < request.arrival }
                if hasPlaces, wasPreferred, request.passedOver < Limits.passedOver { continue }
                // Where nothing runs and nothing is read, nobody will ever give up pages.
                guard running.isEmpty && bulk.isEmpty && registry.readsInFlight == 0 else {
                    return lookAhead(order[index...], leaving: running.count + bulk.count + promised)
                }
                hasFailed = true
                fail(request, GenerationFailure(.overloaded, "the memory pool has no room for this request beside what is pinned in it"))
            }
        }
        // Failures set the flag again, though everything has been looked at; but for those that stepped back before one who failed.
        admissionPending = hasFailed && running.isEmpty && bulk.isEmpty && !waiting.isEmpty && registry.readsInFlight == 0
    }

    /// Who is asked first. The order is that of arrival; where experts are paged, the oldest few are asked in the order of how much of what they will want is in
    /// memory, as far as it is known: a step then reads less. Only requests of one service class change places, and nobody is passed over more than `Limits.passedOver`
    /// times.
    func admissionOrder() -> [ActiveRequest] {
        guard let experts, experts.supply.options.ordersAdmission, waiting.count > 1 else { return waiting.requests }
        let few = waiting.requests.prefix(Limits.admissionWindow)
        let isDue = few.map { $0.passedOver >= Limits.passedOver }
        let overlaps = few.map { experts.overlap(of: $0.request) }
        // Whoever nothing is known of is neither preferred nor put back: the order of arrival holds, and where the overlaps are about the same, too.
        guard overlaps.allSatisfy({ $0 != nil }) else { return waiting.requests }
        let grades = overlaps.map { Int($0! * Self.overlapGrades) }
        var order = Array(few.indices)
        for places in Dictionary(grouping: few.indices, by: { few[$0].request.serviceClass }).values {
            let sorted = places.sorted { left, right in
                if isDue[left] != isDue[right] { return isDue[left] }
                if !isDue[left], grades[left] != grades[right] { return grades[left] > grades[right] }
                return left < right
            }
            for (place, index) in zip(places, sorted) { order[place] = index }
        }
        return order.map { few[$0] } + waiting.requests.dropFirst(few.count)
    }

    /// Overlaps that differ by less than one part in so many are the same.
    private static let overlapGrades = 10.0

    /// Counts for those of its class who came before a request that is let in, and could have been.
    private func passOver(olderThan request: ActiveRequest) {
        for older in waiting.requests {
            guard older.arrival < request.arrival else { return }
            if older.phase == .queued, older.isBulk == request.isBulk { older.passedOver += 1 }
        }
    }

    private func tryToAdmit(_ request: ActiveRequest, promised: Int) -> Admission {
        // A page for every running request, each of which will want one before long, beside what is promised: a request let in
        // at their cost would soon be thrown out again.
        let reserve = running.count + bulk.count + promised
        let adapter: Adapter?
        switch self.adapter(for: request) {
        case .success(let found): adapter = found
        case .failure(let failure): return .failed(failure)
        }
        guard request.isBulk || running.count < configuration.runningRequests else { return .waitsForPages }
        if let adapter {
            switch adapter.residency {
            case .resident: break
            case .loading: return .waitsForDisk
            case .absent:
                switch registry.beginLoad(adapter, leaving: blocks(request.tokens.count) + reserve) {
                case .begun, .readersBusy: return .waitsForDisk
                case .noRoom: return .waitsForPages
                }
            }
        }
        if isBeingComputed(by: request, adapter) { return .waitsForPrefix }
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
        let match = prefixes.match(request.tokens, limit: request.takeableTokens, in: scope(of: request))
        // What was found stays while room is made for the rest.
        prefixes.claim(match)
        guard economy.makeRoom(blocks - match.blocks.count, for: .kv, leaving: leaving) else {
            prefixes.unclaim(match)
            return false
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
    /// bulk requests and of the youngest. False where the only request that runs must wait until a read ends.
    func grow(_ list: KeyPath<Engine, ArrivalList>) -> Bool {
        var index = 0
        while index < self[keyPath: list].count {
            let request = self[keyPath: list][index]
            if request.pages.count * model.kvLayout.blockTokens < request.tokens.count {
                switch grow(request) {
                case .grown: break
                // It was the youngest: nobody is behind it.
                case .gone: return true
                case .mustWait: return false
                }
            }
            index += 1
        }
        return true
    }

    private enum Growth { case grown, gone, mustWait }

    private func grow(_ request: ActiveRequest) -> Growth {
        while true {
            if economy.makeRoom(1, for: .kv), let block = prefixes.newBlock(at: request.blocks.count) {
                request.blocks.append(block)
                request.pages.append(block.address!)
                return .grown
            }
            if experts?.finishReads() == true { continue }
            let isAlone = running.count + bulk.count == 1
            if !isAlone, let youngest = bulk.youngest ?? running.youngest {
                preempt(youngest)
                if youngest === request { return .gone }
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
        experts?.requestPreempted(request.request.id)
        waiting.insert(request)
    }
}
