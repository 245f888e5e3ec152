// The engine's thread, and the mailbox through which everybody else talks to it.
//
// Callbacks enqueue, the step decides: `submit`, `cancel` and `perform` put a message into the mailbox and return; between two
// steps the engine takes all messages in order, then steps, then hands the step's events to `deliver`. While there is nothing
// to compute the thread sleeps on the mailbox and costs nothing; when it falls asleep it proves the pool's sums.

import BerthCore
import BerthMemory
import BerthModels
import BerthText
import Glibc

public final class EngineHost: Sendable {
    private enum Message: Sendable {
        case submit(GenerationRequest)
        case cancel(RequestID)
        case perform(EngineCommand, reply: @Sendable (EngineReply) -> Void)
        case adapterRead(AdapterReadTicket, Result<AdapterWeights, GenerationFailure>)
        case drain(@Sendable () -> Void)
        case stop
    }

    /// What may not pile up: requests that have not ended, commands that have not been answered.
    private struct Outstanding {
        var requests = 0
        var commands = 0
    }

    /// Carries what the engine's thread will own to that thread; nobody else has it any more.
    private struct Handover: @unchecked Sendable {
        let model: any CausalModel
        let pool: Pool
        let experts: ExpertPaging?
    }

    private let mailbox = BlockingQueue<Message>()
    private let outstanding: Shared<Outstanding>
    private let thread: Thread
    private let requestLimit: Int

    /// How often at most the idle engine proves its sums.
    private static let proofIntervalNanoseconds: UInt64 = 1_000_000_000
    /// After so long without a step the engine's free memory goes back to the machine.
    public static let restNanoseconds: UInt64 = 30_000_000_000

    /// Starts the engine's thread. `deliver` is called on it after each step that had events, with all of them, in order; it must not block.
    public init(
        model: sending any CausalModel, pool: sending Pool, experts: ExpertPaging? = nil, endTokens: Set<Int32>,
        configuration: EngineConfiguration = EngineConfiguration(), readerThreads: Int = 2, restNanoseconds: UInt64 = EngineHost.restNanoseconds,
        detokenizer: @escaping @Sendable (_ showsSpecialTokens: Bool) -> any Detokenizer,
        clock: @escaping @Sendable () -> UInt64 = EngineHost.monotonicNanoseconds, deliver: @escaping @Sendable ([(RequestID, GenerationEvent)]) -> Void
    ) {
        let handover = Handover(model: model, pool: pool, experts: experts)
        let mailbox = mailbox
        let outstanding = Shared(Outstanding())
        self.outstanding = outstanding
        requestLimit = configuration.queuedRequests
        @Sendable func serve(_ paging: ExpertPaging?) {
            let reader = DiskReader(threads: readerThreads) { ticket, result in mailbox.put(.adapterRead(ticket, result)) }
            let expertReader = paging.map { ExpertReaderThreads($0.image) }
            let experts = paging.map { ExpertSupply($0.image, reader: expertReader!, options: $0.options) }
            let engine = Engine(
                model: handover.model, pool: handover.pool, reader: reader, experts: experts, endTokens: endTokens, configuration: configuration,
                detokenizer: detokenizer)
            Self.run(engine, mailbox, outstanding, restNanoseconds: restNanoseconds, clock: clock, deliver: deliver)
            // A read under way writes into the engine's pages.
            withExtendedLifetime(engine) {
                reader.stop()
                expertReader?.stop()
            }
        }
        thread = Thread(name: "berth-engine") {
            var paging = handover.experts
            let history = paging?.options.rememberPopularity.map { HistoryWriter($0) }
            if let history { paging!.options.rememberPopularity = { history.put($0) } }
            serve(paging)
            // The engine has handed over its last one at its end.
            history?.stop()
        }
    }

    public convenience init(
        model: sending any CausalModel, pool: sending Pool, experts: ExpertPaging? = nil, endTokens: Set<Int32>, tokenizer: Tokenizer,
        configuration: EngineConfiguration = EngineConfiguration(), deliver: @escaping @Sendable ([(RequestID, GenerationEvent)]) -> Void
    ) {
        self.init(
            model: model, pool: pool, experts: experts, endTokens: endTokens, configuration: configuration,
            detokenizer: { showsSpecialTokens in tokenizer.detokenizer(skipSpecialTokens: !showsSpecialTokens) }, deliver: deliver)
    }

    public static let monotonicNanoseconds: @Sendable () -> UInt64 = {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }

    // MARK: from any thread

