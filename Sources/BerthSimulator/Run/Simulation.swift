// One run: the engine of the daemon, on a machine that is not there.
//
// The loop is the host's (`EngineHost`): what has come from outside goes in, in order, then a step; where there is nothing to compute, time passes
// until the next thing comes. Everything outside is a fake and everything inside is real, so whatever a run shows of the scheduler, the pool, the economy
// or a cache is true of the daemon, up to what the costs say of its times.
//
// What is promised is looked at while it runs (`Simulation+Checks.swift`). The first broken promise ends the run; what the engine proves by itself traps.

import BerthCore
import BerthEngine
import BerthKernels
import BerthMemory

/// One thread only; made for one run.
public final class Simulation {
    let scenario: Scenario
    let seed: UInt64
    let clock = VirtualClock()
    let pool: Pool
    let engine: Engine
    let model: SimulatedModel
    let adapters: SimulatedAdapters
    private let disk: SimulatedDisk
    let function: TokenFunction
    var report: SimulationReport
    var log: EventLog
    /// What reaches the engine.
    var events = EventQueue()
    /// When clients ask, and what for: each time makes an event of the engine's a little later.
    var questions = EventQueue()
    var workload: Workload
    var versions: AdapterVersions
    var watch = StarvationWatch()
    var shares: ShareWatch
    /// Nil where all requests are equally urgent.
    var priorities: PriorityWatch?
    /// Of requests that have ended, rows that have to be computed where each is computed once.
    var neededRows = 0
    /// Requests that somebody waits for and that have not ended, by tenant.
    var activeStreams: [Int]
    /// Where the requests are a recording's.
    var recorded: RecordedRun?
    /// Of requests that have not ended.
    var records: [RequestID: RequestRecord] = [:]
    var lastID: UInt64 = 0
    var random: RandomSource
    /// The pool's limit, as it was moved last.
    var limit: Int
    var pressure = PressureWalk()
    /// Pages that had memory when pressure began; nil while there is none.
    var touchedBeforePressure: Int?
    /// The first adapter is pinned; and its version that has been seen in memory since.
    var isPinned = false
    var pinnedInMemory: UInt64?
    private var submissions = 0
    var steps = 0
    private var nextSample: UInt64 = 0
    private var sampledTokens: [Int]
    /// What the run had taken of its machine when it was measured first.
    private var unmeasured: ResourceUse?

    /// Steps between two proofs of the engine's sums.
    public var proofSteps = 16
    /// Of so many requests one has its tokens compared with the reference.
    public var comparedRequests: UInt64 = 1
    /// Moments that the report samples in the time in which requests come; 0 is none.
    public var samples = 0
    /// Looked at now and then: says that nobody wants to know more of this run, which then ends as it stands.
    public var isDecided: ((SimulationReport) -> Bool)?
    /// Steps between two looks.
    private static let decisionSteps = 64
    /// The report's use of the machine is from here on. Nanoseconds.
    public var measuredFrom: UInt64 = 0

    /// - Parameters:
    ///   - compute: one thread; shared by runs of one thread.
    ///   - trace: takes lines for people.
    public init(_ scenario: Scenario, seed: UInt64, compute: Compute, trace: ((String) -> Void)? = nil) throws(PoolError) {
        self.scenario = scenario
        self.seed = seed
        let machine = scenario.machine
        let scale = Double(machine.pageBytes) / Double(SimulatedAdapters.pageBytes)
        let disk = SimulatedDisk(machine.disk, seed: mix(seed ^ 0xD15C))
        self.disk = disk
        adapters = SimulatedAdapters(threads: machine.adapterReaders, disk: disk, scale: scale, clock: clock)
        function = TokenFunction(meanOutput: scenario.meanOutput, routing: scenario.routing)
        model = SimulatedModel(machine, function: function, adapters: adapters, compute: compute, clock: clock)
        let pageBytes = SimulatedAdapters.pageBytes
        pool = try Pool(bytes: machine.pages * pageBytes, pageBytes: pageBytes, reserving: scenario.mostPages * pageBytes)
        pool.setShare(machine.expertShare(scenario.routing), for: .expert)
        limit = machine.pages
        let clock = clock
        let experts = scenario.routing.map { routing in
            ExpertSupply(
                layers: Array(0..<routing.layers), expertsPerLayer: routing.experts, chosen: routing.chosen, bytes: machine.expertPages * pageBytes,
                reader: SimulatedExperts(pages: machine.expertPages, disk: disk, scale: scale, clock: clock), expert: SimulatedExperts.expert(at:))
        }
        engine = Engine(
            model: model, pool: pool, reader: adapters, experts: experts, endTokens: [TokenFunction.end], configuration: machine.configuration
        ) { _ in Silence() }
        report = SimulationReport(seed: seed, tenants: scenario.tenants.map(\.name))
        log = EventLog(write: trace)
        workload = Workload(scenario, seed: seed)
        versions = AdapterVersions(adapters: scenario.adapters.count)
        random = RandomSource(seed: mix(seed ^ 0x51A1))
        recorded = scenario.recording.map(RecordedRun.init)
        sampledTokens = scenario.tenants.map { _ in 0 }
        activeStreams = sampledTokens
        if scenario.tenants.contains(where: { $0.priorities.count > 1 }) {
            priorities = PriorityWatch(tenants: scenario.tenants.count, overtakings: machine.configuration.overtakings)
        }
        shares = ShareWatch(weights: scenario.tenants.map(\.policy.weight), heldTokens: scenario.heldTokens, longestPrompt: machine.contextLength)
    }

