// A run of `berth-bench simulate`, as a table, JSON or drawings.

import BerthCore
import BerthSimulator

extension SimulationReport {
    private static let shown = [0.5, 0.9, 0.99]

    var table: String {
        var table = TextTable(["tenant", "requests", "finished", "failed", "tokens/s", "share", "first token, s: 50 %", "90 %", "99 %", "gap, ms: 50 %", "99 %"])
        for tenant in tenants {
            let failed = tenant.failed.values.reduce(0, +)
            table.append(
                [tenant.name.text, String(tenant.requests), String(tenant.finished), String(failed), fixed(Double(tenant.outputTokens) / max(seconds, 1e-9), 1), fixed(share(tenant), 3)]
                    + Self.shown.map { fixed(tenant.firstToken.percentile($0), 3) } + [0.5, 0.99].map { fixed(tenant.gap.percentile($0) * 1000, 1) })
        }
        if tenants.count > 1 {
            table.append(
                ["all", String(requests), String(tenants.reduce(0) { $0 + $1.finished }), String(tenants.reduce(0) { $0 + $1.failed.values.reduce(0, +) }), fixed(tokensPerSecond, 1), "1.000"]
                    + Self.shown.map { fixed(firstToken.percentile($0), 3) } + [0.5, 0.99].map { fixed(gap.percentile($0) * 1000, 1) })
        }
        return ([table.text] + notes).joined(separator: "\n")
    }

    private func share(_ tenant: Tenant) -> Double { Double(tenant.outputTokens) / Double(max(outputTokens, 1)) }

    private var notes: [String] {
        var notes = [
            "\(fixed(seconds, 1)) s, \(counters.steps) steps (\(counters.waves) waves), \(counters.preemptions) preemptions, decisions \(String(digest, radix: 16))"
        ]
        if let rate = adapterHitRate {
            notes.append("adapters: \(fixed(rate * 100, 1)) % of requests found theirs in memory, \(counters.adapterLoads) reads, \(counters.adapterEvictions) evictions")
        }
        if let rate = experts?.hitRate { notes.append("experts: \(fixed(rate * 100, 1)) % of uses found theirs in memory") }
        let reasons = tenants.reduce(into: [String: Int]()) { sums, tenant in sums.merge(tenant.failed, uniquingKeysWith: +) }
        for (reason, count) in reasons.sorted(by: { $0.key < $1.key }) { notes.append("\(count) requests failed: \(reason)") }
        return notes
    }

    var json: JSON {
        func durations(_ histogram: DurationHistogram) -> JSON {
            ["mean": .number(histogram.mean), "p50": .number(histogram.percentile(0.5)), "p90": .number(histogram.percentile(0.9)), "p99": .number(histogram.percentile(0.99))]
        }
        return [
            "seed": .string(String(seed)), "seconds": .number(seconds), "tokensPerSecond": .number(tokensPerSecond), "requests": JSON(requests),
            "firstTokenSeconds": durations(firstToken), "gapSeconds": durations(gap), "preemptions": JSON(counters.preemptions), "steps": JSON(counters.steps),
            "adapterHitRate": adapterHitRate.map { .number($0) } ?? .null, "expertHitRate": experts?.hitRate.map { .number($0) } ?? .null,
            "decisions": .string(String(digest, radix: 16)), "violation": violation.map { .string($0.description) } ?? .null,
            "tenants": .array(
                tenants.map { tenant in
                    [
                        "tenant": .string(tenant.name.text), "requests": JSON(tenant.requests), "finished": JSON(tenant.finished), "cancelled": JSON(tenant.cancelled),
                        "failed": JSON(tenant.failed.values.reduce(0, +)), "promptTokens": JSON(tenant.promptTokens), "outputTokens": JSON(tenant.outputTokens),
                        "firstTokenSeconds": durations(tenant.firstToken), "gapSeconds": durations(tenant.gap),
                    ]
                }),
        ]
    }

    /// First tokens by tenant, tokens over time, and who holds the pool.
    func svg(pages: Int) -> String {
        let slowest = firstToken.percentile(0.995)
        let first = LinePlot(
            x: LinePlot.Axis(name: "seconds to the first token", most: slowest) { fixed($0, slowest < 1 ? 3 : 1) },
            y: LinePlot.Axis(name: "of all requests", most: 1) { fixed($0, 1) },
            lines: tenants.map { LinePlot.Line(name: $0.name.text, points: $0.firstToken.curve.map { ($0.seconds, $0.fraction) }) })
        let time = LinePlot.Axis(name: "seconds", most: seconds) { fixed($0, 0) }
        let pairs = zip(samples, samples.dropFirst())
        let rates = tenants.indices.map { tenant in
            LinePlot.Line(name: tenants[tenant].name.text, points: pairs.map { ($1.seconds, Double($1.tokens[tenant]) / max($1.seconds - $0.seconds, 1e-9)) })
        }
        let fastest = rates.flatMap(\.points).map(\.y).max() ?? 1
        let pool: [(String, KeyPath<Sample, Int>)] = [("KV", \.kvPages), ("adapters", \.adapterPages), ("experts", \.expertPages)]
        return LinePlot.column([
            first, LinePlot(x: time, y: LinePlot.Axis(name: "tokens/s", most: max(fastest, 1)) { fixed($0, 0) }, lines: rates),
            LinePlot(
                x: time, y: LinePlot.Axis(name: "pages", most: Double(pages)) { fixed($0, 0) },
                lines: pool.map { name, path in LinePlot.Line(name: name, points: samples.map { ($0.seconds, Double($0[keyPath: path])) }) }),
        ])
    }
}