    /// Hands a request over; its events come through `deliver`. False, and nothing happens, where too many have not ended yet.
    public func submit(_ request: GenerationRequest) -> Bool {
        guard outstanding.withLock({ Self.count(&$0.requests, limit: requestLimit) }) else { return false }
        guard mailbox.put(.submit(request)) else {
            outstanding.withLock { $0.requests -= 1 }
            return false
        }
        return true
    }

    /// Ends a request. It still reports `.finished(.cancelled)`, if it has not ended before.
    public func cancel(_ id: RequestID) { mailbox.put(.cancel(id)) }

    /// Answers on the engine's thread, between two steps. False, and no answer comes, where too many commands wait or the engine has stopped.
    public func perform(_ command: EngineCommand, reply: @escaping @Sendable (EngineReply) -> Void) -> Bool {
        guard outstanding.withLock({ Self.count(&$0.commands, limit: Limits.queuedCommands) }) else { return false }
        guard mailbox.put(.perform(command, reply: reply)) else {
            outstanding.withLock { $0.commands -= 1 }
            return false
        }
        return true
    }

    /// New requests fail with `.draining` from now on. `completion` is called on the engine's thread when the last of the others has ended.
    public func drain(completion: @escaping @Sendable () -> Void = {}) { mailbox.put(.drain(completion)) }

    /// Cancels what is left, reports it, and ends the thread. Waits for that: a step, and the reads that are under way. Call once.
    public func stop() {
        mailbox.put(.stop)
        thread.join()
        mailbox.close()
        // What came too late: whoever waits for an answer gets one.
        for case .perform(_, let reply) in mailbox.takeAll(waits: false) { reply(.failed(GenerationFailure(.draining, "the engine has stopped"))) }
    }

    private static func count(_ value: inout Int, limit: Int) -> Bool {
        guard value < limit else { return false }
        value += 1
        return true
    }

    // MARK: on the engine's thread

    private static func run(
        _ engine: Engine, _ mailbox: BlockingQueue<Message>, _ outstanding: Shared<Outstanding>, restNanoseconds: UInt64, clock: () -> UInt64,
        deliver: ([(RequestID, GenerationEvent)]) -> Void
    ) {
        var drained: [@Sendable () -> Void] = []
        var proofTime: UInt64 = 0
        var isProven = true
        var isStopping = false
        /// When the engine will have had nothing to do for long enough; nil where it rests.
        var restTime: UInt64? = clock() + restNanoseconds

        engine.peek = { isWanted in
            mailbox.contains { message in
                if case .submit(let request) = message { isWanted(request) } else { false }
            }
        }

        func step() {
            let events = engine.step(now: clock())
            isProven = false
            restTime = clock() + restNanoseconds
            guard !events.isEmpty else { return }
            let ended = events.reduce(0) { $0 + ($1.1.isLast ? 1 : 0) }
            if ended > 0 { outstanding.withLock { $0.requests -= ended } }
            deliver(events)
        }

        while !isStopping {
            if !engine.hasWork {
                if engine.isEmpty, !drained.isEmpty {
                    for completion in drained { completion() }
                    drained = []
                }
                let now = clock()
                if !isProven, now >= proofTime {
                    engine.checkInvariants()
                    engine.experts?.rememberPopularity()
                    isProven = true
                    proofTime = now + proofIntervalNanoseconds
                }
            }
            let now = clock()
            let wakeTime = [restTime, engine.wakeTime].compactMap { $0 }.min()
            let messages = mailbox.takeAll(waits: !engine.hasWork, atMost: wakeTime.map { $0 > now ? $0 - now : 0 })
            if messages.isEmpty, !engine.hasWork, let time = restTime, clock() >= time, !engine.rest() { restTime = nil }
            for message in messages {
                switch message {
                case .submit(let request): engine.submit(request, now: clock())
                case .cancel(let id): engine.cancel(id, now: clock())
                case .perform(let command, let reply):
                    outstanding.withLock { $0.commands -= 1 }
                    reply(engine.perform(command))
                case .adapterRead(let ticket, let result): engine.adapterRead(ticket, result)
                case .drain(let completion):
                    engine.drain()
                    drained.append(completion)
                case .stop: isStopping = true
                }
            }
            if isStopping { engine.cancelAll(now: clock()) }
            if engine.hasWork || engine.wakeTime.map({ $0 <= clock() }) ?? false { step() }
        }
        for completion in drained { completion() }
    }
}

extension GenerationEvent {
    /// Nothing follows for this request.
    public var isLast: Bool {
        switch self {
        case .finished, .failed: true
        case .prompt, .token: false
        }
    }
}
