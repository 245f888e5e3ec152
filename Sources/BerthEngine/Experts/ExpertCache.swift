// The experts that are in the pool, and the provider that a paged model's layers ask for them.
//
// The passage of a layer: `begin` learns what the rows have chosen, puts those in memory first and begins to read the others, as many at a
// time as the disk likes; `ready` waits for the next of them; `finished` lets go of what has run. So resident experts compute while others come,
// each is read at most once per layer and step, and a layer may need more experts than the pool has room for. Room is made by the
// economy. Between layers guesses about the next one are read ahead (`ExpertCache+Guesses.swift`).
//
// A read that fails is tried again by the reader; if it fails for good, the expert is lost for this layer, the rows that chose it compute
// nothing of use, and `endStep` names the requests that they belong to. Nobody else's rows ever see the difference.
//
// Engine thread only, mostly from inside `Model.forward`.

import BerthCore
import BerthMemory
import BerthModels

final class ExpertCache: ExpertProvider {
    let supply: ExpertSupply
    let pool: Pool
    let economy: Economy
    let policy: ExpertPolicy
    private let slotsByLayer: [[ExpertSlot]]
    /// All of them, in the order of the policy's numbers.
    let slots: [ExpertSlot]
    let pagesPerExpert: Int
    private let layerNumbers: [Int: Int]
    var account = ExpertAccount()
    private var recorder: RoutingRecorder?
    private var rememberedRows = 0
    private(set) var layerHits: [Int]
    private(set) var layerUses: [Int]
    /// How fast tokens pass where nothing is waited for.
    var speed = ResidentSpeed()
    var readsInFlight = 0
    /// Those of `readsInFlight` that are speculative: for steps, and for waves.
    var guessesInFlight = 0
    var waveReadsInFlight = 0
    /// Experts that may leave: in memory, and not needed by the present layer.
    private(set) var evictable = 0
    /// Streams run beside the wave: it keeps to a small part of the pool (`ExpertCache+Waves.swift`).
    var isBesideStreams = false
    /// What the wave has brought there, the oldest first.
    var waveSlots: [ExpertSlot] = []
    /// What is to be read while nothing else happens, last one first.
    private var warmList: [Int] = []

    private var numbers = RequestNumbers()
    /// The step that is going on, and those that stand.
    var lane = ExpertLane()
    var lanes = StepLane.allCases.map { _ in ExpertLane() }
    var present = StepLane.ordinary

    init(_ supply: ExpertSupply, pool: Pool, economy: Economy) {
        self.supply = supply
        self.pool = pool
        self.economy = economy
        slotsByLayer = supply.layers.indices.map { layer in
            (0..<supply.expertsPerLayer).map { expert in
                ExpertSlot(id: ExpertID(layer: supply.layers[layer], expert: expert), key: ExpertKey(layer: layer, expert: expert))
            }
        }
        slots = Array(slotsByLayer.joined())
        layerHits = Array(repeating: 0, count: supply.layers.count)
        layerUses = layerHits
        pagesPerExpert = (supply.bytes + pool.pageBytes - 1) / pool.pageBytes
        layerNumbers = Dictionary(uniqueKeysWithValues: supply.layers.enumerated().map { ($1, $0) })
        policy = ExpertPolicy(
            shape: ExpertShape(layers: supply.layers.count, experts: supply.expertsPerLayer), kind: supply.options.policy, capacity: supply.count,
            curveShares: Self.curveShares)
        if let popularity = supply.options.popularity, popularity.count == supply.count {
            policy.restorePopularity(popularity)
            warmList = slots.indices.filter { popularity[$0] > 0 }.sorted { (popularity[$0], $1) < (popularity[$1], $0) }
        }
        if supply.options.writeRecording != nil { recorder = RoutingRecorder(shape: policy.shape) }
        let least = ExpertSupply.leastResident(chosen: supply.chosen, count: supply.count) * pagesPerExpert
        precondition(least <= pool.pageCount, "a pool of \(pool.pageCount) pages has no room for the experts of one row")
        let share = pool.share(of: .expert)
        pool.setShare(PoolShare(floorPages: max(share.floorPages, least), ceilingPages: max(share.ceilingPages, least)), for: .expert)
    }

    /// Budgets whose hit rates are estimated beside the real one, as shares of all experts: the curve whose knee says how much memory pays.
    private static let curveShares = [0.125, 0.25, 0.5, 0.75]

