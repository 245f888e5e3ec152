// The engine as the server sees it.

import BerthCore
import BerthEngine
import BerthMemory
import Synchronization

struct EngineService: GenerationService {
    let host: EngineHost

    init(_ host: EngineHost) { self.host = host }

    func submit(_ request: GenerationRequest) -> Bool { host.submit(request) }

    func cancel(_ id: RequestID) { host.cancel(id) }

    func ping(reply: @escaping @Sendable (Bool) -> Void) {
        if !host.perform(.counters, reply: { _ in reply(true) }) { reply(false) }
    }

    /// Commands are answered in order, so the last reply finds the others' results in place.
    func status(reply: @escaping @Sendable (EngineStatus) -> Void) {
        let status = StatusBox()
        let isAccepted =
            host.perform(.listRequests) { answer in status.update { $0.take(answer) } }
            && host.perform(.pool) { answer in status.update { $0.take(answer) } }
            && host.perform(.picture) { answer in status.update { $0.take(answer) } }
            && host.perform(.experts) { answer in status.update { $0.take(answer) } }
            && host.perform(.tenants) { answer in status.update { $0.take(answer) } }
            && host.perform(.waves) { answer in status.update { $0.take(answer) } }
            && host.perform(.counters) { answer in reply(status.update { $0.take(answer) }) }
        if !isAccepted { reply(EngineStatus()) }
    }

    func setTenants(_ policies: [TenantName: TenantPolicy], reply: @escaping @Sendable (Bool) -> Void) {
        if !host.perform(.setTenants(policies), reply: { _ in reply(true) }) { reply(false) }
    }

    func shutdown() { host.stop() }
}

/// A status that is filled reply by reply.
private final class StatusBox: Sendable {
    private let status = Mutex(EngineStatus())

    @discardableResult
    func update(_ change: (inout EngineStatus) -> Void) -> EngineStatus {
        status.withLock { status in
            change(&status)
            return status
        }
    }
}

extension EngineStatus {
    fileprivate mutating func take(_ reply: EngineReply) {
        switch reply {
        case .requests(let list):
            requests = list.map { request in
                Request(
                    id: request.id, tenant: request.tenant, adapter: request.adapter, priority: request.priority, state: Self.state(request.phase),
                    promptTokens: request.promptTokens, generatedTokens: request.generatedTokens)
            }
            runningAdapters = Set(requests.filter { $0.state != "waiting" }.compactMap(\.adapter)).sorted()
            waitingAdapters = Set(requests.filter { $0.state == "waiting" }.compactMap(\.adapter)).sorted()
        case .pool(let snapshot):
            pageBytes = snapshot.pageBytes
            pages = snapshot.pageCount
            freePages = snapshot.free
            cachedPages = snapshot.kv.cached
            kvPages = snapshot.kv.reserved + snapshot.kv.published - cachedPages
            classes = BerthMemory.PageClass.allCases.map { use in
                let held = snapshot[use]
                return PageClass(name: use.name, pages: held.reserved + held.published, wasteBytes: held.wasteBytes)
            }
        case .picture(let picture): self.picture = picture
        case .experts(let status): experts = status
        case .waves(let status): waves = status
        case .tenants(let list): tenants = list
        case .counters(let counters):
            steps = counters.steps
            (prefixQueries, prefixHits, prefixEvictions) = (counters.prefixQueries, counters.prefixHits, counters.prefixEvictions)
        case .done, .failed, .adapters, .tokens: break
        }
    }

    private static func state(_ phase: String) -> String {
        switch phase {
        case "prefilling": "prefill"
        case "decoding": "decode"
        default: "waiting"
        }
    }
}