    // MARK: the run

    public func run() -> SimulationReport {
        engine.peek = { [unowned self] isWanted in hasCome(isWanted) }
        do {
            try begin()
            while try advance() {
                guard let isDecided, steps % Self.decisionSteps == 0, isDecided(report) else { continue }
                report.isCutShort = true
                break
            }
            if report.isCutShort { engine.cancelAll(now: clock.now) } else { try checkTheEnd() }
        } catch {
            report.violation = error
            // As the host does it: an engine goes when nobody is left in it.
            engine.cancelAll(now: clock.now)
        }
        report.seconds = Double(clock.now) / 1e9
        report.counters = engine.counterSnapshot
        if case .experts(let status) = engine.perform(.experts) { report.experts = status }
        report.use = use - (unmeasured ?? use)
        report.digest = log.digest
        report.answers = recorded?.answers ?? []
        return report
    }

    private func begin() throws(Violation) {
        engine.setTenants(Dictionary(uniqueKeysWithValues: scenario.tenants.map { ($0.name, $0.policy) }))
        for adapter in 0..<scenario.adapters.count { try register(adapter) }
        for (tenant, load) in scenario.tenants.enumerated() {
            for _ in 0..<load.arrivals.atOnce { questions.add(.question(tenant: tenant), at: UInt64(load.begins * 1e9)) }
            if let time = workload.nextArrival(of: tenant) { questions.add(.arrival(tenant: tenant), at: time) }
        }
        beginRecording()
        schedule(.changeAdapter, every: scenario.faults.reloadSeconds)
        schedule(.changePin, every: scenario.faults.pinSeconds)
        schedule(.changeLimit, every: scenario.faults.limitSeconds)
        schedule(.changePressure, every: scenario.faults.pressureSeconds)
    }

    /// What has come, then a step; or the next thing's time. False where nothing will come any more.
    private func advance() throws(Violation) -> Bool {
        askWhatIsDue()
        while let event = events.next(at: clock.now) { try take(event) }
        let reads = adapters.report(to: engine)
        if reads > 0 { log.tell(clock.now) { "\(reads) adapters were read" } }
        if samples > 0, clock.now >= nextSample { sample() }
        if unmeasured == nil, clock.now >= measuredFrom { unmeasured = use }
        guard engine.hasWork || (engine.wakeTime.map { $0 <= clock.now } ?? false) else {
            guard let next = [questions.nextTime, events.nextTime, adapters.nextEnd, engine.wakeTime].compactMap(\.self).min() else { return false }
            clock.advance(to: next == events.nextTime ? next + UInt64(scenario.machine.costs.wake) : next)
            return true
        }
        let start = clock.now, ages = AgeWatch(engine)
        let happened = engine.step(now: start)
        steps += 1
        // A step that computed nothing takes its time, too.
        if clock.now == start { clock.advance(by: scenario.machine.costs.step) }
        try check(ages, after: happened)
        try takeEvents(happened)
        try checkAfterStep()
        return true
    }

    private func take(_ event: TimedEvent) throws(Violation) {
        switch event.kind {
        case .arrival, .question, .recorded: preconditionFailure("a client's own time is no event of the engine's")
        case .submit(let plan, let arrival): submit(plan, arrival: arrival)
        case .cancel(let id): cancel(id)
        case .changeAdapter:
            try changeAdapter()
            schedule(.changeAdapter, every: scenario.faults.reloadSeconds)
        case .restoreAdapter(let adapter): if !versions.isPresent(adapter) { try register(adapter) }
        case .changePin:
            try changePin()
            schedule(.changePin, every: scenario.faults.pinSeconds)
        case .changeLimit:
            try changeLimit()
            schedule(.changeLimit, every: scenario.faults.limitSeconds)
        case .changePressure:
            try changePressure()
            schedule(.changePressure, every: scenario.faults.pressureSeconds)
        }
    }

    // MARK: requests

