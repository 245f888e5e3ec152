// The result of `berth-bench waves`, as JSON for machines and a table for people.

import BerthCore
import BerthEngine

struct WaveReport {
    struct Run {
        var seconds: Double
        var generatedTokens: Int
        var bytesRead = 0
        /// As the engine saw itself at the end.
        var waves = WaveStatus()
        var tokensPerSecond: Double { Double(generatedTokens) / seconds }
    }

    struct Result {
        let size: String
        /// By round.
        var runs: [Run] = []

        func middle(_ value: (Run) -> Double) -> Double { median(runs.map(value)) }
    }

    var results: [Result]

    var json: JSON {
        [
            "results": .array(
                results.map { result in
                    [
                        "size": .string(result.size), "seconds": .number(result.middle(\.seconds)), "tokensPerSecond": .number(result.middle(\.tokensPerSecond)),
                        "allSeconds": .array(result.runs.map { .number($0.seconds) }), "bytesRead": .number(result.middle { Double($0.bytesRead) }),
                        "waves": .number(result.middle { Double($0.waves.waves) }), "requests": .number(result.middle { Double($0.waves.lastRequests) }),
                        "foreseenSeconds": .number(result.middle(\.waves.foreseenSeconds)), "measuredSeconds": .number(result.middle(\.waves.measuredSeconds)),
                    ]
                })
        ]
    }

    var table: String {
        var table = TextTable(["size", "tokens/s", "s", "GB read", "MB/token", "waves", "requests in the last", "s foreseen", "s measured"])
        for result in results {
            let bytes = result.middle { Double($0.bytesRead) }
            table.append([
                result.size, fixed(result.middle(\.tokensPerSecond), 1), fixed(result.middle(\.seconds), 1), fixed(bytes / 1e9, 2),
                fixed(bytes / result.middle { Double($0.generatedTokens) } / 1e6, 2), fixed(result.middle { Double($0.waves.waves) }, 0),
                fixed(result.middle { Double($0.waves.lastRequests) }, 0), fixed(result.middle(\.waves.foreseenSeconds), 2),
                fixed(result.middle(\.waves.measuredSeconds), 2),
            ])
        }
        return table.text
    }
}
