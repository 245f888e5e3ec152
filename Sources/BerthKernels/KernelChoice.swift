// Which table of inner loops runs. Normally the best that the machine has; tests and measurements ask for others.

import CKernels
import Glibc

/// A family of kernels, by instruction set.
public enum KernelChoice: String, Sendable, CaseIterable {
    /// The best that the processor runs, unless the environment variable `BERTH_KERNELS` names another.
    case best
    /// Plain C, the reference.
    case scalar
    /// AVX2, FMA, F16C.
    case avx2
    /// The same with AVX-VNNI (8-bit dot products).
    case avxvnni
    /// AVX-512 F, BW, DQ, VL.
    case avx512
    /// The same with VNNI (8-bit dot products).
    case avx512vnni
    /// The same with BF16 (bf16 dot products).
    case avx512bf16
    /// Arm's Advanced SIMD.
    case neon
    /// The same with 8-bit dot products.
    case neondot

    /// The environment variable that overrides `.best`.
    public static let environmentVariable = "BERTH_KERNELS"

    /// What runs on this machine, best last. `.best` itself is not listed.
    public static var available: [KernelChoice] {
        var names = [UnsafePointer<CChar>?](repeating: nil, count: KernelMostTables)
        let count = kernel_tables(&names)
        return names.prefix(count).compactMap { $0.flatMap { KernelChoice(rawValue: String(cString: $0)) } }
    }

    /// The table, with the environment's say in `.best`.
    func table() throws(KernelError) -> UnsafePointer<KernelTable> {
        var choice = self
        if self == .best, let value = getenv(Self.environmentVariable) {
            let name = String(cString: value)
            guard let named = KernelChoice(rawValue: name) else {
                let known = Self.allCases.map(\.rawValue).joined(separator: ", ")
                throw KernelError(code: .unknownKernels, message: "\(Self.environmentVariable) is \"\(name)\"; it can be one of \(known)")
            }
            choice = named
        }
        guard let table = kernel_table(choice.rawValue) else {
            let names = Self.available.map(\.rawValue).joined(separator: ", ")
            throw KernelError(code: .unsupportedKernels, message: "this machine cannot run the \(choice.rawValue) kernels; it has \(names)")
        }
        return table
    }
}
