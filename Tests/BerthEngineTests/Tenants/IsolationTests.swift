// What a tenant has sent makes no difference to another, step by step.
//
// Two worlds run the same load out of a seed. In one of them the prompts of tenant acme are those that tenant blue sends, too; in the other they are
// others, which share as much among themselves. Whatever blue can see has to be the same in both.

import BerthCore
import Testing

@testable import BerthEngine

@Suite struct IsolationTests {
    /// All that a tenant can see of a request, and what its rows cost.
    private struct Sight: Equatable {
        var arrival: Int
        var firstToken: Int?
        var end: Int?
        var cachedTokens = 0
        var tokens: [Int32] = []
    }

    private struct World: Equatable {
        var sights: [Sight] = []
        /// Computed rows after each step: of everybody.
        var rows: [Int] = []
        /// Tokens of blue's that acme has sent, too.
        var foreignTokens = 0
    }

    /// - Parameter salt: acme's tokens are turned by so many.
    private func world(seed: UInt64, salt: Int32, shares: Bool = false) throws -> World {
        var random = RandomSource(seed: seed)
        var configuration = EngineConfiguration()
        configuration.sharesPrefixes = shares
        (configuration.runningRequests, configuration.stepTokens) = (4, 48)
        let harness = try Harness(pages: 40, configuration: configuration)
        for index in 0..<4 { try harness.register("a\(index)", version: UInt64(index + 1), pages: 2) }
        let prompts = (0..<5).map { _ in (0..<Int.random(in: 20...110, using: &random)).map { _ in Int32.random(in: 2..<50, using: &random) } }
        var world = World()
        var open: [(index: Int, id: RequestID)] = []
        for step in 0..<500 {
            while step < 400, Int.random(in: 0..<6, using: &random) == 0 {
                let isBlue = Bool.random(using: &random)
                var prompt = prompts.randomElement(using: &random)!
                // Some go on where others have ended, and some are new.
                if Int.random(in: 0..<3, using: &random) == 0 { prompt += (0..<Int.random(in: 1...20, using: &random)).map { _ in Int32.random(in: 2..<50, using: &random) } }
                if Int.random(in: 0..<4, using: &random) == 0 { prompt[0] = Int32.random(in: 2..<50, using: &random) }
                if !isBlue { prompt = prompt.map { ($0 - 2 + salt) % 48 + 2 } }
                let adapter = Int.random(in: 0..<6, using: &random)
                let id = harness.submit(prompt, maxTokens: Int.random(in: 1...20, using: &random), adapter: adapter < 4 ? "a\(adapter)" : nil) {
                    $0.tenant = isBlue ? .b : .a
                }
                guard isBlue else { continue }
                open.append((world.sights.count, id))
                world.sights.append(Sight(arrival: step))
            }
            if Int.random(in: 0..<2, using: &random) == 0 { harness.reader.completeAll(in: harness.engine) }
            harness.step()
            world.rows.append(harness.engine.counterSnapshot.computedTokens)
            for (index, id) in open {
                let outcome = harness.outcomes[id]!
                if world.sights[index].firstToken == nil, !outcome.tokens.isEmpty { world.sights[index].firstToken = step }
                if outcome.isOver { world.sights[index].end = step }
                (world.sights[index].cachedTokens, world.sights[index].tokens) = (outcome.cachedTokens, outcome.tokens)
            }
            open.removeAll { world.sights[$0.index].end != nil }
        }
        harness.run()
        return world
    }

    @Test(arguments: [UInt64(1), 2, 3, 4, 5, 6]) func nobodySeesWhatAnotherHasSent(seed: UInt64) throws {
        let (alike, unlike) = try (world(seed: seed, salt: 0), world(seed: seed, salt: 17))
        #expect(alike == unlike, "seed \(seed)")
        #expect(alike.sights.count > 20 && alike.sights.contains { $0.cachedTokens > 0 }, "blue finds what it has sent itself: seed \(seed)")
    }

    /// The test would see it: where an administrator shares prefixes, the worlds differ.
    @Test func sharedPrefixesAreSeen() throws { #expect(try world(seed: 1, salt: 0, shares: true) != world(seed: 1, salt: 17, shares: true)) }
}
