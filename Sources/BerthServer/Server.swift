// The daemon's two APIs over one model: inference on one socket, administration on the other.
//
// Exists before the model does: until `serve` is called, health checks are answered and everything else is told to come
// back. After `drain`, running answers finish and new requests are told to go elsewhere. Loop thread only.

import BerthCore
import BerthHTTP
import BerthLoop
import HTTPTypes
import Logging

final class Server {
    enum Phase: Equatable {
        case loading
        case ready
        case draining
    }

    /// Time and randomness come from outside, so that tests can fix them.
    struct Environment {
        var wallSeconds: () -> Int
        var random: any RandomNumberGenerator
    }

    static let version = "0.1.0"

    let loop: Loop
    let replies: ReplyDesk
    let metrics = Metrics()
    let logger: Logger
    let environment: Environment
    private(set) var phase = Phase.loading
    private(set) var service: ModelService?
    private(set) var dispatcher: GenerationDispatcher?
    private var listenings: [Listening] = []
    /// Bodies on worker threads.
    private(set) var preparing = 0
    /// Nothing is being answered any more, after `drain`.
    var onDrained: (() -> Void)?

    private lazy var inferenceRouter = Router(inferenceRoutes())
    private lazy var adminRouter = Router(adminRoutes())

    init(_ loop: Loop, logger: Logger, environment: Environment) throws(LoopError) {
        self.loop = loop
        self.logger = logger
        self.environment = environment
        replies = try ReplyDesk(loop)
    }

    // MARK: life

    func listenForInference(_ listener: Listener) { listen(listener) { [unowned self] in route($0, inferenceRouter, "inference") } }

    func listenForAdministration(_ listener: Listener) { listen(listener) { [unowned self] in route($0, adminRouter, "admin") } }

    private func listen(_ listener: Listener, _ handle: @escaping (Exchange) -> Void) {
        listenings.append(Listening(listener, logger: logger, handle: handle))
    }

    /// The model is loaded. Requests are answered once `becomeReady` follows.
    func attach(_ service: ModelService) -> GenerationDispatcher {
        let dispatcher = GenerationDispatcher(service, metrics: metrics, logger: logger, random: environment.random, wallSeconds: environment.wallSeconds)
        self.service = service
        self.dispatcher = dispatcher
        dispatcher.onIdle = { [unowned self] in reportIfDrained() }
        return dispatcher
    }

    func becomeReady() { if phase == .loading { phase = .ready } }

    func receive(_ batch: EventBatch) { dispatcher?.receive(batch) }

    /// Takes no new requests; `onDrained` follows when the running ones are done.
    func drain() {
        guard phase != .draining else { return }
        phase = .draining
        for listening in listenings { listening.drain() }
        reportIfDrained()
    }

    /// Lets go of idle clients; the others end when they have taken their answers. `completion` follows.
    func finish(completion: @escaping () -> Void) {
        var open = listenings.count
        for listening in listenings {
            listening.onEmpty = {
                open -= 1
                if open == 0 { completion() }
            }
        }
        if listenings.isEmpty { completion() }
        for listening in listenings { listening.finish() }
    }

    func closeAll() {
        for listening in listenings { listening.closeAll() }
        replies.close()
    }

    var connectionCount: Int { listenings.reduce(0) { $0 + $1.connectionCount } }

    /// Call it once a second.
    func tick() {
        let now = Loop.monotonicNanoseconds
        for listening in listenings { listening.tick(now: now) }
    }

    private func reportIfDrained() {
        guard phase == .draining, preparing == 0, dispatcher?.isIdle ?? true else { return }
        onDrained?()
    }

    // MARK: requests

    private func route(_ exchange: Exchange, _ router: Router, _ socket: String) {
        let head = exchange.request.head
        switch router.match(head.method, path: head.path) {
        case .found(let route, let parameters):
            exchange.parameters = parameters
            exchange.onAnswer = { [unowned self, unowned exchange] status in
                metrics.countAnswer(route: route.pattern, status: status)
                logger.debug("answered", metadata: [
                    "socket": "\(socket)", "route": "\(head.method.rawValue) \(route.pattern)", "status": "\(status.code)",
                    "uid": "\(exchange.peer.map { String($0.userID) } ?? "?")",
                    "ms": "\((Loop.monotonicNanoseconds - exchange.startNanoseconds) / 1_000_000)",
                ])
            }
            if let encoding = head.fields[.contentEncoding], !encoding.isEmpty, encoding.lowercased() != "identity" {
                return exchange.respond(.unsupportedEncoding(encoding) as APIError)
            }
            route.handle(exchange)
        case .unknownPath:
            exchange.respond(APIError(.notFound, "There is no such route.", code: "unknown_url"))
        case .wrongMethod(let allowed):
            var response = Response(APIError(.methodNotAllowed, "The route does not take \(head.method.rawValue).", code: "method_not_allowed"))
            response.fields[.allow] = allowed.map(\.rawValue).joined(separator: ", ")
            exchange.respond(response)
        }
    }

    /// The model's service, or an answer that says why not.
    func readyService(_ exchange: Exchange) -> (ModelService, GenerationDispatcher)? {
        switch phase {
        case .ready:
            if let service, let dispatcher { return (service, dispatcher) }
            exchange.respond(.unavailable("The model is being loaded.", code: "loading", retryAfterSeconds: 5) as APIError)
        case .loading: exchange.respond(.unavailable("The model is being loaded.", code: "loading", retryAfterSeconds: 5) as APIError)
        case .draining: exchange.respond(.unavailable("The daemon is shutting down.", code: "draining", retryAfterSeconds: 5) as APIError)
        }
        return nil
    }

    /// Runs `work` on a worker thread with the request's body; `completion` runs on the loop if the client is still there.
    func prepare<Value: Sendable>(
        _ exchange: Exchange, _ service: ModelService, _ work: @escaping @Sendable (Preparation, [UInt8]) throws(APIError) -> Value,
        completion: @escaping (Value) -> Void
    ) {
        guard preparing < Limits.preparingRequests else {
            return exchange.respond(.unavailable("Too many requests are waiting.", code: "overloaded") as APIError)
        }
        preparing += 1
        let preparation = Preparation(service)
        let body = exchange.request.body
        loop.queueWork({ Result { () throws(APIError) in try work(preparation, body) } }) { [unowned self] result in
            preparing -= 1
            if !exchange.isAbandoned {
                switch result {
                case .success(let value): completion(value)
                case .failure(let error): exchange.respond(error)
                }
            }
            reportIfDrained()
        }
    }
}
