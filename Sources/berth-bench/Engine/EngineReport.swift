// The result of `berth-bench steps`, as JSON for machines and a table for people.

import BerthCore

struct EngineReport {
    struct Result {
        var requests: Int
        var steps: Int
        /// Per step, by round.
        var stepSeconds: [Double] = []
        var forwardSeconds: [Double] = []
        /// Of one measurement: one for each request and step.
        var generatedTokens = 0

        var step: Double { median(stepSeconds) }
        /// What the engine takes beside the model, in each step.
        var overhead: Double { median(zip(stepSeconds, forwardSeconds).map { $0 - $1 }) }
        var forwardShare: Double { median(zip(stepSeconds, forwardSeconds).map { $1 / $0 }) }
    }

    var results: [Result]

    var json: JSON {
        [
            "results": .array(
                results.map { result in
                    [
                        "requests": JSON(result.requests), "steps": JSON(result.steps), "stepsPerSecond": .number(1 / result.step),
                        "stepMicroseconds": .number(result.step * 1e6), "forwardMicroseconds": .number(median(result.forwardSeconds) * 1e6),
                        "engineMicroseconds": .number(result.overhead * 1e6),
                        "engineMicrosecondsPerRequest": .number(result.overhead * 1e6 / Double(result.requests)),
                        "forwardShare": .number(result.forwardShare),
                    ]
                })
        ]
    }

    var table: String {
        var table = TextTable(["requests", "steps/s", "µs/step", "µs model", "µs engine", "µs engine/request", "% model"])
        for result in results {
            table.append([
                String(result.requests), fixed(1 / result.step, 0), fixed(result.step * 1e6, 1), fixed(median(result.forwardSeconds) * 1e6, 1),
                fixed(result.overhead * 1e6, 1), fixed(result.overhead * 1e6 / Double(result.requests), 2), fixed(result.forwardShare * 100, 0),
            ])
        }
        return table.text
    }
}
