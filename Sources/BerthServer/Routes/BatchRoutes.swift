// `/v1/batches`, as OpenAI's clients speak it.

import BerthBatches
import BerthCore
import BerthHTTP

extension Server {
    func batchRoutes() -> [Route] {
        [
            Route(.post, "/v1/batches") { [unowned self] in createBatch($0) },
            Route(.get, "/v1/batches") { [unowned self] in listBatches($0) },
            Route(.post, "/v1/batches/{id}/cancel") { [unowned self] in cancelBatch($0) },
            Route(.get, "/v1/batches/{id}") { [unowned self] in showBatch($0) },
        ]
    }

    private func createBatch(_ exchange: Exchange) {
        guard takesWork(exchange) else { return }
        do throws(APIError) {
            let call = try CreateBatchCall(body: exchange.request.body)
            let order = BatchOrder(
                input: call.input, endpoint: call.endpoint, window: call.window, windowSeconds: call.windowSeconds, metadata: call.metadata,
                outputLifeSeconds: call.outputLifeSeconds)
            let (tenant, now) = (caller(exchange), environment.wallSeconds())
            askBatches(exchange, { store throws(BatchError) in try store.create(order, of: tenant.name, quota: tenant.settings.batchQuota, now: now) }) { [unowned self] (batch: Batch) in
                batches?.wake(at: batch.expires)
                logger.info("batch \(batch.id) begins", metadata: ["uid": "\(exchange.userID)", "tenant": "\(caller(exchange).name)"])
                exchange.respond(batch.json)
            }
        } catch { exchange.respond(error) }
    }

    private func showBatch(_ exchange: Exchange) {
        let (id, tenant) = (exchange.parameters[0], caller(exchange).name)
        askBatches(exchange, { store throws(BatchError) in try store.batch(id, of: tenant) }) { (batch: Batch) in exchange.respond(batch.json) }
    }

    private func listBatches(_ exchange: Exchange) {
        do throws(APIError) {
            let query = try QueryReader(exchange.request.head.query)
            let limit = try query.int("limit", in: 1...Limits.batchPage) ?? 20
            let (after, tenant) = (query.string("after"), caller(exchange).name)
            askBatches(exchange, { store throws(BatchError) in try store.batches(of: tenant, after: after, limit: limit) }) { (page: Page<Batch>) in
                exchange.respond(Self.list(page.elements.map(\.json), hasMore: page.hasMore))
            }
        } catch { exchange.respond(error) }
    }

    private func cancelBatch(_ exchange: Exchange) {
        let (id, tenant) = (exchange.parameters[0], caller(exchange).name)
        let now = environment.wallSeconds()
        askBatches(exchange, { store throws(BatchError) in try store.cancel(id, of: tenant, now: now) }, always: { [unowned self] in runner?.drop(batch: id) }) {
            (batch: Batch) in exchange.respond(batch.json)
        }
    }

    // MARK: shared with files

    /// Asks the batches' thread; `answer` runs on the loop, unless the client has left by then. `always` runs where it succeeded, whoever is left;
    /// `failed` before an error is answered.
    func askBatches<Value: Sendable>(
        _ exchange: Exchange, _ work: @escaping @Sendable (BatchStore) throws(BatchError) -> Value, always: @escaping () -> Void = {}, failed: @escaping () -> Void = {},
        answer: @escaping (Value) -> Void
    ) {
        guard let batches else {
            failed()
            return exchange.respond(APIError(.notImplemented, "This daemon keeps no files and batches: it has no state directory.", code: "no_state_directory"))
        }
        let reply = replies.expect { [unowned self] (result: Result<Value, BatchError>) in
            switch result {
            case .success(let value):
                always()
                if !exchange.isAbandoned { answer(value) }
            case .failure(let error):
                if error.code == .storage { logger.error("\(error)") }
                guard !exchange.isAbandoned else { return }
                failed()
                refuse(exchange, APIError(error))
            }
        }
        guard let reply else {
            failed()
            return exchange.respond(.unavailable("Too many questions are waiting.", code: "overloaded") as APIError)
        }
        batches.perform(work, reply: reply)
    }

    /// Answers with an error, and counts it where it is a limit of the tenant's.
    func refuse(_ exchange: Exchange, _ error: APIError) {
        if let tenant = exchange.tenant, let limit = error.limit.flatMap({ TenantLimit(rawValue: $0) }) { tenants.count(refusal: limit, of: tenant.name) }
        exchange.respond(error)
    }

    /// New files and batches are taken while the model is still being loaded; not while the daemon ends.
    func takesWork(_ exchange: Exchange) -> Bool {
        guard phase == .draining else { return true }
        exchange.respond(.unavailable("The daemon is shutting down.", code: "draining", retryAfterSeconds: 5) as APIError)
        return false
    }

    /// OpenAI's page of a list.
    static func list(_ elements: [JSON], hasMore: Bool) -> JSON {
        [
            "object": "list", "data": .array(elements), "first_id": elements.first?["id"] ?? nil, "last_id": elements.last?["id"] ?? nil,
            "has_more": .bool(hasMore),
        ]
    }
}

extension APIError {
    /// The store's reasons, as the API says them.
    init(_ error: BatchError) {
        switch error.code {
        case .notFound: self = APIError(.notFound, error.message, parameter: error.parameter, code: "not_found")
        case .invalid: self = APIError(.badRequest, error.message, parameter: error.parameter)
        case .conflict: self = APIError(.conflict, error.message, parameter: error.parameter, code: "conflict")
        case .tooLarge: self = APIError(.contentTooLarge, error.message, parameter: error.parameter, code: "file_too_large")
        case .quota:
            let limit: TenantLimit? = switch error.quota {
            case .bytes: .batchBytes
            case .lines: .batchLines
            case .share: .queueShare
            case nil: nil
            }
            self = APIError(.tooManyRequests, error.message, parameter: error.parameter, code: "quota_exceeded", retryAfterSeconds: 60)
            if let limit { self = .limited(limit, error.message, retryAfterSeconds: 60) }
        case .storage: self = .unavailable(error.message, code: "storage_failed", retryAfterSeconds: 5)
        case .busy: self = .unavailable(error.message, code: "overloaded")
        }
    }
}
