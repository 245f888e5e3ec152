// The engine: requests go in, tokens come out, one step at a time.
//
// A state machine on one thread. Its inputs are calls: `submit`, `cancel`, administration, `adapterRead` for what the disk
// has brought, and `step(now:)` with the time. Its output is the list of events that a step returns. It starts no thread,
// reads no clock and no file, and takes no lock, so the same code serves under a daemon's mailbox and under a virtual clock.
//
// What it owns: requests (waiting in the order of their tenants' counters, or running), the pool's leases (KV blocks are shared by requests and the prefix cache,
// windows belong to adapters), the adapter registry. What it promises: a request's tokens depend on nothing but the request; every request ends
// with exactly one `.finished` or `.failed`, and holds nothing from then on; a request, an adapter or a read that fails
// harms no other.
//
// The steps of a request are in `ActiveRequest.swift`, admission and preemption in `Engine+Admission.swift`, the batch in
// `Engine+Step.swift`.

import BerthCore
import BerthKernels
import BerthMemory
import BerthModels
import BerthText

public struct EngineConfiguration: Sendable {
    /// Rows of one batch, at most: decode tokens and prefill chunks together. The model's own bound holds too.
    public var stepTokens = 512
    /// Nanoseconds between two tokens of a stream, about, while prompts come in: they are cut into chunks that leave it at that. Where streams
    /// take more than a quarter of it by themselves, prompts get three times as much as they do.
    public var tokenInterval: UInt64 = 250_000_000
    /// Requests in the running set, at most.
    public var runningRequests = 128
    /// Rows of logits that one step may ask for. The model's own bound holds too.
    public var stepLogits = 128
    /// Requests that wait or run, at most.
    public var queuedRequests = Limits.queuedRequests
    /// Keys and values outlive their request, for whoever begins with the same tokens.
    public var cachesPrefixes = true
    /// Tenants find what others have computed, too: only where they trust each other, for the time to the first token tells of it.
    public var sharesPrefixes = false
    /// More urgent requests of a tenant that are let in before an older one of it, until that is raised: `Limits.overtakings`, or fewer.
    public var overtakings = Limits.overtakings
    /// Who is let in beside those who run.
    public var admissionRule = AdmissionRule.predicted
    /// Adapters read from disk at the same time, at most.
    public var adapterReads = Limits.adapterReads
    /// Sizes of waves in place of the planner's; nil in production.
    public var waveSizes: WaveSizes?
    /// Values in the logits of a step from which on all threads sample: for fewer they are not worth waking.
    var sharedLogits = 64 << 10

    public init() {}
}

public final class Engine {
    let model: any CausalModel
    let pool: Pool
    let economy: Economy
    let registry: AdapterRegistry
    let prefixes: PrefixCache
    /// The experts that are paged; nil where the model has none, or has them in memory.
    let experts: ExpertCache?
    let configuration: EngineConfiguration
    let endTokens: Set<Int32>
    private let makeDetokenizer: (_ showsSpecialTokens: Bool) -> any Detokenizer

    /// Every request that has not ended.
    var active: [RequestID: ActiveRequest] = [:]
    /// Queued, waiting for an adapter, or preempted.
    var waiting = ArrivalList()
    /// In the running set: each holds the KV blocks of all its known tokens.
    var running = ArrivalList()
    /// The same for requests that nobody waits for: they run in waves.
    var bulk = ArrivalList()
    var waves = Waves()
    /// Nil where the machine has memory enough.
    var pressure: MemoryPressure?
    /// A step that was left in the middle (`Engine+Newcomers.swift`).
    var stepUnderWay: PassUnderWay?
    var newcomerPace = NewcomerPace()
    /// What the host knows of requests that have come during a step; nil where steps are not left.
    public var peek: Peek?
    let tenants: Tenants
    /// Whose the time of the step is, and of the wave, that is not known yet.
    var stepShares = StepShares()
    var waveShares = StepShares()
    /// Of what experts have read, what is on somebody's account.
    var bookedExpertBytes = 0
    var lengths = OutputLengths()
    /// When what is late is looked for next, and was last (`Engine+Deadlines.swift`).
    var nextLook = UInt64.max
    var lastLook: UInt64?
    /// What waits for a first token come to, in multiples of what they were foreseen to be at best.
    var waitFactor = 1.0
    /// The last pass of admission ended with somebody for whom there was no room.
    var isFull = false
    /// The same, and there were places.
    var isShortOfPages = false
    /// KV blocks that the last pass of admission has kept for those who wait for the disk.
    var promisedBlocks = 0
    /// What those who run will want; of this pass of admission.
    var forecast: MemoryForecast
    private var arrivals: UInt64 = 0
    var isDraining = false
    /// Something changed that may let a waiting request in.
    var admissionPending = false
    /// The last step could not run anything; only an input can change that.
    var isStalled = false
    var now: UInt64 = 0
    var counters = EngineCounters()
    var pacer: StepPacer
    private var events: [(RequestID, GenerationEvent)] = []

