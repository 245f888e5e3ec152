// The daemon's two APIs over one model: inference on one socket, administration on the other.
//
// Exists before the model does: until `serve` is called, health checks are answered and everything else is told to come
// back. After `drain`, running answers finish and new requests are told to go elsewhere. Loop thread only.

import BerthBatches
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
        var wallSeconds: @Sendable () -> Int
        var random: any RandomNumberGenerator
    }

    static let version = "0.1.0"

    let loop: Loop
    let replies: ReplyDesk
    let metrics = Metrics()
    let logger: Logger
    let environment: Environment
    let tenants: TenantDesk
    /// Why the last reload changed none of the settings.
    var reloadProblem: String?
    private(set) var phase = Phase.loading
    private(set) var service: ModelService?
    private(set) var dispatcher: GenerationDispatcher?
    /// Nil where there is no state directory.
    private(set) var batches: BatchService?
    private(set) var runner: BatchRunner?
    private var batchProgress: Mailbox<Void>?
    private let preparations: PreparationQueue
    private var listenings: [Listening] = []
    /// Bodies on worker threads.
    private(set) var preparing = 0
    /// Nothing is being answered any more, after `drain`.
    var onDrained: (() -> Void)?

    private lazy var inferenceRouter = Router(inferenceRoutes())
    private lazy var adminRouter = Router(adminRoutes())

    init(_ loop: Loop, logger: Logger, environment: Environment, tenants: TenantConfiguration) throws(LoopError) {
        self.loop = loop
        self.tenants = TenantDesk(tenants)
        preparations = PreparationQueue(loop)
        self.logger = logger
        self.environment = environment
        replies = try ReplyDesk(loop)
    }

    // MARK: life

    func listenForInference(_ listener: Listener) {
        let admission: (RequestHead, PeerCredentials?) -> Result<BodyLease?, APIError> = { [unowned self] head, peer in
            let lease = identity(head, peer, inferenceRouter.match(head)).flatMap { tenant in
                Result { () throws(APIError) -> BodyLease? in
                    // An upload is not collected. Of a body of unknown length more is taken as it comes.
                    guard let tenant, !inferenceRouter.isUpload(head) else { return nil }
                    let bytes = if case .length(let length) = head.framing { length } else { Limits.unknownBodyBytes }
                    return try tenants.leaseBody(of: tenant.name, bytes: bytes)
                }
            }
            if case .failure(let error) = lease { count(refusal: error, of: peer) }
            return lease
        }
        listenings.append(Listening(listener, logger: logger, isUpload: inferenceRouter.isUpload, admission: admission) { [unowned self] in enter($0) })
    }

    /// Whoever could open the socket may do everything on it.
    func listenForAdministration(_ listener: Listener) {
        listenings.append(Listening(listener, logger: logger, isUpload: adminRouter.isUpload) { [unowned self] in
            route($0, adminRouter.match($0.request.head), "admin")
        })
    }

    /// Files and batches are kept in `directory`. They are there before the model is; lines run once requests are answered.
    func keepBatches(in directory: String) throws(LoopError) {
        let progress = try Mailbox<Void>(loop, capacity: 1) { [unowned self] _ in runner?.wake() }
        batchProgress = progress
        batches = BatchService(directory: directory, logger: logger, wallSeconds: environment.wallSeconds) { _ = progress.post(()) }
    }

    /// The model is loaded. Requests are answered once `becomeReady` follows.
    func attach(_ service: ModelService) -> GenerationDispatcher {
        let dispatcher = GenerationDispatcher(service, tenants: tenants, metrics: metrics, logger: logger, random: environment.random, wallSeconds: environment.wallSeconds)
        self.service = service
        self.dispatcher = dispatcher
        dispatcher.onIdle = { [unowned self] in reportIfDrained() }
        applyTenantPolicies()
        return dispatcher
    }

    func becomeReady() {
        guard phase == .loading else { return }
        phase = .ready
        guard let batches, let service, let dispatcher else { return }
        do {
            let runner = try BatchRunner(
                batches, model: service, tenants: tenants, dispatcher: dispatcher, loop: loop, logger: logger, wallSeconds: environment.wallSeconds)
            self.runner = runner
            runner.wake()
        } catch { logger.error("batches do not run: \(error)") }
    }

    func receive(_ batch: EventBatch) { dispatcher?.receive(batch) }

    /// Takes no new requests; `onDrained` follows when the running ones are done.
    func drain() {
        guard phase != .draining else { return }
        phase = .draining
        runner?.stop()
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
        runner?.close()
        batchProgress?.close()
    }

    var connectionCount: Int { listenings.reduce(0) { $0 + $1.connectionCount } }

    /// Call it once a second.
    func tick() {
        let now = Loop.monotonicNanoseconds
        for listening in listenings { listening.tick(now: now) }
        runner?.tick()
        lookAtBatches()
        service?.memory?.look()
        followPool()
    }

    private func lookAtBatches() {
        guard let batches, batches.isDue, let reply = replies.expect({ [unowned self] (ended: Result<[String], BatchError>) in
            guard case .success(let ended) = ended else { return batches.wake(at: environment.wallSeconds() + 60) }
            for batch in ended { runner?.drop(batch: batch) }
        }) else { return }
        batches.lookAtClock(reply: reply)
    }

    private func reportIfDrained() {
        guard phase == .draining, preparing == 0, dispatcher?.isIdle ?? true else { return }
        onDrained?()
    }

    // MARK: requests

    /// Whose a request is; nil on a route that says it is open, where nobody is asked.
    private func identity(_ head: RequestHead, _ peer: PeerCredentials?, _ match: Router.Match) -> Result<Tenant?, APIError> {
        if case .found(let route, _) = match, route.isOpen { return .success(nil) }
        return Result { () throws(APIError) in try tenants.identify(head, peer) }
    }

    /// Nobody who is no tenant finds out more than that, whatever the target is.
    private func enter(_ exchange: Exchange) {
        let match = inferenceRouter.match(exchange.request.head)
        switch identity(exchange.request.head, exchange.peer, match) {
        case .success(let tenant):
            exchange.tenant = tenant
            route(exchange, match, "inference")
        case .failure(let error):
            count(refusal: error, of: exchange.peer)
            exchange.respond(error)
        }
    }

    private func count(refusal error: APIError, of peer: PeerCredentials?) {
        metrics.countAnswer(route: "-", status: error.status)
        logger.debug("refused", metadata: ["status": "\(error.status.code)", "uid": "\(peer.map { String($0.userID) } ?? "?")", "reason": "\(error.message)"])
    }

    private func route(_ exchange: Exchange, _ match: Router.Match, _ socket: String) {
        let head = exchange.request.head
        switch match {
        case .found(let route, let parameters):
            exchange.parameters = parameters
            exchange.onAnswer = { [unowned self, unowned exchange] status in
                metrics.countAnswer(route: route.pattern, status: status)
                logger.debug("answered", metadata: [
                    "socket": "\(socket)", "route": "\(head.method.rawValue) \(route.pattern)", "status": "\(status.code)",
                    "uid": "\(exchange.userID)", "tenant": "\(exchange.tenant?.name.text ?? "-")",
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

    /// Whose request it is: of routes that are for tenants.
    func caller(_ exchange: Exchange) -> Tenant {
        guard let tenant = exchange.tenant else { preconditionFailure("a route for tenants is open") }
        return tenant
    }

    /// Runs `work` on a worker thread with the request's body; `completion` runs on the loop if the client is still there.
    func prepare<Value: Sendable>(
        _ exchange: Exchange, _ service: ModelService, generates: Bool = false, _ work: @escaping @Sendable (Preparation, [UInt8]) throws(APIError) -> Value,
        completion: @escaping (Value) -> Void
    ) {
        guard preparing < Limits.preparingRequests else {
            return exchange.respond(.unavailable("Too many requests are waiting.", code: "overloaded") as APIError)
        }
        let tenant = caller(exchange)
        do throws(APIError) { try tenants.beginPreparation(tenant, generates: generates) } catch { return exchange.respond(error) }
        preparing += 1
        let preparation = Preparation(service, tenant)
        let (body, lease) = exchange.takeBody()
        preparations.add(tenant.name, { Result { () throws(APIError) in try work(preparation, body) } }) { [unowned self] result in
            withExtendedLifetime(lease) {}  // until the body has been read
            preparing -= 1
            tenants.endPreparation(tenant.name)
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
