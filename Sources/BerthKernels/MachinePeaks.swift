// What this machine can do at most, measured: the yardstick of every kernel benchmark.

import CKernels
import Glibc

/// Measured peaks of some threads together. Operations are multiplications and additions; a peak is 0 where the processor lacks
/// the instruction (or the kernels that were asked for do not use it).
public struct MachinePeaks: Sendable {
    public let threads: Int
    /// f32 fused multiply-adds.
    public let f32OperationsPerSecond: Double
    /// 8-bit dot products into 32 bits.
    public let int8OperationsPerSecond: Double
    /// bf16 dot products into f32.
    public let bf16OperationsPerSecond: Double
    /// Reading memory that is in no cache.
    public let readBytesPerSecond: Double

    /// Measures with the threads of `compute`. Takes about `seconds` for each of the four.
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
        let iterations = Int(min(2e6, max(1e4, seconds * 2e7)))
        return MachinePeaks(
            threads: compute.threads,
            f32OperationsPerSecond: best { _ in measure_f32(iterations) },
            int8OperationsPerSecond: best { _ in measure_int8(iterations) },
            bf16OperationsPerSecond: best { _ in measure_bf16(iterations) },
            readBytesPerSecond: best { thread in
                _ = measure_read(memory.base + thread * perThread, perThread)
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
