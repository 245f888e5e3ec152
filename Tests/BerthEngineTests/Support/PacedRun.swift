// Steps under a scripted clock: what one takes is a formula of its load.

import BerthCore
import BerthModels
import Testing

@testable import BerthEngine

/// An engine whose steps take scripted times.
final class PacedRun {
    let harness: Harness
    /// Per step: its rows and its milliseconds.
    private(set) var steps: [(rows: Int, milliseconds: Double)] = []
    /// When each token of a request came, in milliseconds.
    private(set) var tokenTimes: [RequestID: [Double]] = [:]
    var milliseconds: Double { Double(harness.now) * 1e-6 }

    /// Milliseconds that two slow cores take: reading the weights, or the rows' arithmetic where that is longer, and attention.
    static func twoCores(_ load: StepLoad) -> Double { max(46, 10 * Double(load.rows)) + 0.0005 * Double(load.attended) }

    init(
        interval: UInt64 = 250, stepTokens: Int = 256, pages: Int = 600, configuration: EngineConfiguration = .withoutPrefixes,
        cost: @escaping (_ step: Int, StepLoad) -> Double
    ) throws {
        var configuration = configuration
        configuration.tokenInterval = interval * 1_000_000
        configuration.stepTokens = stepTokens
        let model = FakeModel(contextLength: 8192)
        harness = try Harness(model, pages: pages, configuration: configuration)
        harness.isProving = false
        model.onForward = { [unowned self] batch in
            var load = StepLoad()
            for sequence in batch.sequences { load.add(rows: sequence.rowCount, after: sequence.startPosition) }
            let time = cost(steps.count, load)
            steps.append((load.rows, time))
            harness.now += UInt64(time * 1e6)
        }
    }

    convenience init(interval: UInt64 = 250) throws { try self.init(interval: interval) { _, load in Self.twoCores(load) } }

    func step() {
        let before = harness.outcomes.mapValues(\.tokens.count)
        harness.step()
        for (id, outcome) in harness.outcomes where outcome.tokens.count > before[id]! { tokenTimes[id, default: []].append(milliseconds) }
    }

    func run(until isDone: () -> Bool) {
        for _ in 0..<20_000 where !isDone() { step() }
        #expect(isDone(), "the engine does not come there")
    }

    /// Until a request's first token.
    func prefill(_ id: RequestID) { run { !(harness.outcomes[id]!.tokens.isEmpty) } }

    /// Milliseconds until a request's first token; nil before it.
    func firstToken(_ id: RequestID) -> Double? { tokenTimes[id]?.first }

    func gaps(of id: RequestID, since start: Double = 0) -> [Double] {
        let times = tokenTimes[id]!
        return zip(times, times.dropFirst()).filter { $0.0 >= start }.map { $1 - $0 }
    }

    static func prompt(_ count: Int) -> [Int32] { (0..<count).map { Int32(2 + $0 % 50) } }
}