    // Kept between steps for their memory.
    var plan = StepPlan()
    var batch = Batch(tokens: [], sequences: [])
    /// A row of logits for every thread.
    let scratch: UnsafeMutablePointer<Float>

    /// `pool` has pages of `model.kvLayout.pageBytes` or more and is empty. `detokenizer` makes one for each request.
    public init(
        model: any CausalModel, pool: Pool, reader: any AdapterReader, experts: ExpertSupply? = nil, endTokens: Set<Int32>,
        configuration: EngineConfiguration = EngineConfiguration(), detokenizer: @escaping (_ showsSpecialTokens: Bool) -> any Detokenizer
    ) {
        precondition(pool.pageBytes >= model.kvLayout.pageBytes, "a KV block does not fit a page")
        var configuration = configuration
        precondition(configuration.stepTokens > 0 && configuration.stepLogits > 0 && configuration.runningRequests > 0 && configuration.adapterReads > 0 && configuration.overtakings > 0)
        configuration.stepTokens = min(configuration.stepTokens, model.maxRows)
        configuration.stepLogits = min(configuration.stepLogits, model.maxLogitRows)
        // Every running request can have its row in every step.
        configuration.runningRequests = min(configuration.runningRequests, configuration.stepTokens, configuration.stepLogits)
        self.model = model
        self.pool = pool
        self.configuration = configuration
        pacer = StepPacer(interval: configuration.tokenInterval)
        forecast = MemoryForecast(blockTokens: model.kvLayout.blockTokens)
        tenants = Tenants(activeRequests: configuration.queuedRequests)
        self.endTokens = endTokens
        makeDetokenizer = detokenizer
        economy = Economy(pool: pool)
        registry = AdapterRegistry(pool: pool, economy: economy, reader: reader, readLimit: configuration.adapterReads)
        economy.join(registry)
        prefixes = PrefixCache(
            pool: pool, blockTokens: model.kvLayout.blockTokens, pageBytes: model.kvLayout.pageBytes, isEnabled: configuration.cachesPrefixes)
        economy.join(prefixes)
        registry.onGone = { [prefixes] in prefixes.retire(adapterSerial: $0.serial) }
        self.experts = experts.map { [pool, economy] in ExpertCache($0, pool: pool, economy: economy) }
        if let cache = self.experts {
            economy.join(cache)
            model.setProvider(cache)
        }
        scratch = .allocate(capacity: model.compute.threads * model.vocabularySize)
        scratch.initialize(repeating: 0, count: model.compute.threads * model.vocabularySize)
    }

    /// An engine with the text side of a checkpoint's tokenizer.
    public convenience init(
        model: any CausalModel, pool: Pool, reader: any AdapterReader, endTokens: Set<Int32>, tokenizer: Tokenizer,
        configuration: EngineConfiguration = EngineConfiguration()
    ) {
        self.init(model: model, pool: pool, reader: reader, endTokens: endTokens, configuration: configuration) { showsSpecialTokens in
            tokenizer.detokenizer(skipSpecialTokens: !showsSpecialTokens)
        }
    }

    deinit {
        for request in Array(active.values) + departed { prefixes.release(request.blocks) }
        prefixes.shutDown()
        if let lease = waves.memory.take() { pool.release(lease) }
        registry.shutDown()
        experts?.shutDown()
        economy.end()
        scratch.deallocate()
    }

    // MARK: requests

    /// Takes a request over. Whatever becomes of it is told by events, a refusal too. The id is new.
    public func submit(_ request: GenerationRequest, now: UInt64) {
        self.now = now
        precondition(active[request.id] == nil, "request \(request.id) was submitted twice")
        let tenant = tenants.tenant(request.tenant)
        if let failure = refusal(of: request) {
            counters.failedRequests += 1
            tenant.account(of: registry.known(request.adapter)).use.refusedRequests += 1
            emit(request.id, .failed(failure))
            return
        }
        arrivals += 1
        let entered = ActiveRequest(request, of: tenant, arrival: arrivals, time: now, detokenizer: makeDetokenizer(request.showsSpecialTokens))
        active[request.id] = entered
        tenant.activeRequests += 1
        enterQueue(entered)
        if request.deadline != nil || tenant.policy.firstTokenObjective != nil { lookSoon(deadline: request.deadline) }
        stir()
    }

    /// Ends a request, wherever it is, and frees what it holds. Nothing happens where it has ended already.
    public func cancel(_ id: RequestID, now: UInt64) {
        self.now = now
        guard let request = active[id] else { return }
        finish(request, .cancelled, text: "")
        running.removeFinished()
        bulk.removeFinished()
        giveUpWaveMemory()
    }

