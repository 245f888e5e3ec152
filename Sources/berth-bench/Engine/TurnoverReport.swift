// The result of `berth-bench turnover`, as JSON for machines and a table for people.

import BerthCore

struct TurnoverReport {
    struct Run {
        var steps = 0
        var seconds = 0.0
        /// Of these, the model's.
        var forwardSeconds = 0.0
        var generatedTokens = 0
        /// Tokens of prompts that were not computed: of prompts that all begin differently, hardly any.
        var cachedTokens = 0
        /// Blocks that left the cache for others.
        var evictedBlocks = 0

        /// What the engine takes beside the model.
        var engineSeconds: Double { seconds - forwardSeconds }
    }

    var with: [Run] = []
    var without: [Run] = []

    /// Throughput with the cache by that without, were the model equally fast in both: its time is the median of all runs.
    var throughputRatio: Double {
        let forward = median((with + without).map(\.forwardSeconds))
        return (forward + median(without.map(\.engineSeconds))) / (forward + median(with.map(\.engineSeconds)))
    }

    var json: JSON {
        func part(_ runs: [Run]) -> JSON {
            [
                "steps": JSON(runs[0].steps), "generatedTokens": JSON(runs[0].generatedTokens), "cachedTokens": JSON(runs[0].cachedTokens),
                "evictedBlocks": JSON(runs[0].evictedBlocks),
                "modelSeconds": .array(runs.map { .number($0.forwardSeconds) }), "engineSeconds": .array(runs.map { .number($0.engineSeconds) }),
            ]
        }
        return ["withCache": part(with), "withoutCache": part(without), "throughputRatio": .number(throughputRatio)]
    }

    var table: String {
        var table = TextTable(["prefix cache", "steps", "tokens/s", "µs/step model", "µs/step engine", "% engine", "evicted"])
        for (name, runs) in [("on", with), ("off", without)] {
            let steps = Double(runs[0].steps)
            table.append([
                name, String(runs[0].steps), fixed(median(runs.map { Double($0.generatedTokens) / $0.seconds }), 1),
                fixed(median(runs.map(\.forwardSeconds)) / steps * 1e6, 0), fixed(median(runs.map(\.engineSeconds)) / steps * 1e6, 1),
                fixed(median(runs.map { $0.engineSeconds / $0.seconds }) * 100, 2), String(runs[0].evictedBlocks),
            ])
        }
        return table.text + "\nThroughput with a cache that never hits, by that without: \(fixed(throughputRatio, 4))\n"
    }
}
