// How fast a daemon went around a workload: its gauges beside what the simulator makes of them.

import BerthCore
import BerthKernels
import BerthSimulator

/// The gauges of one round: those whose steps this machine can do in one piece.
func gauges(on machine: RecordedMachine, round: Int, seed: UInt64) -> [Recording] {
    let all: [(streams: Int, rows: Int)] = [(1, 0), (16, 0), (48, 0), (17, 64), (0, 512)]
    let possible = all.filter { streams, rows in
        let pages = streams * 2 + rows / machine.blockTokens + 1
        return streams < machine.running && streams * 4 <= machine.stepTokens && streams + rows <= machine.stepTokens && rows < machine.contextLength && pages < machine.pages
    }
    // Others in each round, and others than the workloads': a daemon would find the same prompts in its memory.
    return possible.enumerated().map { .gauge(streams: $1.streams, promptRows: $1.rows, seed: seed &+ UInt64(100 + 16 * round + $0)) }
}

extension Pace {
    /// The pace at which the replay of gauges takes as long as they took: steps of other rows come between those that a gauge measures, so it is come near to
    /// by rounds. Gauges of as many rows count together.
    init(_ gauges: [Recording], on machine: RecordedMachine, costs: StepCosts) throws {
        guard gauges.allSatisfy({ !$0.answers.isEmpty }) else { throw BenchError("a gauge was planned and never measured") }
        let kinds = Dictionary(grouping: gauges, by: \.gaugedRows).sorted { $0.key < $1.key }.map { rows, gauges in
            (rows: rows, gauges: gauges, measured: gauges.reduce(0) { $0 + $1.gaugedSeconds($1.answers) })
        }
        var costs = costs
        costs.pace = Pace(kinds.map { .init(rows: $0.rows, factor: 1) })
        for _ in 0..<4 {
            costs.pace = Pace(try zip(kinds, costs.pace.points).map { kind, point in
                let simulated = try kind.gauges.reduce(0) { $0 + $1.gaugedSeconds(try simulatedAnswers(of: $1, on: machine, costs: costs)) }
                guard simulated > 0, kind.measured > 0 else { throw BenchError("a gauge of \(kind.rows) rows took no time") }
                return .init(rows: kind.rows, factor: point.factor * kind.measured / simulated)
            })
        }
        self = costs.pace
    }
}

/// Serves a recording that a daemon has served again.
func simulatedAnswers(of recording: Recording, on machine: RecordedMachine, costs: StepCosts) throws -> [Recording.Answer] {
    guard !recording.answers.isEmpty else { throw BenchError("\(recording.name) was planned and never measured") }
    let simulation = try Simulation(machine.scenario(replaying: recording, costs: costs), seed: recording.seed, compute: Compute(kernels: .scalar, threads: 1))
    simulation.proofSteps = 512
    let report = simulation.run()
    if let violation = report.violation { throw BenchError("\(recording.name): \(violation)") }
    let answers = report.answers.compactMap(\.self)
    guard answers.count == recording.requests.count else {
        throw BenchError("\(recording.name): the simulator failed \(recording.requests.count - answers.count) requests that the daemon has served")
    }
    return answers
}
