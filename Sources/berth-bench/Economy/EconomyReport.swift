// The result of `berth-bench economy`: what each rule's hits saved, as a table or JSON, and whether the economy keeps what it promises.

import BerthCore

struct EconomyReport {
    /// A workload in a pool of a size. Values are per cent of the cost without any cache that hits saved.
    struct Line {
        var workload: String
        var pages: Int
        var costsDiffer: Bool
        var economy: Double
        var lru: Double
        var gdsf: Double
        /// In a pool that holds everything.
        var most: Double

        var gain: Double { economy - lru }
        var isKept: Bool { gain >= -EconomyReport.tolerance }
    }

    /// Points of value that the economy may be below LRU.
    static let tolerance = 0.5

    var lines: [Line]

    /// Workloads whose pages differ in cost and where the economy, over all sizes of the pool, is not better than LRU.
    var notBetter: [String] {
        let gains = Dictionary(grouping: lines.filter(\.costsDiffer), by: \.workload).mapValues { $0.reduce(0) { $0 + $1.gain } }
        return gains.filter { $0.value <= 0 }.keys.sorted()
    }

    var isKept: Bool { lines.allSatisfy(\.isKept) && notBetter.isEmpty }

    var table: String {
        var table = TextTable(["value of hits, per cent", "pages", "economy", "LRU", "GDSF", "all fits", "economy - LRU", ""])
        for line in lines {
            table.append(
                [line.workload, "\(line.pages)"] + [line.economy, line.lru, line.gdsf, line.most, line.gain].map { fixed($0, 2) } + [line.isKept ? "kept" : "BROKEN"])
        }
        return ([table.text] + notBetter.map { "BROKEN: no better than LRU, though costs differ: \($0)" }).joined(separator: "\n")
    }

    var json: JSON {
        [
            "kept": .bool(isKept), "notBetter": .array(notBetter.map { .string($0) }),
            "lines": .array(lines.map { line in
                [
                    "workload": .string(line.workload), "pages": JSON(line.pages), "costsDiffer": .bool(line.costsDiffer), "economy": .number(line.economy),
                    "lru": .number(line.lru), "gdsf": .number(line.gdsf), "everything": .number(line.most), "kept": .bool(line.isKept),
                ]
            }),
        ]
    }
}