    /// The number of a layer of the model among those that have experts.
    func number(ofLayer layer: Int) -> Int {
        guard let number = layerNumbers[layer] else { preconditionFailure("layer \(layer) has no experts on disk") }
        return number
    }

    /// The experts of a layer, which is given by its number.
    func slots(ofLayer number: Int) -> [ExpertSlot] { slotsByLayer[number] }

    // MARK: steps

    /// The rows of the step that comes now, in order.
    func beginStep(_ rows: [(request: GenerationRequest, count: Int)]) {
        lane.sequences.removeAll(keepingCapacity: true)
        lane.rowNumbers.removeAll(keepingCapacity: true)
        for (request, count) in rows {
            lane.sequences.append(lane.rowNumbers.count..<lane.rowNumbers.count + count)
            let isNew = numbers.known(request.id) == nil
            let number = numbers.number(of: request.id)
            if isNew { policy.requestBegan(number, RoutingProfileKey.keys(adapter: request.adapter, tenant: request.tenant, prompt: request.prompt)) }
            lane.rowNumbers.append(contentsOf: repeatElement(Int32(number), count: count))
        }
        if present == .ordinary { speed.beginStep(rows.map(\.count), uses: uses, waited: supply.reader.account.waitedNanoseconds) }
        account.rows += lane.rowNumbers.count
        let capacity = min(slots.count, (min(pool.ceilingRoom(for: .expert), pool.sharedRoom(for: .expert)) + pool.pageCount(of: .expert)) / pagesPerExpert)
        if capacity != policy.capacity, capacity > 0 { policy.capacity = capacity }
        if !isGuest { policy.beginStep() }
    }

    /// What has become of the step: failures by the number of the sequence.
    func endStep() -> [Int: GenerationFailure] {
        defer { lane.harmed = [:] }
        if present == .ordinary { speed.endStep(uses: uses, waited: supply.reader.account.waitedNanoseconds) }
        if let bytes = recorder?.take(), !bytes.isEmpty { supply.options.writeRecording?(bytes) }
        return lane.harmed
    }

    func requestEnded(_ request: RequestID) {
        guard let number = numbers.end(request) else { return }
        policy.requestEnded(number)
        recorder?.requestEnded(step: policy.position.step, slot: number)
    }

    /// It gave up its pages, and will compute its rows again.
    func requestPreempted(_ request: RequestID) { if let number = numbers.known(request) { policy.requestPaused(number) } }

    /// It runs in the next step, or will if there is room.
    func requestReturns(_ request: RequestID) { if let number = numbers.known(request) { policy.requestReturns(number) } }

    /// How much of what the request will want is in memory, as far as anything is known of it.
    func overlap(of request: GenerationRequest) -> Double? {
        policy.overlap(slot: numbers.known(request.id), RoutingProfileKey.keys(adapter: request.adapter, tenant: request.tenant, prompt: request.prompt))
    }

    private var uses: Int { account.hits + account.misses + account.lateGuesses }

    // MARK: ExpertProvider

    func begin(_ demand: ExpertDemand) -> ExpertOrder {
        let number = number(ofLayer: demand.layer)
        takeResults(waits: false)
        (lane.demand, lane.begun, lane.run) = (demand, 0, 0)
        let slots = slots(ofLayer: number)
        let active = demand.active.map { slots[$0] }
        for slot in active { claim(slot) }
        let choices = UnsafeBufferPointer(start: demand.experts, count: demand.rows * demand.chosen)
        lane.rowNumbers.withUnsafeBufferPointer { rows in
            if !isGuest { policy.noteUse(layer: number, choices: choices, slots: rows) }
            recorder?.turn(step: policy.position.step, layer: number, choices: choices, slots: rows)
        }
        settleGuesses(ofLayer: number)
        var reading: [ExpertSlot] = [], absent: [ExpertSlot] = []
        lane.order = []
        layerUses[number] += active.count
        for slot in active {
            if !isGuest { slot.isWaves = false }
            switch slot.state {
            case .resident:
                lane.order.append(slot)
                account.hits += 1
                layerHits[number] += 1
                switch slot.unproven {
                case .guess: account.usefulGuesses += 1
                case .queue: account.usefulQueueReads += 1
                case .wave, nil: break
                }
                slot.unproven = nil
            case .reading:
                reading.append(slot)
                if slot.unproven == .guess { account.lateGuesses += 1 } else { account.misses += 1 }
                slot.unproven = nil
                supply.reader.promote(slot.id, to: present == .wave ? .wave : .step)
            case .absent, .lost:
                absent.append(slot)
                account.misses += 1
            }
        }
        lane.order += reading + absent
        beginReads()
        return ExpertOrder(layer: demand.layer, experts: lane.order.map(\.id.expert))
    }

