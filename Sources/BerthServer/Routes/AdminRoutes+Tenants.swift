// `GET /tenants`, and the engine's part of a configuration.

import BerthCore
import BerthEngine
import BerthHTTP

extension Server {
    func showTenants(_ exchange: Exchange) {
        showStatus(exchange) { [unowned self] status in
            [
                "tenants": .array(tenantReports(status).map(\.json)), "configured": .bool(!tenants.configuration.isEmpty),
                "reload_problem": reloadProblem.map(JSON.string) ?? nil,
            ]
        }
    }

    /// Everybody who has a section or has asked for something, by name.
    func tenantReports(_ status: EngineStatus) -> [TenantReport] {
        let statuses = Dictionary(uniqueKeysWithValues: status.tenants.map { ($0.tenant, $0) })
        return Set(tenants.names).union(statuses.keys).subtracting([.daemon]).sorted().map { name in
            TenantReport(
                name: name, settings: tenants.configuration.tenants[name], standing: tenants.standing(of: name), status: statuses[name] ?? TenantStatus(tenant: name))
        }
    }

    /// Tells the engine what tenants may have. The pool's size is asked for first: per cent are of what it has now.
    func applyTenantPolicies() {
        guard !tenants.configuration.isEmpty || tenants.pagesOfPolicies != nil else { return }
        askForPool { [unowned self] status in tellEngine(status) }
    }

    /// The pool may have become larger or smaller since the engine was told. Call it about once a second.
    func followPool() {
        guard tenants.pagesOfPolicies != nil, tenants.configuration.tenants.values.contains(where: \.hasSharesOfThePool) else { return }
        askForPool { [unowned self] status in if status.pages != tenants.pagesOfPolicies { tellEngine(status) } }
    }

    private func askForPool(_ answer: @escaping (EngineStatus) -> Void) {
        guard let service, let reply = replies.expect(answer) else { return }
        service.generation.status(reply: reply)
    }

    private func tellEngine(_ status: EngineStatus) {
        let policies = Dictionary(uniqueKeysWithValues: tenants.configuration.tenants.map { ($0.key, $0.value.policy(pages: status.pages, pageBytes: status.pageBytes)) })
        let floors = policies.values.reduce(0) { $0 + $1.kv.floorPages }
        if floors > status.pages { logger.error("the kv-floors of all tenants are \(floors) pages, and the pool has \(status.pages)") }
        let reply = replies.expect { [unowned self] (isTaken: Bool) in
            if !isTaken { logger.error("the engine takes no commands now: tenants have their limits of before") }
        }
        guard let service, let reply else { return logger.error("too many questions are waiting: tenants have their limits of before") }
        tenants.pagesOfPolicies = status.pages
        service.generation.setTenants(policies, reply: reply)
    }
}
