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
        LinePlot(
            x: LinePlot.Axis(most: 100) { "\(fixed($0, 0)) %" }, y: LinePlot.Axis(most: 1) { fixed($0, 1) },
            lines: lines.map { line in LinePlot.Line(name: line.rule, points: zip(budgets, line.hitRates).map { (x: $0, y: $1) }) }
        ).svg
    }
}
