// What this machine can do at most, measured: the yardstick of every kernel benchmark.

import CKernels
import Glibc

/// Measured peaks of some threads together, with the instructions that a table of kernels uses. Operations are multiplications and additions.
public struct MachinePeaks: Sendable {
    public let threads: Int
    /// What linear layers over f32 weights are made of: fused multiply-adds.
    public let f32OperationsPerSecond: Double
    /// Over bf16 weights: dot products of pairs where there are such, else as f32.
    public let bf16OperationsPerSecond: Double
    /// Over int8 weights: dot products of bytes into 32 bits, in as many instructions as the table needs.
    public let int8OperationsPerSecond: Double
    /// The same over int4 weights, whose products may add up in 16 bits.
    public let int4OperationsPerSecond: Double
    /// Reading memory that is in no cache.
    public let readBytesPerSecond: Double

    /// Measures with the threads and the kernels of `compute`. Takes about `seconds` for each of the five.
    public static func measure(_ compute: Compute, seconds: Double, readBytes: Int) -> MachinePeaks {
        let page = 4096, perThread = max(page, readBytes / compute.threads / page * page)
        let memory = AlignedBuffer(bytes: perThread * compute.threads)
        memset(memory.base, 1, memory.bytes)
        func best(_ once: (Int) -> Double) -> Double {
            var rate = 0.0
            let end = monotonicSeconds() + seconds
            repeat {
                let start = monotonicSeconds()
                let amounts = UnsafeMutablePointer<Double>.allocate(capacity: compute.threads)
                compute.parallel(compute.threads) { amounts[$0] = once($0) }
                let amount = (0..<compute.threads).reduce(0.0) { $0 + amounts[$1] }
                amounts.deallocate()
                rate = max(rate, amount / (monotonicSeconds() - start))
            } while monotonicSeconds() < end
            return rate
        }
        let table = compute.table.pointee
        let iterations = Int(min(2e6, max(1e4, seconds * 2e7)))
        return MachinePeaks(
            threads: compute.threads,
            f32OperationsPerSecond: best { _ in table.peakF32(iterations) },
            bf16OperationsPerSecond: best { _ in table.peakBF16(iterations) },
            int8OperationsPerSecond: best { _ in table.peakInt8(iterations) },
            int4OperationsPerSecond: best { _ in table.peakInt4(iterations) },
            readBytesPerSecond: best { thread in
                _ = table.measureRead(memory.base + thread * perThread, perThread)
                return Double(perThread)
            })
    }
}

/// Seconds of a clock that only goes forward, for measuring.
public func monotonicSeconds() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
}
