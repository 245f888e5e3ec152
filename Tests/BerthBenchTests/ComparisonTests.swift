// Recordings beside their replay, with a simulated machine in the place of the daemon: what it took is known.

import BerthCore
import BerthSimulator
import Testing

@testable import berth_bench

@Suite struct ComparisonTests {
    private static let machine = RecordedMachine(pages: 2000, pageBytes: 1 << 19, blockTokens: 16, contextLength: 2048, running: 64, stepTokens: 512)
    private static let pace = Pace([.init(rows: 1, factor: 1.3), .init(rows: 48, factor: 1.1), .init(rows: 512, factor: 0.9)])

    /// What a daemon of that pace would have answered.
    private static func served(_ plan: Recording) throws -> Recording {
        var costs = StepCosts(), recording = plan
        costs.pace = pace
        recording.answers = Array(repeating: .init(asked: 0, first: 0, end: 0), count: plan.requests.count)
        recording.answers = try simulatedAnswers(of: recording, on: machine, costs: costs)
        return recording
    }

    private static func gauged() throws -> [Recording] { try gauges(on: machine, round: 0, seed: 1).map(served) }

    /// Gauges find the pace of the steps that they are made of.
    @Test func gaugesFindThePace() throws {
        let found = try Pace(Self.gauged(), on: Self.machine, costs: StepCosts())
        #expect(found.points.map(\.rows) == [1, 16, 48, 80, 512])
        for point in found.points { #expect(abs(point.factor / Self.pace.factor(rows: point.rows) - 1) < 0.02, "\(point)") }
    }

    /// With its pace a machine is told as it is, and without as far off as it is.
    @Test func aWorkloadIsReplayedAtItsPace() throws {
        var clients = TenantLoad(TenantName("a")!, .clients(count: 2, thinking: 0))
        (clients.mostRequests, clients.prompt, clients.output) = (12, .uniform(5...20), .uniform(8...20))
        let workload = try Self.served(Recording(name: "two", seed: 3, loads: [clients]))
        let told = try Comparison(workload, between: Self.gauged(), on: Self.machine, costs: StepCosts())
        #expect(told.errors.allSatisfy { abs($0) < 0.03 }, "\(told.errors)")
        let untold = try Comparison(workload, between: [], on: Self.machine, costs: StepCosts())
        #expect(untold.errors[0] > 0.15 && untold.errors[3] < -0.15, "\(untold.errors)")
        #expect([told].table.contains("512 rows") && [told].json.array?[0]["pace"]?.array?.count == 5)
    }

    @Test func aGaugeThatNobodyServedIsRefused() {
        #expect(throws: BenchError.self) { try Pace(gauges(on: Self.machine, round: 0, seed: 1), on: Self.machine, costs: StepCosts()) }
    }

    /// A machine too small for a gauge is not asked for it.
    @Test func gaugesFitTheMachine() {
        let small = RecordedMachine(pages: 20, pageBytes: 1 << 19, blockTokens: 16, contextLength: 256, running: 8, stepTokens: 128)
        #expect(gauges(on: small, round: 2, seed: 1).map(\.gaugedRows) == [1])
    }
}
