// Who may run: admission in order of arrival, loading of adapters, and preemption when pages run out.
//
// The order of arrival is kept strictly where memory is short: a request that finds no pages blocks those behind it, so that
// small newcomers cannot starve a large request. It is not kept where only the disk is slow: a request whose adapter is being
// read steps aside until the read ends, and the pages it will need are kept for it; otherwise its adapter would be read only to be
// thrown out again. (The seam for tenants is here: an order other than that of arrival is another order of
// `waiting`.)
//
// When a running request needs a page and there is none, the economy lets go what is worth least; then the youngest
// running request gives up its pages and waits to be computed again. The oldest request is never disturbed, so there is
// always one that comes to its end.

import BerthMemory

extension Engine {
    private enum Admission {
        case admitted
        /// Its adapter is on its way, or must wait for another read.
        case waitsForDisk
        /// Somebody must give up pages first.
        case waitsForPages
        case failed(GenerationFailure)
    }

    /// Lets in whoever can run, oldest first.
    func admit() {
        admissionPending = false
        for adapter in registry.pinnedAbsent where adapter.lastFailure == nil { _ = registry.beginLoad(adapter) }
        var index = 0
        /// KV blocks of those who wait for the disk, and come before the one at `index`.
        var promised = 0
        while index < waiting.count {
            let request = waiting[index]
            switch tryToAdmit(request, promised: promised) {
            case .admitted:
                waiting.remove(at: index)
                running.insert(request)
            case .waitsForDisk:
                request.phase = .waitingForAdapter
                promised += blocks(request.tokens.count)
                index += 1
            case .failed(let failure):
                fail(request, failure)
            case .waitsForPages:
                request.phase = .queued
                // Where nothing runs and nothing is read, nobody will ever give up pages.
                guard running.isEmpty && registry.readsInFlight == 0 else { return }
                fail(request, GenerationFailure(.overloaded, "the memory pool has no room for this request beside what is pinned in it"))
            }
        }
        // Failures above set the flag again, though everything has been looked at.
        admissionPending = false
    }

    private func tryToAdmit(_ request: ActiveRequest, promised: Int) -> Admission {
        // A page for every running request, each of which will want one before long, beside what is promised: a request let in
        // at their cost would soon be thrown out again.
        let reserve = running.count + promised
        let adapter: Adapter?
        switch self.adapter(for: request) {
        case .success(let found): adapter = found
        case .failure(let failure): return .failed(failure)
        }
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
        guard running.count < configuration.runningRequests else { return .waitsForPages }
        if let adapter { registry.beginUse(adapter, now: now) }
        guard leasePages(for: request, leaving: reserve) else {
            if let adapter { registry.endUse(adapter, now: now) }
            return .waitsForPages
        }
        if let adapter, request.adapter == nil {
            request.adapter = adapter
            registry.bind(adapter)
        }
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
        guard economy.makeRoom(blocks, for: .kv, leaving: leaving), let lease = pool.reserve(blocks, for: .kv) else { return false }
        // Written and read by this thread, in steps: there is nobody to wait for.
        pool.publish(lease)
        request.pages = pool.pages(of: lease).map { pool.address(of: $0) }
        request.lease = consume lease
        return true
    }

    private func blocks(_ tokens: Int) -> Int { (tokens + model.kvLayout.blockTokens - 1) / model.kvLayout.blockTokens }

    // MARK: growth

    /// Gives every running request the page that its next token needs, oldest first, at the cost of idle adapters and of the youngest.
    /// False where the only running request must wait until a read ends.
    func growRunning() -> Bool {
        var index = 0
        while index < running.count {
            let request = running[index]
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
            if economy.makeRoom(1, for: .kv), pool.extend(request.lease!, by: 1) {
                request.pages.append(pool.address(of: pool.lastPage(of: request.lease!)))
                return .grown
            }
            if let youngest = running.youngest, youngest !== request || running.count > 1 {
                preempt(youngest)
                if youngest === request { return .gone }
            } else if registry.readsInFlight > 0 {
                return .mustWait
            } else {
                fail(request, GenerationFailure(.overloaded, "the memory pool is too small for this request beside what is pinned in it"))
                running.removeFinished()
                return .gone
            }
        }
    }

    /// Takes a running request's pages; it waits again, in its old place, and is computed anew.
    private func preempt(_ request: ActiveRequest) {
        running.remove(request)
        releasePages(of: request)
        request.phase = .queued
        request.preemptions += 1
        counters.preemptions += 1
        waiting.insert(request)
    }
}
