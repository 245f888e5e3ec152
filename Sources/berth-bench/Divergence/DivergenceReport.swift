// The result of `berth-bench divergence`, as JSON for machines and a table for people.

import BerthCore

struct DivergenceReport {
    var reference: String
    var windows: Int
    var windowTokens: Int
    var results: [(name: String, divergence: Divergence)] = []

    var json: JSON {
        [
            "reference": .string(reference), "windows": JSON(windows), "windowTokens": JSON(windowTokens),
            "results": .array(
                results.map { name, result in
                    [
                        "name": .string(name), "tokens": JSON(result.nats.count), "meanNats": .number(result.mean), "standardError": .number(result.error),
                        "medianNats": .number(median(result.nats)), "percentile99Nats": .number(percentile(0.99, of: result.nats)),
                        "largestNats": .number(result.nats.max() ?? 0), "topAgreementPercent": .number(100 * result.agreement),
                        "perplexity": .number(result.perplexity), "referencePerplexity": .number(result.referencePerplexity),
                    ]
                }),
        ]
    }

    var table: String {
        var table = TextTable(["KL(\(reference) ‖ …), nats", "mean", "± error", "median", "99 %", "largest", "% same top", "perplexity", "of reference"])
        for (name, result) in results {
            table.append([
                name, scientific(result.mean), scientific(result.error), scientific(median(result.nats)), scientific(percentile(0.99, of: result.nats)),
                scientific(result.nats.max() ?? 0), fixed(100 * result.agreement, 2), fixed(result.perplexity, 4), fixed(result.referencePerplexity, 4),
            ])
        }
        return "\(windows) windows of \(windowTokens) tokens\n" + table.text
    }
}
