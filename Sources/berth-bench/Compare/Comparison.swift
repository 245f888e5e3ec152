// A recorded workload beside its replay: what was measured, what was simulated, and how far they are apart.

import BerthCore
import BerthKernels
import BerthSimulator

struct Comparison {
    /// What both have. Seconds.
    struct Result {
        var tokensPerSecond: Double
        /// From the client's call to the first token, by request.
        var firstTokens: [Double]
        /// Between two tokens of an answer, on average; of the requests with several.
        var gaps: [Double]

        init(_ recording: Recording, _ answers: [Recording.Answer]) {
            let tokens = recording.requests.reduce(0) { $0 + $1.output }, end = answers.map(\.end).max() ?? 0
            tokensPerSecond = end > 0 ? Double(tokens) / end : 0
            firstTokens = answers.map { $0.first - $0.asked }
            gaps = zip(recording.requests, answers).filter { $0.0.output > 1 }.map { ($1.end - $1.first) / Double($0.output - 1) }
        }

        static let numbers: [(name: String, title: String, value: @Sendable (Result) -> Double)] = [
            ("tokensPerSecond", "tokens/s", \.tokensPerSecond), ("firstTokenMedian", "first token, s: 50 %", { percentile(0.5, of: $0.firstTokens) }),
            ("firstTokenNinetieth", "90 %", { percentile(0.9, of: $0.firstTokens) }), ("gapMedian", "gap, s: 50 %", { percentile(0.5, of: $0.gaps) }),
        ]
    }

    let name: String
    let measured: Result
    let simulated: Result

    /// Serves a recording again.
    init(_ recording: Recording, on machine: RecordedMachine, costs: StepCosts) throws {
        guard !recording.answers.isEmpty else { throw BenchError("\(recording.name) was planned and never measured") }
        let simulation = try Simulation(machine.scenario(replaying: recording, costs: costs), seed: recording.seed, compute: Compute(kernels: .scalar, threads: 1))
        simulation.proofSteps = 512
        let report = simulation.run()
        if let violation = report.violation { throw BenchError("\(recording.name): \(violation)") }
        let answers = report.answers.compactMap(\.self)
        guard answers.count == recording.requests.count else {
            throw BenchError("\(recording.name): the simulator failed \(recording.requests.count - answers.count) requests that the daemon has served")
        }
        name = recording.name
        measured = Result(recording, recording.answers)
        simulated = Result(recording, answers)
    }

    /// By number: how far what was simulated is from what was measured, as a part of that.
    var errors: [Double] { Result.numbers.map { $0.value(simulated) / max($0.value(measured), 1e-9) - 1 } }
}

extension [Comparison] {
    var table: String {
        var table = TextTable(["workload", ""] + Comparison.Result.numbers.map(\.title))
        for comparison in self {
            func row(_ result: Comparison.Result) -> [String] { Comparison.Result.numbers.map { fixed($0.value(result), $0.name == "tokensPerSecond" ? 1 : 3) } }
            table.append([comparison.name, "measured"] + row(comparison.measured))
            table.append(["", "simulated"] + row(comparison.simulated))
            table.append(["", "error, %"] + comparison.errors.map { ($0 < 0 ? "" : "+") + fixed($0 * 100, 1) })
        }
        return table.text
    }

    var json: JSON {
        func numbers(_ values: [Double]) -> JSON { JSON(members: zip(Comparison.Result.numbers, values).map { ($0.name, .number($1)) }) }
        func result(_ result: Comparison.Result) -> JSON { numbers(Comparison.Result.numbers.map { $0.value(result) }) }
        return .array(map { ["workload": .string($0.name), "measured": result($0.measured), "simulated": result($0.simulated), "error": numbers($0.errors)] })
    }

    /// By workload, how much of the requests has its first token after so many seconds.
    var svg: String {
        LinePlot.column(map { comparison in
            let slowest = Swift.max(comparison.measured.firstTokens.max() ?? 0, comparison.simulated.firstTokens.max() ?? 0)
            func line(_ name: String, _ result: Comparison.Result) -> LinePlot.Line {
                let sorted = result.firstTokens.sorted()
                return .init(name: name, points: sorted.enumerated().map { ($1, Double($0 + 1) / Double(sorted.count)) })
            }
            return LinePlot(
                x: .init(name: "\(comparison.name): seconds to the first token", most: slowest) { fixed($0, slowest < 1 ? 3 : 1) },
                y: .init(name: "of all requests", most: 1) { fixed($0, 1) },
                lines: [line("measured", comparison.measured), line("simulated", comparison.simulated)])
        })
    }
}
