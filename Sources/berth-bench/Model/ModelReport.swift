// The result of `berth-bench model`, as JSON for machines and a table for people.

import BerthCore
import BerthKernels

struct ModelReport {
    struct Result {
        var name: String
        var sequences: Int
        /// Calls of `forward` in one measurement, and their rows.
        var steps: Int
        var tokens: Int
        var work: [StepWork]
        /// The result without adapters that this one is compared with.
        var base: Int?
        /// Of one measurement, by round.
        var seconds: [Double] = []

        var stepSeconds: Double { median(seconds) / Double(steps) }
        var tokensPerSecond: Double { Double(tokens) / median(seconds) }

        /// What so much of the time the work would take anyway, by one of the limits, in percent.
        func percent(_ limit: (StepWork) -> Double) -> Double { 100 * work.reduce(0) { $0 + limit($1) } / median(seconds) }
    }

    var model: String
    var format: WeightFormat
    var kernels: String
    var results: [Result]
    /// The best that the machine did in any round.
    var peak: Peaks

    /// How many times as fast this is as without adapters, the median of the rounds.
    func ratio(of result: Result) -> Double? {
        result.base.map { base in median(zip(results[base].seconds, result.seconds).map { $0 / $1 }) }
    }

    var json: JSON {
        [
            "model": .string(model), "weights": .string(format.rawValue), "kernels": .string(kernels), "peaks": peak.json,
            "results": .array(
                results.map { result in
                    [
                        "name": .string(result.name), "sequences": JSON(result.sequences), "steps": JSON(result.steps), "tokens": JSON(result.tokens),
                        "seconds": .array(result.seconds.map(JSON.number)), "tokensPerSecond": .number(result.tokensPerSecond),
                        "stepMilliseconds": .number(result.stepSeconds * 1e3),
                        "operations": .number(result.work.reduce(0) { $0 + $1.operationCount }), "bytes": .number(result.work.reduce(0) { $0 + $1.bytes }),
                        "percentOfLimit": .number(result.percent { $0.limitSeconds(peak) }),
                        "percentOfCompute": .number(result.percent { $0.computeSeconds(peak) }),
                        "percentOfRead": .number(result.percent { $0.readSeconds(peak) }),
                        "ratioToBase": ratio(of: result).map(JSON.number) ?? .null,
                    ]
                }),
        ]
    }

    var table: String {
        var table = TextTable(["work", "tokens/s", "ms/step", "% compute", "% read", "% limit", "of base"])
        for result in results {
            table.append([
                result.name, fixed(result.tokensPerSecond, 1), fixed(result.stepSeconds * 1e3, 2), fixed(result.percent { $0.computeSeconds(peak) }, 0),
                fixed(result.percent { $0.readSeconds(peak) }, 0), fixed(result.percent { $0.limitSeconds(peak) }, 0),
                ratio(of: result).map { fixed($0, 3) } ?? "",
            ])
        }
        return ["\(model) model, weights \(format.rawValue), kernels \(kernels)", peak.line, table.text].joined(separator: "\n")
    }
}
