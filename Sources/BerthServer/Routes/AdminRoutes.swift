// The admin socket: adapters come and go, and what the daemon is doing. Only its owner may open it.

import BerthCore
import BerthEngine
import BerthHTTP
import HTTPTypes

extension Server {
    func adminRoutes() -> [Route] {
        [
            Route(.get, "/adapters") { [unowned self] in listAdapters($0) },
            Route(.post, "/adapters/{name}/pin") { [unowned self] in pinAdapter($0) },
            Route(.post, "/v1/load_lora_adapter") { [unowned self] in loadAdapter($0) },
            Route(.post, "/v1/unload_lora_adapter") { [unowned self] in unloadAdapter($0) },
            Route(.get, "/pool") { [unowned self] in showStatus($0) { $0.poolJSON } },
            Route(.get, "/memory") { [unowned self] in showMemory($0) },
            Route(.post, "/memory") { [unowned self] in moveMemory($0) },
            Route(.get, "/experts") { [unowned self] in showExperts($0) },
            Route(.get, "/waves") { [unowned self] in showStatus($0, \.waves.json) },
            Route(.get, "/requests") { [unowned self] in showStatus($0) { $0.requestsJSON } },
            Route(.get, "/tenants") { [unowned self] in showTenants($0) },
            Route(.get, "/metrics") { [unowned self] in showMetrics($0) },
        ] + healthRoutes()
    }

    /// Asks another thread; `answer` runs on the loop, unless the client has left by then.
    func ask<Value: Sendable>(_ exchange: Exchange, _ question: (@escaping @Sendable (Value) -> Void) -> Void, answer: @escaping (Value) -> Void) {
        guard let reply = replies.expect({ (value: Value) in if !exchange.isAbandoned { answer(value) } }) else {
            return exchange.respond(.unavailable("Too many questions are waiting.", code: "overloaded") as APIError)
        }
        question(reply)
    }

    /// Looking is allowed while the daemon drains.
    func loadedService(_ exchange: Exchange) -> ModelService? { service ?? readyService(exchange)?.0 }

    private func listAdapters(_ exchange: Exchange) {
        guard let service = loadedService(exchange) else { return }
        ask(exchange, service.adapters.statuses) { exchange.respond(["adapters": .array($0.map(\.json))]) }
    }

    private func loadAdapter(_ exchange: Exchange) {
        guard let (service, _) = readyService(exchange) else { return }
        do throws(APIError) {
            let call = try LoadAdapterCall(body: exchange.request.body)
            guard call.name.text != service.description.name, call.name.text != Preparation.baseAlias else {
                throw .invalid("lora_name", "is the name of the base model.")
            }
            let configured = tenants.configuration.tenants
            let strangers = call.tenants?.filter { name in name != "*" && !configured.isEmpty && !configured.keys.contains { $0.text == name } } ?? []
            change(exchange, "loaded", warnings: strangers.map { "There is no tenant '\($0)' in the configuration." }) {
                service.adapters.load(
                    call.name, path: call.path, pinned: call.pinned, audience: call.tenants.flatMap { AdapterAudience($0) },
                    quotas: Dictionary(uniqueKeysWithValues: configured.map { ($0.key, $0.value.adapterQuota) }), reply: $0)
            }
        } catch { exchange.respond(error) }
    }

    private func unloadAdapter(_ exchange: Exchange) {
        guard let (service, _) = readyService(exchange) else { return }
        do throws(APIError) {
            let call = try UnloadAdapterCall(body: exchange.request.body)
            change(exchange, "unloaded") { service.adapters.unload(call.name, reply: $0) }
        } catch { exchange.respond(error) }
    }

    private func pinAdapter(_ exchange: Exchange) {
        guard let (service, _) = readyService(exchange) else { return }
        do throws(APIError) {
            guard let name = AdapterName(exchange.parameters[0]) else { throw .unknownModel(exchange.parameters[0]) }
            let call = try PinAdapterCall(body: exchange.request.body)
            change(exchange, call.pinned ? "pinned" : "unpinned") { service.adapters.setPinned(name, call.pinned, reply: $0) }
        } catch { exchange.respond(error) }
    }

    private func change(
        _ exchange: Exchange, _ what: String, warnings: [String] = [], _ question: (@escaping @Sendable (Result<AdapterListing, APIError>) -> Void) -> Void
    ) {
        ask(exchange, question) { [unowned self] (result: Result<AdapterListing, APIError>) in
            switch result {
            case .success(var status):
                status.warnings += warnings
                logger.notice("adapter \(status.name) \(what)", metadata: ["uid": "\(exchange.userID)"])
                exchange.respond(status.json)
            case .failure(let error):
                logger.warning("an adapter could not be \(what): \(error.message)")
                refuse(exchange, error)
            }
        }
    }

    func showStatus(_ exchange: Exchange, _ json: @escaping (EngineStatus) -> JSON) {
        guard let service = loadedService(exchange) else { return }
        ask(exchange, service.generation.status) { exchange.respond(json($0)) }
    }

    private func showMetrics(_ exchange: Exchange) {
        guard let service = loadedService(exchange) else { return }
        ask(exchange, service.generation.status) { [unowned self] (status: EngineStatus) in
            let text = metrics.text(
                model: service.description.name, status: status, registeredAdapters: service.adapters.registered().count, tenants: tenantReports(status), connections: connectionCount,
                seconds: environment.wallSeconds())
            exchange.respond(Response(contentType: "text/plain; version=0.0.4; charset=utf-8", body: Array(text.utf8)))
        }
    }
}

extension AdapterListing {
    var json: JSON {
        [
            "name": .string(name.text), "state": .string(state), "bytes": bytes.map { JSON($0) } ?? nil, "digest": digest.map(JSON.string) ?? nil,
            "modules": modules.map { JSON($0) } ?? nil, "ranks": .array(ranks.map { JSON($0) }), "uses": JSON(uses), "pinned": .bool(isPinned),
            "tenants": audience.texts.map { .array($0.map(JSON.string)) } ?? nil, "reason": reason.map(JSON.string) ?? nil, "warnings": .array(warnings.map(JSON.string)),
        ]
    }
}

extension EngineStatus {
    var requestsJSON: JSON {
        let list = requests.map { request -> JSON in
            [
                "id": .integer(Int64(bitPattern: request.id.rawValue)), "tenant": .string(request.tenant.text),
                "adapter": request.adapter.map { .string($0.text) } ?? nil, "priority": JSON(request.priority), "state": .string(request.state), "prompt_tokens": JSON(request.promptTokens), "generated_tokens": JSON(request.generatedTokens),
            ]
        }
        return ["running": JSON(running), "waiting": JSON(waiting), "requests": .array(list)]
    }
}
