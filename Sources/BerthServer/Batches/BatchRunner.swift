// Lines of batches on their way through the model.
//
//     claimed ──▶ waiting ──tokenised──▶ prepared ──▶ in the engine ──answered──▶ to be kept ──▶ gone
//                    ▲                                     │
//                    └────────── later, again ◀────────────┘  what was refused for a passing reason
//
// The store on the batches' thread gives lines out and keeps their answers; this is what happens in between, and none of it outlives the daemon: a
// line without a kept answer is given out again by the next one. Lines are bulk work: the engine lets others go first, and at most
// `Limits.bulkSequences` of their sequences are in it. Loop thread only.

import BerthBatches
import BerthCore
import BerthHTTP
import BerthLoop
import Logging

final class BatchRunner {
    private final class Line {
        let claimed: ClaimedLine
        var attempts = 0
        /// Its batch has ended, or the daemon does.
        var isDropped = false
        var call: PreparedGeneration?
        var answer: RunningAnswer?

        init(_ claimed: ClaimedLine) { self.claimed = claimed }
    }

    private let batches: BatchService
    private let model: ModelService
    private let tenants: TenantDesk
    private let dispatcher: GenerationDispatcher
    private let loop: Loop
    private let replies: ReplyDesk
    private let logger: Logger
    private let wallSeconds: @Sendable () -> Int

    /// Every line that was claimed and whose answer is not kept, by name.
    private var lines: [String: Line] = [:]
    private var lineBytes = 0
    private var waiting: [Line] = []
    private var prepared: [Line] = []
    /// Tenants that have had their tokens of a minute, and their lines among the prepared ones.
    private var held: Set<TenantName> = []
    private var heldLines = 0
    private var finished: [FinishedLine] = []
    private var preparing = 0
    private var sequences = 0
    /// The store may have lines that were not claimed yet.
    private var mayHaveMore = true
    private var isClaiming = false
    private var isKeeping = false
    private var isStopped = false
    private var hasFailed = false

    init(
        _ batches: BatchService, model: ModelService, tenants: TenantDesk, dispatcher: GenerationDispatcher, loop: Loop, logger: Logger,
        wallSeconds: @escaping @Sendable () -> Int
    ) throws(LoopError) {
        self.tenants = tenants
        self.batches = batches
        self.model = model
        self.dispatcher = dispatcher
        self.loop = loop
        self.logger = logger
        self.wallSeconds = wallSeconds
        replies = try ReplyDesk(loop)
    }

    /// There may be lines to run.
    func wake() {
        mayHaveMore = true
        advance()
    }

    /// Call it about once a second.
    func tick() {
        if hasFailed {
            hasFailed = false
            mayHaveMore = true
        }
        advance()
    }

    /// Nobody wants the answers to a batch's open lines any more.
    func drop(batch: String) { drop { $0.batch == batch } }

    /// Ends all work; what is not kept is done again by the next daemon.
    func stop() {
        isStopped = true
        drop { _ in true }
    }

    func close() { replies.close() }

    private func drop(where isUnwanted: (ClaimedLine) -> Bool) {
        for (id, line) in lines where isUnwanted(line.claimed) {
            line.isDropped = true
            lines[id] = nil
            lineBytes -= line.claimed.bytes
            if let answer = line.answer {
                sequences -= line.call?.choiceCount ?? 0
                dispatcher.cancel(answer)
            }
        }
        waiting.removeAll(where: \.isDropped)
        prepared.removeAll(where: \.isDropped)
        advance()
    }

    private func advance() {
        keep()
        guard !isStopped else { return }
        start()
        giveBack()
        prepare()
        claim()
    }

    // MARK: claiming

    private func claim() {
        let room = Limits.bulkSequences - lines.count
        guard mayHaveMore, !isClaiming, room > 0, lineBytes < Limits.bulkLineBytes else { return }
        let bytes = Limits.bulkLineBytes - lineBytes
        let held = held
        isClaiming = ask({ store throws(BatchError) in try store.claim(lines: room, bytes: bytes, exceptOf: held) }) { [unowned self] result in
            isClaiming = false
            switch result {
            case .success(let claimed):
                // A claim that brings nothing says that there is nothing; one that brings fewer lines than were asked for may have been short of bytes.
                mayHaveMore = !claimed.isEmpty
                for line in claimed where !isStopped { take(line) }
            case .failure(let error): failed("no lines can be claimed", error)
            }
            advance()
        }
    }

    private func take(_ claimed: ClaimedLine) {
        // Given back and given again while it runs.
        guard lines[claimed.id] == nil else { return }
        let line = Line(claimed)
        lines[claimed.id] = line
        lineBytes += claimed.bytes
        waiting.append(line)
    }

