// How fast a daemon went around a workload: its gauges beside what the simulator makes of them.

import BerthCore
import BerthKernels
import BerthSimulator

/// The gauges of one round, for a machine of so many rows and requests in a step.
func gauges(on machine: RecordedMachine, round: Int, seed: UInt64) -> [Recording] {
    /// Others in each round, and others than the workloads': a daemon would find the same prompts in its memory.
    func own(_ number: Int) -> UInt64 { seed &+ UInt64(100 + 16 * round + number) }
    let streams = [1, 16, 48].filter { $0 <= machine.running && $0 * 4 <= machine.stepTokens && $0 * 2 < machine.pages }
    let prompts = [128, 512].filter { $0 <= machine.stepTokens && $0 < machine.contextLength && $0 / machine.blockTokens + 1 < machine.pages }
    return streams.enumerated().map { .gauge(streams: $1, seed: own($0)) } + prompts.enumerated().map { .gauge(promptRows: $1, seed: own(streams.count + $0)) }
}

extension Pace {
    /// By rows the mean of what the gauges say.
    init(_ gauges: [Recording], on machine: RecordedMachine, costs: StepCosts) throws {
        var costs = costs, factors: [Int: [Double]] = [:]
        costs.pace = Pace()
        for gauge in gauges {
            let measured = gauge.stepSeconds(gauge.answers), simulated = gauge.stepSeconds(try simulatedAnswers(of: gauge, on: machine, costs: costs))
            guard simulated > 0, measured > 0 else { throw BenchError("a gauge of \(gauge.gaugedRows) rows took no time") }
            factors[gauge.gaugedRows, default: []].append(measured / simulated)
        }
        self.init(factors.sorted { $0.key < $1.key }.map { .init(rows: $0.key, factor: mean($0.value)) })
    }
}

extension Recording {
    /// What a gauge's steps have taken: between two tokens of a stream, or up to the only token of a prompt; the median.
    fileprivate func stepSeconds(_ answers: [Answer]) -> Double {
        median(zip(requests, answers).map { $0.output > 1 ? ($1.end - $1.first) / Double($0.output - 1) : $1.first - $1.asked })
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
