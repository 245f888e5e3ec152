// Which adapters there are, and which of them are in memory.
//
// The registry moves adapters between disk and pool; it does not decide when. The engine asks it to begin a load or to end a version,
// the economy to let the idle adapter go that is worth least; it never waits, and a read that fails changes nothing but the
// adapter that was read.

import BerthCore
import BerthMemory
import BerthModels

/// Engine thread only.
final class AdapterRegistry {
    enum Entry {
        case adapter(Adapter)
        /// Named, but its files do not fit: requests are told why.
        case rejected(String)
    }

    enum LoadStart {
        case begun
        /// As many reads as allowed are under way; the end of one is the time to try again.
        case readersBusy
        /// Not even without all idle adapters.
        case noRoom
    }

    private let pool: Pool
    private let economy: Economy
    let reader: any AdapterReader
    private let readLimit: Int
    private(set) var entries: [AdapterName: Entry] = [:]
    private(set) var reads: [AdapterReadTicket: Adapter] = [:]
    /// Adapters in memory, retired ones too.
    private(set) var residents: [Adapter] = []
    /// Retired versions that are not gone yet.
    private var retired: [Adapter] = []
    /// A version that was replaced or unregistered has left for good.
    var onGone: (Adapter) -> Void = { _ in }
    private var tick: UInt64 = 0
    /// The engine's count of steps.
    var step = 0
    /// Adapters that requests at the head of the queue wait for, with the place of the first of these.
    var awaited: [ObjectIdentifier: Int] = [:]
    private var serial = 0
    private var nextTicket: UInt64 = 1
    private(set) var loads = 0
    private(set) var lookups = PoolPicture.Lookups()
    var evictions = 0
    /// How likely adapters are to be asked for again.
    var chances = ReuseChances()
    private(set) var failedReads = 0

    init(pool: Pool, economy: Economy, reader: any AdapterReader, readLimit: Int) {
        self.pool = pool
        self.economy = economy
        self.reader = reader
        self.readLimit = readLimit
    }

    var readsInFlight: Int { reads.count }
    /// Pages that pinned adapters hold or will hold.
    private(set) var pinnedPages = 0
    private var pinned: [Adapter] = []
    /// Pinned adapters that are not in memory yet.
    var pinnedAbsent: [Adapter] { pinned.filter { if case .absent = $0.residency { true } else { false } } }

    // MARK: names

    /// Registers or replaces. Requests that are bound to the version before end on it.
    func register(_ name: AdapterName, _ source: AdapterSource) throws(GenerationFailure) {
        guard entries[name] != nil || entries.count < Limits.registeredAdapters else {
            throw GenerationFailure(.overloaded, "there are \(Limits.registeredAdapters) adapters already")
        }
        let adapter = Adapter(name: name, source: source, serial: serial + 1, pageBytes: pool.pageBytes)
        let pinnedBefore = current(name).flatMap { $0.isPinned ? $0 : nil }
        if let pinnedBefore { try checkPinnable(adapter, insteadOf: pinnedBefore) }
        serial += 1
        retire(name)
        entries[name] = .adapter(adapter)
        if pinnedBefore != nil { pin(adapter) }
    }

    /// Registers a name whose requests are refused with `reason`.
    func reject(_ name: AdapterName, reason: String) {
        retire(name)
        entries[name] = .rejected(reason)
    }

    /// False where there is no such name.
    func unregister(_ name: AdapterName) -> Bool {
        guard entries[name] != nil else { return false }
        retire(name)
        entries[name] = nil
        return true
    }

    /// A pinned adapter is brought to memory as soon as there is room, and never leaves.
    func setPinned(_ name: AdapterName, _ isPinned: Bool) throws(GenerationFailure) {
        guard let adapter = current(name) else { throw GenerationFailure(.unknownAdapter, "there is no adapter \(name)") }
        guard adapter.isPinned != isPinned else { return }
        if isPinned {
            try checkPinnable(adapter)
            pin(adapter)
        } else {
            unpin(adapter)
        }
    }

    /// One page must remain beside what experts need, or nothing could ever run.
    private func checkPinnable(_ adapter: Adapter, insteadOf other: Adapter? = nil) throws(GenerationFailure) {
        let pages = pinnedPages + adapter.pageCount - (other?.pageCount ?? 0)
        guard pages + pool.share(of: .expert).floorPages < pool.pageCount else {
            throw GenerationFailure(.overloaded, "with \(adapter.name) pinned adapters would take \(pages) of the pool's \(pool.pageCount) pages and leave none for requests")
        }
    }

