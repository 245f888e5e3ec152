// The machine's measured peaks as every report needs them: per weight format, the best of several measurements, printed.

import BerthCore
import BerthKernels

/// Peaks of some threads together, with the instructions of one table of kernels.
struct Peaks {
    var threads: Int
    var f32OperationsPerSecond, bf16OperationsPerSecond, int8OperationsPerSecond, int4OperationsPerSecond: Double
    var readBytesPerSecond: Double

    /// Measures with the threads and the kernels of `compute`, about `seconds` for each peak.
    init(_ compute: Compute, seconds: Double, readBytes: Int) {
        let measured = MachinePeaks.measure(compute, seconds: seconds, readBytes: readBytes)
        threads = measured.threads
        f32OperationsPerSecond = measured.f32OperationsPerSecond
        bf16OperationsPerSecond = measured.bf16OperationsPerSecond
        int8OperationsPerSecond = measured.int8OperationsPerSecond
        int4OperationsPerSecond = measured.int4OperationsPerSecond
        readBytesPerSecond = measured.readBytesPerSecond
    }

    /// Takes over what another measurement with the same threads found better.
    mutating func improve(by other: Peaks) {
        f32OperationsPerSecond = max(f32OperationsPerSecond, other.f32OperationsPerSecond)
        bf16OperationsPerSecond = max(bf16OperationsPerSecond, other.bf16OperationsPerSecond)
        int8OperationsPerSecond = max(int8OperationsPerSecond, other.int8OperationsPerSecond)
        int4OperationsPerSecond = max(int4OperationsPerSecond, other.int4OperationsPerSecond)
        readBytesPerSecond = max(readBytesPerSecond, other.readBytesPerSecond)
    }

    /// The peak that the kernels of a weight format could reach with the instructions they use.
    func operationsPerSecond(of format: WeightFormat) -> Double {
        switch format {
        case .f32: f32OperationsPerSecond
        case .bf16: bf16OperationsPerSecond
        case .int8: int8OperationsPerSecond
        case .int4: int4OperationsPerSecond
        }
    }

    var json: JSON {
        [
            "threads": JSON(threads), "f32OperationsPerSecond": .number(f32OperationsPerSecond),
            "int8OperationsPerSecond": .number(int8OperationsPerSecond), "bf16OperationsPerSecond": .number(bf16OperationsPerSecond),
            "int4OperationsPerSecond": .number(int4OperationsPerSecond),
            "readBytesPerSecond": .number(readBytesPerSecond),
        ]
    }

    var line: String {
        "\(threads) thread\(threads == 1 ? "" : "s"): f32 \(giga(f32OperationsPerSecond)) Gop/s, bf16 \(giga(bf16OperationsPerSecond)), "
            + "int8 \(giga(int8OperationsPerSecond)), int4 \(giga(int4OperationsPerSecond)), read \(giga(readBytesPerSecond)) GB/s"
    }
}