    /// Clients whose time has come ask: what they ask for reaches the engine a little later.
    private func askWhatIsDue() {
        while let event = questions.next(at: clock.now) {
            switch event.kind {
            case .arrival(let tenant):
                request(of: tenant, at: event.time)
                if let next = workload.nextArrival(of: tenant) { questions.add(.arrival(tenant: tenant), at: next) }
            case .question(let tenant): request(of: tenant, at: event.time)
            case .recorded(let index): askRecorded(index, at: event.time)
            case .submit, .cancel, .changeAdapter, .restoreAdapter, .changePin, .changeLimit, .changePressure: preconditionFailure("clients ask, and do nothing else")
            }
        }
    }

    /// In the middle of a step the engine looks into the mailbox.
    private func hasCome(_ isWanted: (GenerationRequest) -> Bool) -> Bool {
        askWhatIsDue()
        let hasCome = events.contains(by: clock.now) { if case .submit(let plan, _) = $0 { isWanted(plan.request) } else { false } }
        if hasCome {
            report.leftSteps += 1
            log.tell(clock.now) { "the step is left for somebody who has come" }
        }
        return hasCome
    }

    private func request(of tenant: Int, at time: UInt64) {
        guard let plan = workload.next(of: tenant) else { return }
        events.add(.submit(plan, arrival: time), at: time + UInt64(scenario.machine.costs.request))
    }

    private func submit(_ plan: PlannedRequest, arrival: UInt64) {
        var request = plan.request
        if let seconds = plan.seconds { request.deadline = clock.now + UInt64(seconds * 1e9) }
        report.tenants[plan.tenant].requests += 1
        if plan.adapter != nil { report.adapterRequests += 1 }
        if request.serviceClass == .interactive {
            activeStreams[plan.tenant] += 1
            // Who may have little by its own rules waits for itself.
            let policy = scenario.tenants[plan.tenant].policy
            if policy.maxRunning == nil, policy.kv.ceilingPages == .max { watch.begin(request.id, bound: serviceBefore(plan)) }
        }
        priorities?.begin(request.id, tenant: plan.tenant, request.serviceClass, priority: request.priority)
        log.tell(clock.now) {
            "request \(request.id) of \(request.tenant): \(request.prompt.count) + \(request.maxTokens) tokens"
                + (request.adapter.map { ", adapter \($0)" } ?? "") + (request.serviceClass == .bulk ? ", bulk" : "") + (request.priority == 0 ? "" : ", priority \(request.priority)")
        }
        submissions += 1
        records[request.id] = RequestRecord(
            plan, request, arrival: arrival, submitted: clock.now, order: submissions, kvPages: kvPages(request),
            cameTooMany: records.count >= scenario.machine.configuration.queuedRequests)
        noteRoom(request.id)
        engine.submit(request, now: clock.now)
        if let patience = plan.patience { events.add(.cancel(request.id), at: clock.now + UInt64(patience)) }
    }

    private func cancel(_ id: RequestID) {
        guard records[id] != nil else { return }
        records[id]!.isCalledOff = true
        log.tell(clock.now) { "request \(id) is called off" }
        engine.cancel(id, now: clock.now)
    }

    /// Nobody is here, and nobody will come.
    private var isOver: Bool {
        records.isEmpty && questions.nextTime == nil && !events.contains(by: .max) { if case .submit = $0 { true } else { false } }
    }

    private func schedule(_ kind: TimedEvent.Kind, every seconds: Double) {
        guard seconds > 0, !isOver else { return }
        let time = clock.now + UInt64(random.exponential() * seconds * 1e9)
        if Double(time) < scenario.seconds * 1e9 { events.add(kind, at: time) }
    }

    // MARK: samples

    private var use: ResourceUse {
        ResourceUse(seconds: Double(clock.now) / 1e9, computeSeconds: model.computed / 1e9, weightSeconds: model.readWeights / 1e9, diskSeconds: disk.busy / 1e9)
    }

    private func sample() {
        let step = UInt64(scenario.seconds * 1e9 / Double(samples))
        nextSample = (clock.now / step + 1) * step
        let pool = engine.poolSnapshot, counters = engine.counterSnapshot
        let tokens = report.tenants.map(\.outputTokens)
        report.samples.append(
            SimulationReport.Sample(
                seconds: Double(clock.now) / 1e9, tokens: zip(tokens, sampledTokens).map { $0 - $1 }, running: counters.runningRequests,
                waiting: counters.waitingRequests, kvPages: pool.kv.published, adapterPages: pool.adapter.published + pool.adapter.reserved,
                expertPages: pool.expert.published + pool.expert.reserved,
                heldPages: [pool.kv, pool.adapter, pool.activation].reduce(0) { $0 + $1.published + $1.reserved - $1.cached }))
        sampledTokens = tokens
    }
}

/// Nobody reads the text of these tokens.
private struct Silence: Detokenizer {
    func append(_ token: Int32) -> String { "" }
    func finish() -> String { "" }
}
