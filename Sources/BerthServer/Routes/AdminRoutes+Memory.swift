// `GET /memory` and `POST /memory`: what `--memory` is, and another one from now on.

import BerthCore
import BerthHTTP

extension Server {
    func showMemory(_ exchange: Exchange) {
        guard let service = loadedService(exchange) else { return }
        guard let memory = service.memory else { return exchange.respond(.noMemoryLimit as APIError) }
        ask(exchange, memory.status) { exchange.respond($0.json) }
    }

    func moveMemory(_ exchange: Exchange) {
        guard let (service, _) = readyService(exchange) else { return }
        guard let memory = service.memory else { return exchange.respond(.noMemoryLimit as APIError) }
        do throws(APIError) {
            let call = try SetMemoryCall(body: exchange.request.body)
            ask(exchange, { memory.setLimit(call.size, reply: $0) }) { (result: Result<MemoryStatus, APIError>) in
                switch result {
                case .success(let status): exchange.respond(status.json)
                case .failure(let error): exchange.respond(error)
                }
            }
        } catch { exchange.respond(error) }
    }
}

extension APIError {
    fileprivate static var noMemoryLimit: APIError { APIError(.notFound, "This model's memory has no limit that could be moved.", code: "no_memory_limit") }
}