    private func pin(_ adapter: Adapter) {
        pinned.append(adapter)
        pinnedPages += adapter.pageCount
        adapter.isPinned = true
    }

    private func unpin(_ adapter: Adapter) {
        pinned.removeAll { $0 === adapter }
        pinnedPages -= adapter.pageCount
        adapter.isPinned = false
    }

    /// The name, where there is an adapter of it.
    func known(_ name: AdapterName?) -> AdapterName? { name.flatMap { entries[$0] == nil ? nil : $0 } }

    private func current(_ name: AdapterName) -> Adapter? {
        if case .adapter(let adapter) = entries[name] { adapter } else { nil }
    }

    private func retire(_ name: AdapterName) {
        guard let adapter = current(name) else { return }
        if adapter.isPinned { unpin(adapter) }
        adapter.isRetired = true
        retired.append(adapter)
        dropIfDone(adapter)
    }

    // MARK: requests

    /// A request begins with this version, and keeps it to its end. `wasInMemory`: it did not have to wait for it.
    func bind(_ adapter: Adapter, wasInMemory: Bool) {
        lookups.queries += 1
        if wasInMemory { lookups.hits += 1 }
        adapter.boundRequests += 1
        adapter.uses += 1
        adapter.stayUses += 1
    }

    func unbind(_ adapter: Adapter) {
        adapter.boundRequests -= 1
        dropIfDone(adapter)
    }

    /// A request with this adapter joins the running set. The adapter is resident.
    func beginUse(_ adapter: Adapter, now: UInt64) {
        precondition(adapter.weights != nil)
        if adapter.runningRequests == 0, adapter.stayUses > 0 { chances.learn(reuses: adapter.reuses, idleSteps: step - adapter.lastUseStep, wasWanted: true) }
        adapter.runningRequests += 1
        touch(adapter)
        adapter.lastUseTime = now
    }

    func endUse(_ adapter: Adapter, now: UInt64) {
        adapter.runningRequests -= 1
        precondition(adapter.runningRequests >= 0)
        touch(adapter)
        adapter.lastUseTime = now
    }

    private func touch(_ adapter: Adapter) {
        tick += 1
        adapter.lastUse = tick
        adapter.lastUseStep = step
    }

    // MARK: residency

    /// Leases pages, evicting idle adapters where needed, and begins to read. The adapter is absent. `leaving` pages must be left or
    /// be had by evicting: what is needed next. `ahead` is the place in the queue of who will want it, where it is nobody's turn yet.
    func beginLoad(_ adapter: Adapter, leaving: Int = 0, ahead place: Int? = nil) -> LoadStart {
        guard reads.count < (place == nil ? readLimit : max(1, readLimit - 1)) else { return .readersBusy }
        if let place {
            guard makeRoomAhead(adapter.pageCount, leaving: leaving, below: value(of: adapter, chance: Self.chance(atPlace: place))) else { return .noRoom }
        } else {
            guard economy.makeRoom(adapter.pageCount, for: .adapter, leaving: leaving) else { return .noRoom }
        }
        guard let lease = pool.reserve(adapter.pageCount, for: .adapter) else { return .noRoom }
        let memory: UnsafeMutableRawPointer
        do {
            memory = try window(of: lease, in: pool)
        } catch {
            pool.release(lease)
            return .noRoom
        }
        adapter.lease = consume lease
        let ticket = AdapterReadTicket(rawValue: nextTicket)
        nextTicket += 1
        adapter.residency = .loading(ticket)
        reads[ticket] = adapter
        reader.begin(AdapterRead(ticket: ticket, source: adapter.source, memory: memory))
        return .begun
    }

    /// Room for an adapter before its turn, at the cost of what is worth less alone; `leaving` pages are there beside it, and not merely to be had.
    private func makeRoomAhead(_ pages: Int, leaving: Int, below limit: Double) -> Bool {
        if pool.share(of: .adapter).ceilingPages == .max { return economy.makeRoom(pages + leaving, for: .adapter, below: limit) }
        return pool.sharedRoom(for: .adapter) >= pages + leaving && economy.makeRoom(pages, for: .adapter, below: limit)
    }

