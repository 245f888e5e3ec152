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
    var oneThread, allThreads: MachinePeaks
    /// What opening and closing an empty parallel section costs.
    var sectionMicroseconds = 0.0
    var results: [Result] = []

    var json: JSON {
        func peaks(_ p: MachinePeaks) -> JSON {
            [
                "threads": JSON(p.threads), "f32OperationsPerSecond": .number(p.f32OperationsPerSecond),
                "int8OperationsPerSecond": .number(p.int8OperationsPerSecond), "bf16OperationsPerSecond": .number(p.bf16OperationsPerSecond),
                "readBytesPerSecond": .number(p.readBytesPerSecond),
            ]
        }
        return [
            "kernels": .string(kernels), "peaks": .array([peaks(oneThread), peaks(allThreads)]), "sectionMicroseconds": .number(sectionMicroseconds),
            "results": .array(results.map(\.json)),
        ]
    }

    var table: String {
        var lines = ["kernels \(kernels), an empty section takes \(Self.fixed(sectionMicroseconds, 1)) µs"]
        for p in [oneThread, allThreads] {
            lines.append(
                "\(p.threads) thread\(p.threads == 1 ? "" : "s"): f32 \(Self.giga(p.f32OperationsPerSecond)) Gop/s, int8 \(Self.giga(p.int8OperationsPerSecond)), "
                    + "bf16 \(Self.giga(p.bf16OperationsPerSecond)), read \(Self.giga(p.readBytesPerSecond)) GB/s")
        }
        let width = results.map(\.name.count).max() ?? 0
        let head = Self.pad("kernel", width) + ["rows", "µs", "Gop/s", "GB/s", "% compute", "% read", "% limit"].map { Self.left($0, 11) }.joined()
        lines.append(head)
        for r in results {
            let columns = [
                String(r.rows), Self.fixed(r.seconds * 1e6, 1), Self.giga(r.operations / r.seconds), Self.giga(r.bytes / r.seconds),
                Self.fixed(r.percentOfCompute, 0), Self.fixed(r.percentOfRead, 0), Self.fixed(r.percentOfLimit, 0),
            ]
            lines.append(Self.pad(r.name, width) + columns.map { Self.left($0, 11) }.joined())
        }
        return lines.joined(separator: "\n")
    }

    private static func giga(_ value: Double) -> String { fixed(value / 1e9, 1) }
    private static func pad(_ text: String, _ width: Int) -> String { text + String(repeating: " ", count: max(0, width - text.count)) }
    private static func left(_ text: String, _ width: Int) -> String { String(repeating: " ", count: max(1, width - text.count)) + text }

    /// A number with so many decimals.
    private static func fixed(_ value: Double, _ decimals: Int) -> String {
        guard value.isFinite else { return "-" }
        let scale = decimals == 0 ? 1.0 : 10.0
        let scaled = Int((value * scale).rounded())
        return decimals == 0 ? String(scaled) : "\(scaled / 10).\(abs(scaled % 10))"
    }
}