    /// The order is that of the lane, which the engine has entered.
    func ready(at position: Int, of order: ExpertOrder) -> Int {
        while !lane.order[position].isSettled {
            beginReads()
            if readsInFlight > 0 {
                takeResults(waits: true)
            } else {
                // Leased pages everywhere and nothing on its way: only a bug could let that change within this layer.
                lose(lane.order[position], "the memory pool has no room for it")
            }
        }
        takeResults(waits: false)
        beginReads()
        var end = position + 1
        while end < lane.order.count, lane.order[end].isSettled { end += 1 }
        return end - position
    }

    func weights(at position: Int, of order: ExpertOrder) -> Expert? {
        if case .resident(let expert) = lane.order[position].state { expert } else { nil }
    }

    func finished(before position: Int) {
        for slot in lane.order[lane.run..<position] { unclaim(slot) }
        lane.run = position
        beginReads()
    }

    func end() {
        for slot in lane.order { if case .lost = slot.state { slot.state = .absent } }
        lane.order.removeAll(keepingCapacity: true)
        if let layer = lane.demand?.layer { lane.last = number(ofLayer: layer) }
        (lane.demand, lane.begun, lane.run) = (nil, 0, 0)
        takeResults(waits: false)
    }

    // MARK: reading

    /// Begins as many reads of the layer's missing experts as the disk and the pool have room for, in the order in which they will run.
    private func beginReads() {
        while lane.begun < lane.order.count {
            let slot = lane.order[lane.begun]
            if case .absent = slot.state {
                guard readsInFlight - guessesInFlight - waveReadsInFlight < mostReads, read(slot, below: .infinity) else { return }
            }
            lane.begun += 1
        }
        if present == .wave { readOn(after: number(ofLayer: lane.demand!.layer)) }
    }

    /// Reads of the layer's experts that may have been begun. A wave computes for long between two looks at the disk, so it gives it more to do.
    private var mostReads: Int { present == .wave ? mostWaveReads : Limits.expertReads }

    /// The layer needs the expert: it does not leave.
    func claim(_ slot: ExpertSlot) {
        if slot.isResident { evictable -= 1 }
        slot.isNeeded = true
        policy.hold(slot.key)
    }

    /// It has run, or whoever needs it stands.
    func unclaim(_ slot: ExpertSlot) {
        slot.isNeeded = false
        if slot.isResident { evictable += 1 }
        policy.release(slot.key)
    }

    /// Leases pages and begins to read an absent expert; false where there is no room for it.
    /// `ahead` says why, where nobody waits for it.
    func read(_ slot: ExpertSlot, ahead: ExpertSlot.Speculation? = nil, below value: Double) -> Bool {
        let isSpeculative = ahead != nil
        guard !isGuest || makeGuestRoom() else { return false }
        guard economy.makeRoom(pagesPerExpert, for: .expert, below: value), let lease = pool.reserve(pagesPerExpert, for: .expert) else { return false }
        let memory: UnsafeMutableRawPointer
        do {
            memory = try window(of: lease, in: pool)
        } catch {
            pool.release(lease)
            return false
        }
        slot.lease = consume lease
        if isGuest { enterAsGuest(slot) }
        slot.state = .reading(isSpeculative: isSpeculative)
        slot.unproven = ahead
        readsInFlight += 1
        if isSpeculative { countAhead(slot, 1) }
        let urgency: ExpertReadUrgency = switch ahead {
        case .guess, .queue: .guess
        case .wave: .wave
        case nil: present == .wave ? .wave : .step
        }
        supply.reader.begin(ExpertRead(id: slot.id, memory: memory), urgency)
        return true
    }

    /// A speculative read begins, or is one no longer.
    func countAhead(_ slot: ExpertSlot, _ count: Int) {
        if slot.unproven == .wave { waveReadsInFlight += count } else { guessesInFlight += count }
    }