    /// A read ended. Returns its adapter; where it failed, the adapter is absent again and says why.
    func finishRead(_ ticket: AdapterReadTicket, _ result: Result<AdapterWeights, GenerationFailure>) -> Adapter {
        guard let adapter = reads.removeValue(forKey: ticket) else { preconditionFailure("a read was reported twice, or never begun") }
        switch result {
        case .success(let weights):
            pool.publish(adapter.lease!)
            adapter.residency = .resident(weights)
            adapter.stayUses = 0
            adapter.lastFailure = nil
            residents.append(adapter)
            touch(adapter)
            loads += 1
        case .failure(let failure):
            adapter.residency = .absent
            adapter.lastFailure = failure
            if let lease = adapter.lease.take() { pool.release(lease) }
            failedReads += 1
        }
        dropIfDone(adapter)
        return adapter
    }

    func leaveMemory(_ adapter: Adapter, givingMemoryBack: Bool) {
        precondition(adapter.runningRequests == 0)
        adapter.residency = .absent
        residents.removeAll { $0 === adapter }
        if let lease = adapter.lease.take() { pool.release(lease, givingMemoryBack: givingMemoryBack) }
    }

    /// A retired version leaves with its last request. Its memory goes back to the machine: unloading really frees.
    private func dropIfDone(_ adapter: Adapter) {
        guard adapter.isRetired, adapter.boundRequests == 0, !adapter.isLoading else { return }
        if adapter.weights != nil { leaveMemory(adapter, givingMemoryBack: true) }
        retired.removeAll { $0 === adapter }
        onGone(adapter)
    }

    /// Everything leaves memory, for the end of the engine. No request is bound, and no read is under way whose pages could still be written.
    func shutDown() {
        for adapter in residents { leaveMemory(adapter, givingMemoryBack: true) }
        for adapter in reads.values { if let lease = adapter.lease.take() { pool.release(lease) } }
        reads = [:]
    }

    // MARK: accounts

    /// Bytes of the adapters' pages that hold nothing.
    var wasteBytes: Int { (residents + reads.values).reduce(0) { $0 + $1.pageCount * pool.pageBytes - $1.source.bytes } }

    var statuses: [AdapterStatus] {
        let named = entries.map { name, entry in
            switch entry {
            case .rejected(let reason): AdapterStatus(name: name, state: .rejected, reason: reason)
            case .adapter(let adapter): status(of: adapter)
            }
        }
        return (named + retired.map(status)).sorted { ($0.name, $0.state.rawValue, $0.digest) < ($1.name, $1.state.rawValue, $1.digest) }
    }

    private func status(of adapter: Adapter) -> AdapterStatus {
        let state: AdapterStatus.State =
            switch adapter.residency {
            case _ where adapter.isRetired: .retired
            case .absent: .absent
            case .loading: .loading
            case .resident: .resident
            }
        var status = AdapterStatus(name: adapter.name, state: state, reason: adapter.lastFailure?.message)
        status.bytes = adapter.source.bytes
        status.pages = adapter.pageCount
        status.digest = adapter.source.digest
        status.modules = adapter.source.modules
        status.warnings = adapter.source.warnings
        status.isPinned = adapter.isPinned
        status.uses = adapter.uses
        status.runningRequests = adapter.runningRequests
        status.lastUseTime = adapter.lastUseTime
        return status
    }

    /// Proves that pages and residency agree. Returns the pages that adapters hold.
    func checkInvariants() -> Int {
        var pages = 0
        for adapter in residents {
            precondition(adapter.weights != nil && adapter.lease != nil, "\(adapter.name) is resident without pages")
            precondition(pool.state(of: adapter.lease!) == .published)
            precondition(adapter.boundRequests >= adapter.runningRequests)
            pages += pool.pageCount(of: adapter.lease!)
        }
        for adapter in reads.values {
            precondition(adapter.isLoading && adapter.lease != nil, "\(adapter.name) is being read without pages")
            precondition(pool.state(of: adapter.lease!) == .reserved)
            pages += pool.pageCount(of: adapter.lease!)
        }
        precondition(pinnedPages == pinned.reduce(0) { $0 + $1.pageCount })
        precondition(retired.allSatisfy { $0.isRetired && ($0.boundRequests > 0 || $0.isLoading) }, "a retired adapter outlived its requests")
        return pages
    }
}
