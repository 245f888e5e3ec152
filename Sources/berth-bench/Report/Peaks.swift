// The machine's measured peaks as every report needs them: per weight format, the best of several measurements, printed.

import BerthCore
import BerthKernels

/// Peaks of some threads together; 0 where the processor lacks the instruction.
struct Peaks {
    var threads: Int
    var f32OperationsPerSecond, int8OperationsPerSecond, bf16OperationsPerSecond: Double
    var readBytesPerSecond: Double

    /// Measures with the threads of `compute`, about `seconds` for each peak.
    init(_ compute: Compute, seconds: Double, readBytes: Int) {
        let measured = MachinePeaks.measure(compute, seconds: seconds, readBytes: readBytes)
        threads = measured.threads
        f32OperationsPerSecond = measured.f32OperationsPerSecond
        int8OperationsPerSecond = measured.int8OperationsPerSecond
        bf16OperationsPerSecond = measured.bf16OperationsPerSecond
        readBytesPerSecond = measured.readBytesPerSecond
    }

    /// Takes over what another measurement with the same threads found better.
    mutating func improve(by other: Peaks) {
        f32OperationsPerSecond = max(f32OperationsPerSecond, other.f32OperationsPerSecond)
        int8OperationsPerSecond = max(int8OperationsPerSecond, other.int8OperationsPerSecond)
        bf16OperationsPerSecond = max(bf16OperationsPerSecond, other.bf16OperationsPerSecond)
        readBytesPerSecond = max(readBytesPerSecond, other.readBytesPerSecond)
    }

    /// The peak that the kernels of a weight format could reach with the instructions they use.
    func operationsPerSecond(of format: WeightFormat) -> Double {
        switch format {
        case .f32: f32OperationsPerSecond
        case .bf16: max(bf16OperationsPerSecond, f32OperationsPerSecond)
        case .int8, .int4: max(int8OperationsPerSecond, f32OperationsPerSecond)
        }
    }

    var json: JSON {
        [
            "threads": JSON(threads), "f32OperationsPerSecond": .number(f32OperationsPerSecond),
            "int8OperationsPerSecond": .number(int8OperationsPerSecond), "bf16OperationsPerSecond": .number(bf16OperationsPerSecond),
            "readBytesPerSecond": .number(readBytesPerSecond),
        ]
    }

    var line: String {
        "\(threads) thread\(threads == 1 ? "" : "s"): f32 \(giga(f32OperationsPerSecond)) Gop/s, int8 \(giga(int8OperationsPerSecond)), "
            + "bf16 \(giga(bf16OperationsPerSecond)), read \(giga(readBytesPerSecond)) GB/s"
    }
}
