// Requests on their way through the engine: who waits for which events.
//
// The dispatcher gives prepared requests to the engine, hands every event to the answer it belongs to, and cancels what nobody
// waits for any more. Loop thread only.

import BerthCore
import BerthEngine
import BerthHTTP
import BerthLoop
import HTTPTypes
import Logging

final class GenerationDispatcher {
    private struct Route {
        var answer: RunningAnswer
        var choice: Int
    }

    private let service: ModelService
    private let tenants: TenantDesk
    private let metrics: Metrics
    private let logger: Logger
    private let wallSeconds: () -> Int
    private var routes: [RequestID: Route] = [:]
    private var probes: [RequestID: (Bool) -> Void] = [:]
    private var lastRequest: UInt64 = 0
    private var random: any RandomNumberGenerator
    /// No answer is under way any more.
    var onIdle: (() -> Void)?

    init(
        _ service: ModelService, tenants: TenantDesk, metrics: Metrics, logger: Logger, random: any RandomNumberGenerator, wallSeconds: @escaping () -> Int
    ) {
        self.service = service
        self.tenants = tenants
        self.metrics = metrics
        self.logger = logger
        self.random = random
        self.wallSeconds = wallSeconds
    }

    var isIdle: Bool { routes.isEmpty }

    /// Generates the answer to `exchange`.
    func start(_ call: PreparedGeneration, _ exchange: Exchange) {
        do throws(APIError) {
            try tenants.admit(call.tenant, sequences: call.choiceCount, promptTokens: call.promptTokens)
        } catch { return exchange.respond(error) }
        let answer = RunningAnswer(.client(exchange), call.tenant.name, AnswerAssembler(call, identity: identity(call), text: service.text))
        exchange.onAbandon = { [unowned self, unowned answer] in
            metrics.cancelledAnswers += 1
            cancel(answer)
        }
        guard submit(call, answer) else {
            perform(answer.assembler.fail(.unavailable("Too many requests are waiting.", code: "overloaded")), answer)
            return
        }
    }

    /// Generates an answer that nobody waits for. Nil, and nothing happens, where the engine has no room for more.
    /// - Parameter completion: called once, later, unless the answer is cancelled.
    func startWork(_ call: PreparedGeneration, completion: @escaping (Result<JSON, APIError>) -> Void) -> RunningAnswer? {
        let answer = RunningAnswer(.work(completion), call.tenant.name, AnswerAssembler(call, identity: identity(call), text: service.text))
        guard submit(call, answer) else {
            release(answer)
            return nil
        }
        return answer
    }

    private func identity(_ call: PreparedGeneration) -> AnswerIdentity {
        let id = (call.isChat ? "chatcmpl-" : "cmpl-") + hexadecimal(random.next()) + hexadecimal(random.next())
        return AnswerIdentity(id: id, created: wallSeconds(), model: call.model, isChat: call.isChat, serviceTier: call.delivery.serviceTier)
    }

    private func submit(_ call: PreparedGeneration, _ answer: RunningAnswer) -> Bool {
        let requests = call.requests(id: { _ in nextID() }, randomSeed: { random.next() })
        answer.requests = requests.map(\.id)
        for (choice, request) in requests.enumerated() {
            routes[request.id] = Route(answer: answer, choice: choice)
            tenants.enter(answer.tenant, bulk: answer.isWork)
            guard service.generation.submit(request) else {
                _ = forget(request.id)
                return false
            }
        }
        tenants.take(tokens: answer.assembler.usage.promptTokens, of: answer.tenant)
        metrics.promptTokens += UInt64(answer.assembler.usage.promptTokens)
        return true
    }

    /// One internal request of a single token, to see that the model answers.
    func probe(completion: @escaping (Bool) -> Void) {
        var request = GenerationRequest(id: nextID(), prompt: service.text.encode("1", addSpecialTokens: true), maxTokens: 1)
        if request.prompt.isEmpty { request.prompt = [0] }
        request.ignoresEndTokens = true
        request.sampling.temperature = 0
        probes[request.id] = completion
        if !service.generation.submit(request) {
            probes[request.id] = nil
            completion(false)
        }
    }

    func receive(_ batch: EventBatch) {
        let now = Loop.monotonicNanoseconds
        for (id, event) in batch {
            guard let route = routes[id] else {
                if event.isFinal, let probe = probes.removeValue(forKey: id) { probe(event.isSuccess) }
                continue
            }
            let answer = route.answer
            book(event, route)
            if event.isFinal { _ = forget(id) }
            measure(event, answer, route.choice, now)
            perform(answer.assembler.receive(event, choice: route.choice), answer)
            if answer.hasBegunStream { holdBack(answer) }
        }
        if routes.isEmpty { onIdle?() }
    }

    /// Ends all answers with an error: the drain took too long.
    func failAll(_ error: APIError) {
        let answers = Dictionary(routes.values.map { (ObjectIdentifier($0.answer), $0.answer) }, uniquingKeysWith: { first, _ in first })
        for answer in answers.values { perform(answer.assembler.fail(error), answer) }
        if routes.isEmpty { onIdle?() }
    }

    private func nextID() -> RequestID {
        lastRequest += 1
        return RequestID(lastRequest)
    }

