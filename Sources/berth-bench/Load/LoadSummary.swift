// The rounds of one target as medians.

import BerthCore

struct LoadSummary {
    var name: String
    var rounds: [LoadRound]

    private var tokensPerSecond: Double { median(rounds.map(\.tokensPerSecond)) }
    private var firstToken: Double { median(rounds.flatMap(\.firstTokenSeconds)) }
    private var gap: Double { median(rounds.flatMap(\.gapSeconds)) }
    private var errors: Int { rounds.map(\.errors).reduce(0, +) }

    var json: JSON {
        [
            "target": .string(name), "tokens_per_second": .number(tokensPerSecond),
            "tokens_per_second_rounds": .array(rounds.map { .number($0.tokensPerSecond) }), "first_token_seconds": .number(firstToken),
            "gap_seconds": .number(gap), "errors": JSON(errors), "first_error": rounds.lazy.compactMap(\.firstError).first.map(JSON.string) ?? .null,
        ]
    }

    static func table(_ summaries: [LoadSummary]) -> String {
        var lines = ["| target | tokens/s | first token, s | gap, ms | errors |", "|---|---|---|---|---|"]
        for summary in summaries {
            lines.append(
                "| \(summary.name) | \(fixed(summary.tokensPerSecond, 1)) | \(fixed(summary.firstToken, 3)) | \(fixed(summary.gap * 1000, 1)) | \(summary.errors) |")
            if let error = summary.rounds.lazy.compactMap(\.firstError).first { lines.append("first error of \(summary.name): \(error)") }
        }
        return lines.joined(separator: "\n")
    }
}
