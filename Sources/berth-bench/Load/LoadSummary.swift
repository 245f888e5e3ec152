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
        func cell(_ value: Double, _ digits: Int) -> String {
            let scale = (0..<digits).reduce(1.0) { result, _ in result * 10 }
            return "\((value * scale).rounded() / scale)"
        }
        var lines = ["| target | tokens/s | first token, s | gap, ms | errors |", "|---|---|---|---|---|"]
        for summary in summaries {
            lines.append(
                "| \(summary.name) | \(cell(summary.tokensPerSecond, 1)) | \(cell(summary.firstToken, 3)) | \(cell(summary.gap * 1000, 1)) | \(summary.errors) |")
            if let error = summary.rounds.lazy.compactMap(\.firstError).first { lines.append("first error of \(summary.name): \(error)") }
        }
        return lines.joined(separator: "\n")
    }
}

/// The middle value; 0 of none.
func median(_ values: [Double]) -> Double {
    let sorted = values.sorted()
    guard !sorted.isEmpty else { return 0 }
    let middle = sorted.count / 2
    return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}
