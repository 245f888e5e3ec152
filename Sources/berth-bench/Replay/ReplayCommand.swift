// `berth-bench replay`: what each rule of eviction would have hit on a recorded routing.

import ArgumentParser
import BerthCore
import BerthEngine

struct ReplayCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "replay", abstract: "Hit rates of eviction rules on a recorded routing (.npz, or what --record-routing wrote).")

    @Argument(help: "The recorded routing.") var trace: String
    @Option(help: "Budgets in per cent of all experts, comma-separated.") var budgets = "5,12.5,25,50,75,95"
    @Option(help: "Seed of the rules that choose by chance.") var seed: UInt64 = 1
    @Option(help: "Draw the curves into this file, as SVG.") var svg: String?
    @Flag(help: "Print JSON instead of a table.") var json = false

    func run() throws {
        let report = try Self.replay(RoutingTrace(file: trace), budgets: Self.percentages(budgets), seed: seed)
        if let svg { try TextFile.write(report.svg, to: svg) }
        print(json ? report.json.text : report.table)
    }

    func validate() throws { _ = try Self.percentages(budgets) }

    static func percentages(_ list: String) throws -> [Double] {
        try list.split(separator: ",", omittingEmptySubsequences: false).map { part in
            guard let value = Double(part), value > 0, value <= 100 else { throw ValidationError("no per cent: \(part)") }
            return value
        }
    }

    static func replay(_ trace: RoutingTrace, budgets: [Double], seed: UInt64, rules: [ReplayRule] = ReplayRule.all) -> ReplayReport {
        let lines = rules.map { rule in
            let rates = budgets.map { budget in
                let (hits, wanted) = rule.run(trace, capacity: Int(Double(trace.shape.count) * budget / 100), seed: seed)
                return Double(hits) / Double(max(wanted, 1))
            }
            return ReplayReport.Line(rule: rule.name, hitRates: rates)
        }
        return ReplayReport(budgets: budgets, lines: lines)
    }
}