    func takeResults(waits: Bool) {
        guard readsInFlight > 0 else { return }
        for result in supply.reader.results(waits: waits) {
            let slot = slots(ofLayer: number(ofLayer: result.id.layer))[result.id.expert]
            guard case .reading(let isSpeculative) = slot.state else { preconditionFailure("\(result.id) was reported without being read") }
            readsInFlight -= 1
            if isSpeculative { countAhead(slot, -1) }
            if let failure = result.failure {
                account.failedReads += 1
                leave(slot)
                if slot.isNeeded { lose(slot, failure) }
            } else {
                account.bytesRead += supply.bytes
                pool.publish(slot.lease!)
                slot.state = .resident(supply.expert(try! pool.window(of: slot.lease!)))
                if !slot.isNeeded { evictable += 1 }
                policy.becameResident(slot.key)
            }
        }
    }

    /// Waits for all reads, so that their pages are somebody's again: taken back where they had not started, or those of experts that may leave.
    /// Between steps. False where there were none.
    func finishReads() -> Bool {
        guard readsInFlight > 0 else { return false }
        for slot in slots {
            guard case .reading(isSpeculative: true) = slot.state, supply.reader.cancel(slot.id) else { continue }
            readsInFlight -= 1
            countAhead(slot, -1)
            leave(slot)
        }
        while readsInFlight > 0 { takeResults(waits: true) }
        return true
    }

    /// Takes an expert's pages.
    func leave(_ slot: ExpertSlot) {
        if slot.isResident {
            policy.left(slot.key)
            if !slot.isNeeded { evictable -= 1 }
        }
        if let lease = slot.lease.take() { pool.release(lease) }
        slot.state = .absent
        slot.unproven = nil
        slot.isWaves = false
    }

    /// The layer goes on without this expert; the requests whose rows chose it end with the step.
    private func lose(_ slot: ExpertSlot, _ reason: String) {
        slot.state = .lost(reason)
        account.lostExperts += 1
        guard let demand = lane.demand else { return }
        let failure = GenerationFailure(.unreadable, "expert \(slot.id.expert) of layer \(slot.id.layer) could not be read: \(reason)")
        for (index, sequence) in lane.sequences.enumerated() where lane.harmed[index] == nil {
            let choices = sequence.lowerBound * demand.chosen..<sequence.upperBound * demand.chosen
            if choices.contains(where: { Int(demand.experts[$0]) == slot.id.expert }) { lane.harmed[index] = failure }
        }
    }

    // MARK: a warm start, and the end

    /// There is something to read for later, and room for it.
    var isWarming: Bool { !warmList.isEmpty }

    /// While no request runs, what was hottest in an earlier life comes back, into free pages only.
    func warm() {
        guard isWarming else { return }
        takeResults(waits: readsInFlight >= Limits.expertReads)
        while let index = warmList.last, readsInFlight < Limits.expertReads {
            warmList.removeLast()
            guard case .absent = slots[index].state else { continue }
            guard pool.room(for: .expert) >= pagesPerExpert, read(slots[index], below: 0) else {
                warmList = []
                return
            }
            account.warmReads += 1
        }
    }

    /// Hands over what the next life may begin with, if anything passed since the last time.
    func rememberPopularity() {
        guard account.rows != rememberedRows else { return }
        rememberedRows = account.rows
        supply.options.rememberPopularity?(policy.popularity)
    }

    /// Everything leaves memory, for the end of the engine. No read is under way any more.
    func shutDown() {
        rememberPopularity()
        for slot in slots { if let lease = slot.lease.take() { pool.release(lease) } }
    }

    /// Proves that pages and residency agree. Returns the pages that experts hold.
    func checkInvariants() -> Int {
        var pages = 0, reading = 0, guesses = 0, free = 0
        for slot in slots {
            switch slot.state {
            case .absent, .lost: precondition(slot.lease == nil, "\(slot.id) is absent and holds pages")
            case .reading(let isSpeculative):
                precondition(pool.state(of: slot.lease!) == .reserved)
                reading += 1
                guesses += isSpeculative ? 1 : 0
                pages += pagesPerExpert
            case .resident:
                precondition(pool.state(of: slot.lease!) == .published)
                pages += pagesPerExpert
                free += slot.isNeeded ? 0 : 1
            }
        }
        precondition(free == evictable, "\(evictable) experts are counted as free to leave, and \(free) are")
        precondition(reading == readsInFlight && guesses == guessesInFlight + waveReadsInFlight, "\(readsInFlight) reads are counted and \(reading) under way")
        return pages
    }
}
