// The result of `berth-bench economy`: what each rule's hits saved, as a table or JSON, and whether the economy keeps what it promises.
//
// What is promised is promised of the mean over the seeds. In a short replay a single line says little: of 600 requests some dozens fall out otherwise by luck alone,
// which is more than half a point.

import BerthCore

struct EconomyReport {
    /// A workload in a pool of a size. Values are per cent of the cost without any cache that hits saved, by seed.
    struct Line {
        var workload: String
        /// With the first seed; pools are a part of what a workload uses.
        var pages: Int
        var costsDiffer: Bool
        var economy: [Double]
        var lru: [Double]
        var gdsf: [Double]
        /// In a pool that holds everything.
        var most: [Double]

        var gains: [Double] { zip(economy, lru).map { $0 - $1 } }
        var gain: Double { mean(gains) }
        var isKept: Bool { gain >= -EconomyReport.tolerance }

        /// The same line of another seed joins.
        mutating func append(_ other: Line) {
            economy += other.economy
            lru += other.lru
            gdsf += other.gdsf
            most += other.most
        }
    }

    /// Points of value that the economy may be below LRU, in the mean.
    static let tolerance = 0.5

    var lines: [Line]

    /// Workloads whose pages differ in cost and where the economy, over all sizes of the pool, is not better than LRU.
    var notBetter: [String] {
        let gains = Dictionary(grouping: lines.filter(\.costsDiffer), by: \.workload).mapValues { $0.reduce(0) { $0 + $1.gain } }
        return gains.filter { $0.value <= 0 }.keys.sorted()
    }

    var isKept: Bool { lines.allSatisfy(\.isKept) && notBetter.isEmpty }

    /// With several seeds there are two columns more: the standard error of the gain, and the worst of the gains.
    var table: String {
        let hasSeeds = lines.contains { $0.gains.count > 1 }
        var table = TextTable(["value of hits, per cent", "pages", "economy", "LRU", "GDSF", "all fits", "economy - LRU"] + (hasSeeds ? ["+-", "worst"] : []) + [""])
        for line in lines {
            let values = [line.economy, line.lru, line.gdsf, line.most, line.gains].map(mean) + (hasSeeds ? [standardError(line.gains), line.gains.min() ?? 0] : [])
            table.append([line.workload, "\(line.pages)"] + values.map { fixed($0, 2) } + [line.isKept ? "kept" : "BROKEN"])
        }
        return ([table.text] + notBetter.map { "BROKEN: no better than LRU, though costs differ: \($0)" }).joined(separator: "\n")
    }

    var json: JSON {
        [
            "kept": .bool(isKept), "notBetter": .array(notBetter.map { .string($0) }),
            "lines": .array(lines.map { line in
                [
                    "workload": .string(line.workload), "pages": JSON(line.pages), "costsDiffer": .bool(line.costsDiffer), "economy": .number(mean(line.economy)),
                    "lru": .number(mean(line.lru)), "gdsf": .number(mean(line.gdsf)), "everything": .number(mean(line.most)), "kept": .bool(line.isKept),
                    "gains": .array(line.gains.map { .number($0) }), "standardError": .number(standardError(line.gains)),
                ]
            }),
        ]
    }
}