    /// Ends every request.
    public func cancelAll(now: UInt64) {
        if waves.current != nil { abandonWave() }
        abandonStep()
        for request in running.requests + bulk.requests + waiting.requests { cancel(request.request.id, now: now) }
    }

    /// Refuses new requests from now on; those that are here go on to their end.
    public func drain() { isDraining = true }

    /// No request is here and no event is left to fetch.
    public var isEmpty: Bool { active.isEmpty && events.isEmpty }

    /// A step would do something. False while every request waits for a disk.
    public var hasWork: Bool {
        experts?.isWarming == true || !events.isEmpty || admissionPending || stepUnderWay != nil || (!running.isEmpty && !isStalled) || hasWaveWork || hasMemoryWork
    }

    /// Runs one step: lets requests in, computes one batch, and returns what happened since the last step, in order.
    /// `now` is a monotonic time in nanoseconds.
    public func step(now: UInt64) -> [(RequestID, GenerationEvent)] {
        self.now = now
        if stepUnderWay?.isMeasured != true, let time = pacer.finishStep(now: now) {
            newcomerPace.stepTook(time)
            experts?.speed.stepTook(time)
            waves.pace.stepTook(time)
            stepShares.book(nanoseconds: Double(time), pacer.times)
        }
        waves.pace.finishPiece(now: now)
        endWhatIsLate()
        if stepUnderWay == nil {
            // An adapter that was just read is idle until its request is let in: pressure would take it, and it would be read again.
            if admissionPending { admit() }
            if pool.withheldPages > 0 || hasMemoryWork { settleMemory() }
        }
        if stepUnderWay != nil {
            continueStep()
        } else if hasWaveWork, waves.pace.isWavesTurn(besideStreams: !running.isEmpty && !isStalled) {
            advanceWave()
        } else if !running.isEmpty {
            runBatch()
        } else {
            experts?.warm()
        }
        if waves.current == nil { readAhead() }
        if running.isEmpty || isStalled { bookForeseen() }
        if !hasWork { waves.pace.pause() }
        giveUpWaveMemory()
        defer { events = [] }
        return events
    }

    /// The time of the step before will not be known: it is booked as it was foreseen.
    func bookForeseen() {
        if let foreseen = pacer.pause() { stepShares.book(nanoseconds: foreseen, pacer.times) }
    }

    /// An input came: look again for what can run.
    func stir() {
        admissionPending = admissionPending || !waiting.isEmpty || !registry.pinnedAbsent.isEmpty
        isStalled = false
        waves.isStalled = false
    }

    // MARK: the ends of a request

    func emit(_ id: RequestID, _ event: GenerationEvent) { events.append((id, event)) }

    func finish(_ request: ActiveRequest, _ reason: FinishReason, text: String) {
        if reason == .cancelled {
            counters.cancelledRequests += 1
            request.account.use.cancelledRequests += 1
        } else {
            counters.finishedRequests += 1
            request.account.use.finishedRequests += 1
            if request.wantsNextToken { lengths.record(request.generated, of: request.request.adapter) }
        }
        release(request)
        emit(request.request.id, .finished(reason, text: text, usage: request.usage))
    }

    func fail(_ request: ActiveRequest, _ failure: GenerationFailure) {
        counters.failedRequests += 1
        request.account.use.failedRequests += 1
        release(request)
        emit(request.request.id, .failed(failure))
    }

    /// Frees everything. A running request stays in its list, as finished, until the caller clears the list. What a step or a wave under way
    /// is still writing to is freed with its end.
    private func release(_ request: ActiveRequest) {
        active[request.request.id] = nil
        request.tenant.activeRequests -= 1
        if waves.current?.contains(request) == true {
            request.phase = .finished
            waves.current!.departed.append(request)
            return
        }
        if isUnderWay(request) {
            request.phase = .finished
            stepUnderWay!.departed.append(request)
            return
        }
        free(request)
    }

    /// Who has ended, and still holds what a step or a wave under way writes to.
    var departed: [ActiveRequest] { (waves.current?.departed ?? []) + (stepUnderWay?.departed ?? []) }

    func free(_ request: ActiveRequest) {
        if !request.blocks.isEmpty {
            releasePages(of: request)
        } else {
            leaveQueue(request)
        }
        if let adapter = request.adapter {
            request.adapter = nil
            registry.unbind(adapter)
        }
        request.phase = .finished
        experts?.requestEnded(request.request.id)
        stir()
    }

    /// Takes the KV blocks and the use of the adapter from a running request.
    func releasePages(of request: ActiveRequest) {
        prefixes.release(request.blocks)
        request.blocks = []
        request.pages = []
        request.computed = 0
        if let adapter = request.adapter { registry.endUse(adapter, now: now) }
    }
}
