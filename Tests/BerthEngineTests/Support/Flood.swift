// Tenants that always have something to ask for: closed loops of a given depth, and what each was served.

import BerthCore
import Testing

@testable import BerthEngine

extension TenantName {
    static let a = TenantName("acme")!
    static let b = TenantName("blue")!
    static let c = TenantName("coil")!
}

/// Keeps so many requests of every tenant in the engine, step by step.
final class Flood {
    struct Load {
        var tenant: TenantName
        /// Requests that it has in the engine at all times.
        var depth: Int
        var prompt: ClosedRange<Int>
        var output: ClosedRange<Int>
    }

    let harness: Harness
    var loads: [Load]
    private var random: RandomSource
    /// Requests that have not ended, by tenant.
    private var open: [TenantName: [RequestID]] = [:]
    private(set) var steps = 0

    init(_ harness: Harness, _ loads: [Load], seed: UInt64) {
        self.harness = harness
        self.loads = loads
        random = RandomSource(seed: seed)
    }

    func counter(_ tenant: TenantName) -> Double { harness.engine.tenants.known[tenant]![.interactive].counter }
    func use(_ tenant: TenantName) -> TenantUse { harness.engine.tenantStatuses.first { $0.tenant == tenant }!.use }
    func isWaiting(_ tenant: TenantName) -> Bool { harness.engine.tenants.known[tenant].map { !$0[.interactive].waiting.isEmpty } ?? false }

    func step() {
        submit()
        harness.step()
        steps += 1
    }

    /// As many as are missing.
    func submit() {
        for load in loads {
            var ids = open[load.tenant, default: []].filter { !harness.outcomes[$0]!.isOver }
            while ids.count < load.depth {
                let prompt = (0..<Int.random(in: load.prompt, using: &random)).map { _ in Int32.random(in: 2..<50, using: &random) }
                ids.append(harness.submit(prompt, maxTokens: Int.random(in: load.output, using: &random)) { $0.tenant = load.tenant })
            }
            open[load.tenant] = ids
        }
    }
}
