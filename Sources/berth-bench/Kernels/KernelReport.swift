// The result of `berth-bench kernels`, as JSON for machines and a table for people.

import BerthCore
import BerthKernels

struct KernelReport {
    struct Result {
        var name: String
        var rows: Int
        var seconds: Double
        var operations, bytes: Double
        var peakOperations, peakBytes: Double

        /// How much of the time the slower of two limits would take anyway, computing at the peak or reading at the peak.
        var percentOfLimit: Double { 100 * max(operations / peakOperations, bytes / peakBytes) / seconds }
        var percentOfCompute: Double { 100 * operations / peakOperations / seconds }
        var percentOfRead: Double { 100 * bytes / peakBytes / seconds }

        var json: JSON {
            [
                "name": .string(name), "rows": JSON(rows), "microseconds": .number(seconds * 1e6),
                "operationsPerSecond": .number(operations / seconds), "bytesPerSecond": .number(bytes / seconds),
                "percentOfLimit": .number(percentOfLimit), "percentOfCompute": .number(percentOfCompute), "percentOfRead": .number(percentOfRead),
            ]
        }
    }

    var kernels: String
    var oneThread, allThreads: Peaks
    /// What opening and closing an empty parallel section costs.
    var sectionMicroseconds = 0.0
    var results: [Result] = []

    var json: JSON {
        [
            "kernels": .string(kernels), "peaks": .array([oneThread.json, allThreads.json]), "sectionMicroseconds": .number(sectionMicroseconds),
            "results": .array(results.map(\.json)),
        ]
    }

    var table: String {
        var lines = ["kernels \(kernels), an empty section takes \(fixed(sectionMicroseconds, 1)) µs", oneThread.line]
        if allThreads.threads > 1 { lines.append(allThreads.line) }
        var table = TextTable(["kernel", "rows", "µs", "Gop/s", "GB/s", "% compute", "% read", "% limit"])
        for r in results {
            table.append([
                r.name, String(r.rows), fixed(r.seconds * 1e6, 1), giga(r.operations / r.seconds), giga(r.bytes / r.seconds),
                fixed(r.percentOfCompute, 0), fixed(r.percentOfRead, 0), fixed(r.percentOfLimit, 0),
            ])
        }
        return (lines + [table.text]).joined(separator: "\n")
    }
}