    /// What waits behind a held line of its tenant would keep others' lines out.
    private func giveBack() {
        let back = waiting.filter { held.contains($0.claimed.tenant) }
        guard !back.isEmpty else { return }
        let claimed = back.map(\.claimed)
        guard ask({ store throws(BatchError) in store.giveBack(claimed) }, { (_: Result<Void, BatchError>) in }) else { return }
        waiting.removeAll { held.contains($0.claimed.tenant) }
        for line in claimed {
            lines[line.id] = nil
            lineBytes -= line.bytes
        }
        mayHaveMore = true
    }

    // MARK: preparing

    /// Tokenises a few lines at a time, so that requests of clients find worker threads.
    private func prepare() {
        while preparing < Limits.preparingBulkLines, prepared.count == heldLines, sequences < Limits.bulkSequences, !waiting.isEmpty {
            let line = waiting.removeFirst()
            guard let tenant = tenants.tenant(line.claimed.tenant) else {
                finish(line, .failure(.forbidden("The tenant whose batch this is is no tenant of this daemon any more.", code: "unknown_tenant")))
                keep()
                continue
            }
            preparing += 1
            let (claimed, preparation) = (line.claimed, Preparation(model, tenant))
            loop.queueWork({
                Result { () throws(APIError) in
                    var call = claimed.endpoint == "/v1/completions" ? try preparation.completion(claimed.body) : try preparation.chat(claimed.body)
                    call.serviceClass = .bulk
                    return call
                }
            }) { [unowned self] result in
                preparing -= 1
                if !line.isDropped {
                    switch result {
                    case .success(let call):
                        line.call = call
                        prepared.append(line)
                    case .failure(let error): finish(line, .failure(error))
                    }
                }
                advance()
            }
        }
    }

    // MARK: running

    /// In the order of their preparation; lines of a tenant that has had its tokens of a minute are held until it has some again, and hold up nobody else.
    private func start() {
        held = []
        heldLines = 0
        var rest: [Line] = []
        var isFull = false
        for line in prepared {
            guard let call = line.call else { preconditionFailure("a line was prepared without its call") }
            isFull = isFull || sequences > 0 && sequences + call.choiceCount > Limits.bulkSequences
            if !isFull, held.contains(call.tenant.name) || !tenants.mayRun(call.tenant.name, promptTokens: call.promptTokens) {
                held.insert(call.tenant.name)
                heldLines += 1
                rest.append(line)
                continue
            }
            // The engine's queue is full of others' requests: they go first, however long it takes.
            guard !isFull, let answer = dispatcher.startWork(call, completion: { [unowned self, unowned line] in didAnswer(line, $0) }) else {
                isFull = true
                rest.append(line)
                continue
            }
            line.answer = answer
            sequences += call.choiceCount
        }
        prepared = rest
    }

    private func didAnswer(_ line: Line, _ result: Result<JSON, APIError>) {
        sequences -= line.call?.choiceCount ?? 0
        line.answer = nil
        line.attempts += 1
        if case .failure(let error) = result, error.status == .serviceUnavailable, line.attempts < Limits.bulkAttempts {
            again(line)
        } else {
            finish(line, result)
        }
        advance()
    }

    /// Puts the line back into the queue after a while.
    private func again(_ line: Line) {
        let delay = min(Limits.bulkRetryNanoseconds << UInt64(line.attempts - 1), Limits.bulkRetryMostNanoseconds)
        let timer = Timer(loop)
        timer.start(afterNanoseconds: delay) { [weak self] in
            timer.close()
            guard let self, !line.isDropped, !isStopped else { return }
            prepared.append(line)
            advance()
        }
    }

    // MARK: keeping

    private func finish(_ line: Line, _ result: Result<JSON, APIError>) {
        line.call = nil
        switch result {
        case .success(let body): finished.append(FinishedLine(line.claimed, status: 200, body: body))
        case .failure(let error): finished.append(FinishedLine(line.claimed, status: error.status.code, body: error.body))
        }
    }

    /// One transaction at a time takes whatever was answered during the last.
    private func keep() {
        guard !isKeeping, !finished.isEmpty else { return }
        let answers = finished
        let seconds = wallSeconds
        isKeeping = ask({ store throws(BatchError) in try store.finish(answers, now: seconds()) }) { [unowned self] result in
            isKeeping = false
            switch result {
            case .success:
                finished.removeFirst(answers.count)
                for answer in answers {
                    guard let line = lines.removeValue(forKey: answer.line.id) else { continue }
                    lineBytes -= line.claimed.bytes
                }
                advance()
            // Nothing is lost: the next tick tries again.
            case .failure(let error): failed("answers cannot be kept", error)
            }
        }
    }

    private func failed(_ what: String, _ error: BatchError) {
        if !hasFailed { logger.error("batches: \(what): \(error)") }
        hasFailed = true
    }

    /// False where the question cannot be asked now; the next tick tries again.
    private func ask<Value: Sendable>(
        _ work: @escaping @Sendable (BatchStore) throws(BatchError) -> Value, _ handler: @escaping (Result<Value, BatchError>) -> Void
    ) -> Bool {
        guard let reply = replies.expect(handler) else { return false }
        batches.perform(work, reply: reply)
        return true
    }
}
