// The inference socket: what OpenAI's clients call. Nothing here takes or shows a path of this machine.

import BerthCore
import BerthHTTP
import HTTPTypes

extension Server {
    func inferenceRoutes() -> [Route] {
        [
            Route(.get, "/v1/models") { [unowned self] in listModels($0) },
            Route(.get, "/v1/models/{id}") { [unowned self] in showModel($0) },
            Route(.post, "/v1/completions") { [unowned self] in generate($0) { (preparation, body) throws(APIError) in try preparation.completion(body) } },
            Route(.post, "/v1/chat/completions") { [unowned self] in generate($0) { (preparation, body) throws(APIError) in try preparation.chat(body) } },
            Route(.post, "/tokenize") { [unowned self] in answer($0) { (preparation, body) throws(APIError) in try preparation.tokenize(body) } },
            Route(.post, "/detokenize") { [unowned self] in answer($0) { (preparation, body) throws(APIError) in try preparation.detokenize(body) } },
        ] + fileRoutes() + batchRoutes() + healthRoutes()
    }

    /// On both sockets. Who looks after the daemon need not be a tenant of it.
    func healthRoutes() -> [Route] {
        let ready: (Exchange) -> Void = { [unowned self] in showReadiness($0) }
        return [
            Route(.get, "/health", isOpen: true, ready),
            Route(.get, "/health/ready", isOpen: true, ready),
            Route(.get, "/health/live", isOpen: true) { $0.respond(["status": "live"]) },
            Route(.get, "/version") { $0.respond(["version": .string(Server.version)]) },
        ]
    }

    private func showReadiness(_ exchange: Exchange) {
        if readyService(exchange) != nil { exchange.respond(["status": "ready"]) }
    }

    private func listModels(_ exchange: Exchange) {
        answer(exchange) { (preparation, _) throws(APIError) in ModelCard.list(preparation.cards()) }
    }

    private func showModel(_ exchange: Exchange) {
        let id = exchange.parameters[0]
        answer(exchange) { (preparation, _) throws(APIError) in try preparation.card(id).json }
    }

    private func generate(_ exchange: Exchange, _ read: @escaping @Sendable (Preparation, [UInt8]) throws(APIError) -> PreparedGeneration) {
        guard let (service, dispatcher) = readyService(exchange) else { return }
        let deadline: UInt64?
        do throws(APIError) { deadline = try exchange.deadline() } catch { return exchange.respond(error) }
        prepare(exchange, service, generates: true, read) { dispatcher.start($0.ending(at: deadline), exchange) }
    }

    /// An answer that is made on a worker thread.
    private func answer(_ exchange: Exchange, _ read: @escaping @Sendable (Preparation, [UInt8]) throws(APIError) -> JSON) {
        guard let (service, _) = readyService(exchange) else { return }
        prepare(exchange, service, { (preparation, body) throws(APIError) in Response(json: try read(preparation, body)) }) { exchange.respond($0) }
    }
}
