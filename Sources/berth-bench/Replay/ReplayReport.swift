// The result of `berth-bench replay`: hit rates by rule and budget, as a table, JSON or a drawing.

import BerthCore

struct ReplayReport {
    struct Line {
        var rule: String
        /// By budget.
        var hitRates: [Double]
    }

    /// In per cent of all experts.
    var budgets: [Double]
    var lines: [Line]

    var table: String {
        var table = TextTable(["rule"] + budgets.map { "\(fixed($0, $0 == $0.rounded() ? 0 : 1)) %" })
        for line in lines { table.append([line.rule] + line.hitRates.map { fixed($0, 3) }) }
        return table.text
    }

    var json: JSON {
        [
            "budgetsPercent": .array(budgets.map { .number($0) }),
            "rules": .array(lines.map { ["rule": .string($0.rule), "hitRates": .array($0.hitRates.map { .number($0) })] }),
        ]
    }

    /// Hit rates over budgets, a line for each rule.
    var svg: String {
        let (width, height, left, top) = (640.0, 400.0, 50.0, 20.0)
        func x(_ percent: Double) -> String { fixed(left + percent / 100 * width, 1) }
        func y(_ rate: Double) -> String { fixed(top + (1 - rate) * height, 1) }
        var parts = ["<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 900 460\" font-family=\"sans-serif\" font-size=\"12\">", "<rect width=\"900\" height=\"460\" fill=\"white\"/>"]
        for tenth in stride(from: 0, through: 10, by: 2) {
            let value = Double(tenth) / 10
            parts.append("<path d=\"M\(x(0)) \(y(value))H\(x(100))M\(x(value * 100)) \(y(0))V\(y(1))\" stroke=\"#ddd\" fill=\"none\"/>")
            parts.append("<text x=\"\(fixed(left - 8, 1))\" y=\"\(y(value))\" text-anchor=\"end\" dominant-baseline=\"middle\">\(fixed(value, 1))</text>")
            parts.append("<text x=\"\(x(value * 100))\" y=\"\(fixed(top + height + 18, 1))\" text-anchor=\"middle\">\(fixed(value * 100, 0)) %</text>")
        }
        for (number, line) in lines.enumerated() {
            let colour = "hsl(\(number * 360 / max(lines.count, 1)),70%,42%)"
            let points = zip(budgets, line.hitRates).map { "\(x($0)),\(y($1))" }.joined(separator: " ")
            parts.append("<polyline points=\"\(points)\" fill=\"none\" stroke=\"\(colour)\" stroke-width=\"1.5\"/>")
            parts.append("<text x=\"\(fixed(left + width + 14, 1))\" y=\"\(fixed(top + 12 + Double(number) * 18, 1))\" fill=\"\(colour)\">\(line.rule)</text>")
        }
        return (parts + ["</svg>", ""]).joined(separator: "\n")
    }
}
