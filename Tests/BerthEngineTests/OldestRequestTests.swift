// Somebody always comes to its end: of those who run, the oldest keeps its pages however short memory is.

import BerthCore
import Testing

@testable import BerthEngine

@Suite struct OldestRequestTests {
    /// Streams that outgrow the pool together, let in as long as there is a page. The oldest is the only one of its tenant and soon holds most of all, so that
    /// it would be the one to make way; and so it is with whoever is the oldest after it.
    @Test(arguments: 1...20 as ClosedRange<UInt64>)
    func theOldestKeepsItsPages(seed: UInt64) throws {
        var random = RandomSource(seed: seed)
        var configuration = EngineConfiguration.withoutPrefixes
        configuration.admissionRule = .optimistic
        configuration.runningRequests = Int.random(in: 3...8, using: &random)
        let harness = try Harness(pages: Int.random(in: 12...16, using: &random), configuration: configuration)
        let tenants = [TenantName.a, .b, .c]
        for index in 0..<24 {
            let prompt = Array(repeating: Int32(2 + index), count: Int.random(in: 1...(index % 6 == 0 ? 60 : 12), using: &random))
            harness.submit(prompt, maxTokens: Int.random(in: 20...90, using: &random)) { $0.tenant = index % 6 == 0 ? .a : tenants.randomElement(using: &random)! }
        }
        var steps = 0
        while harness.engine.hasWork, steps < 5000 {
            let oldest = harness.engine.running.requests.first, preemptions = oldest?.preemptions
            harness.step()
            steps += 1
            guard let oldest, oldest.preemptions != preemptions else { continue }
            // Only for one that is older, and came back in this step.
            #expect(harness.engine.running.requests.first.map { $0.arrival < oldest.arrival } == true, "seed \(seed), step \(steps): request \(oldest.request.id) was the oldest")
        }
        #expect(harness.outcomes.values.allSatisfy { $0.finish == .length }, "seed \(seed)")
        #expect(harness.engine.counterSnapshot.preemptions > 0, "seed \(seed)")
    }
}
