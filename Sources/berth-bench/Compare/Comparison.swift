// A recorded workload beside its replay: what was measured, what was simulated, and how far they are apart.

import BerthCore
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
    let pace: Pace

    /// Serves a recording again.
    /// - Parameter gauges: those that were measured around it.
    init(_ recording: Recording, between gauges: [Recording], on machine: RecordedMachine, costs: StepCosts) throws {
        name = recording.name
        pace = try Pace(gauges, on: machine, costs: costs)
        var costs = costs
        costs.pace = pace
        measured = Result(recording, recording.answers)
        simulated = Result(recording, try simulatedAnswers(of: recording, on: machine, costs: costs))
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
        return table.text + paceTable
    }

    /// How much longer than their costs steps took around each workload, by their rows.
    private var paceTable: String {
        let rows = Set(flatMap { $0.pace.points.map(\.rows) }).sorted()
        guard !rows.isEmpty else { return "" }
        var table = TextTable(["steps took, times their costs"] + rows.map { $0 == 1 ? "1 row" : "\($0) rows" })
        for comparison in self { table.append([comparison.name] + rows.map { fixed(comparison.pace.factor(rows: $0), 2) }) }
        return "\n\n" + table.text
    }

    var json: JSON {
        func numbers(_ values: [Double]) -> JSON { JSON(members: zip(Comparison.Result.numbers, values).map { ($0.name, .number($1)) }) }
        func result(_ result: Comparison.Result) -> JSON { numbers(Comparison.Result.numbers.map { $0.value(result) }) }
        func pace(_ pace: Pace) -> JSON { .array(pace.points.map { ["rows": JSON($0.rows), "factor": .number($0.factor)] }) }
        return .array(map {
            ["workload": .string($0.name), "measured": result($0.measured), "simulated": result($0.simulated), "error": numbers($0.errors), "pace": pace($0.pace)]
        })
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