    private func perform(_ outputs: [AnswerAssembler.Output], _ answer: RunningAnswer) {
        guard case .client(let exchange) = answer.receiver else { return performWork(outputs, answer) }
        for output in outputs {
            switch output {
            case .chunk(let bytes):
                beginStream(answer, exchange)
                exchange.send(bytes)
            case .endOfStream: exchange.end()
            case .answer(let json): exchange.respond(json)
            case .failure(let error):
                release(answer)
                if error.status.code >= 500 { logger.warning("a request failed", metadata: ["id": "\(answer.assembler.identity.id)", "reason": "\(error.message)"]) }
                if answer.hasBegunStream {
                    exchange.send(SSEEncoder.event(error.body))
                    exchange.end()
                } else {
                    exchange.respond(error)
                }
            }
        }
    }

    private func performWork(_ outputs: [AnswerAssembler.Output], _ answer: RunningAnswer) {
        guard case .work(let completion) = answer.receiver else { return }
        for output in outputs {
            switch output {
            case .answer(let json): completion(.success(json))
            case .failure(let error):
                release(answer)
                completion(.failure(error))
            case .chunk, .endOfStream: preconditionFailure("work is not streamed")
            }
        }
    }

    /// Above `Limits.queuedStreamBytes` the answer pauses until the client has taken everything; what is held meanwhile is bounded, too.
    private func holdBack(_ answer: RunningAnswer) {
        guard case .client(let exchange) = answer.receiver else { return }
        if exchange.onDrain == nil, exchange.queuedBytes > Limits.queuedStreamBytes {
            answer.assembler.pause()
            exchange.onDrain = { [unowned self, unowned answer, unowned exchange] in
                exchange.onDrain = nil
                perform(answer.assembler.resume(), answer)
            }
        } else if answer.assembler.heldBytes > Limits.queuedStreamHardBytes {
            exchange.cutOff()
        }
    }

    private func beginStream(_ answer: RunningAnswer, _ exchange: Exchange) {
        guard !answer.hasBegunStream else { return }
        answer.hasBegunStream = true
        exchange.beginStream(fields: [.contentType: "text/event-stream; charset=utf-8", .cacheControl: "no-cache"])
    }

    /// Nobody waits for the answer any more.
    func cancel(_ answer: RunningAnswer) {
        release(answer)
        if routes.isEmpty { onIdle?() }
    }

    /// Ends whatever of the answer the engine still works on.
    private func release(_ answer: RunningAnswer) {
        for id in answer.requests where forget(id) { service.generation.cancel(id) }
    }

    /// Nothing of the request is waited for any more. False where that was so before.
    private func forget(_ id: RequestID) -> Bool {
        guard let route = routes.removeValue(forKey: id) else { return false }
        tenants.leave(route.answer.tenant, bulk: route.answer.isWork, hasBegun: route.answer.begun.contains(route.choice))
        return true
    }

    /// On the tenant's account.
    private func book(_ event: GenerationEvent, _ route: Route) {
        guard case .token = event else { return }
        tenants.take(tokens: 1, of: route.answer.tenant)
        if !route.answer.isWork, route.answer.begun.insert(route.choice).inserted { tenants.begin(route.answer.tenant) }
    }

    private func measure(_ event: GenerationEvent, _ answer: RunningAnswer, _ choice: Int, _ now: UInt64) {
        switch event {
        case .token: metrics.generationTokens += 1
        case .finished(let reason, _, _): metrics.finished[reason.rawValue, default: 0] += 1
        case .prompt, .failed: break
        }
        // Only of answers that somebody waits for it matters how long they take.
        guard case .client(let exchange) = answer.receiver else { return }
        switch event {
        case .token:
            if let last = answer.lastToken[choice] {
                metrics.interTokenLatency.observe(nanoseconds: now - last)
            } else {
                metrics.timeToFirstToken.observe(nanoseconds: now - exchange.startNanoseconds)
            }
            answer.lastToken[choice] = now
        case .finished: metrics.endToEndLatency.observe(nanoseconds: now - exchange.startNanoseconds)
        case .prompt, .failed: break
        }
    }

    private func hexadecimal(_ value: UInt64) -> String {
        let digits = String(value, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}

/// Who gets an answer.
enum AnswerReceiver {
    case client(Exchange)
    /// The daemon's own work; gets a whole answer.
    case work((Result<JSON, APIError>) -> Void)
}

/// An answer that the engine works on.
final class RunningAnswer {
    let receiver: AnswerReceiver
    let tenant: TenantName
    fileprivate var assembler: AnswerAssembler
    fileprivate(set) var requests: [RequestID] = []
    fileprivate var hasBegunStream = false
    /// Choices that have a token.
    fileprivate var begun: Set<Int> = []
    /// When the last token of each choice came.
    fileprivate var lastToken: [Int: UInt64] = [:]

    init(_ receiver: AnswerReceiver, _ tenant: TenantName, _ assembler: AnswerAssembler) {
        self.receiver = receiver
        self.tenant = tenant
        self.assembler = assembler
    }

    fileprivate var isWork: Bool { if case .work = receiver { true } else { false } }
}

extension GenerationEvent {
    fileprivate var isFinal: Bool {
        switch self {
        case .finished, .failed: true
        case .prompt, .token: false
        }
    }

    fileprivate var isSuccess: Bool {
        if case .finished(let reason, _, _) = self { return reason != .cancelled }
        return false
    }
}
