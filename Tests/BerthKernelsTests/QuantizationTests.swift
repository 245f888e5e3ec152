// Activations in eight bits: what the int8 and int4 kernels get of a row.

import CKernels
import Testing

@testable import BerthKernels

@Suite struct QuantizationTests {
    private static let widths = [1, 15, 16, 31, 32, 33, 64, 100, 127, 128, 129, 300, 1025]

    /// One group of 32 activations as a kernel wrote it.
    private struct Group: Equatable {
        var q: [Int8]
        var start: Int32
        var scale, offset: UInt32
        var scaleValue: Double { Double(Float(bitPattern: scale)) }
    }

    private static func quantize(_ x: [Float], _ compute: Compute, weightOffset: Int32 = 128) -> [Group] {
        let blocks = (x.count + KernelBlockInputs - 1) / KernelBlockInputs, blockBytes = MemoryLayout<ActivationBlock>.stride
        // Every other block, as in a batch of two rows.
        let memory = AlignedBuffer(bytes: 2 * blocks * blockBytes)
        compute.table.pointee.quantizeRow(x, x.count, weightOffset, memory.base.assumingMemoryBound(to: ActivationBlock.self), 2)
        return stride(from: 0, to: x.count, by: KernelGroupInputs).map { first in
            let block = memory.base + first / KernelBlockInputs * 2 * blockBytes, group = first % KernelBlockInputs / KernelGroupInputs
            let values = (block + first % KernelBlockInputs).assumingMemoryBound(to: Int8.self)
            let info = (block + KernelBlockInputs).assumingMemoryBound(to: ActivationGroup.self)[group]
            return Group(
                q: Array(UnsafeBufferPointer(start: values, count: KernelGroupInputs)), start: info.start, scale: info.scale.bitPattern,
                offset: info.offset.bitPattern)
        }
    }

    private static func groups(_ x: [Float]) -> [[Float]] {
        stride(from: 0, to: x.count, by: KernelGroupInputs).map { first in
            (first..<first + KernelGroupInputs).map { $0 < x.count ? x[$0] : 0 }
        }
    }

    private static func squaredError(_ x: [Float], _ q: [Int8], _ scale: Double) -> Double {
        zip(x, q).reduce(0) { $0 + (Double($1.0) - Double($1.1) * scale) * (Double($1.0) - Double($1.1) * scale) }
    }

    /// Integers by the largest magnitude, the scale that suits them best, and what follows from both.
    @Test func scalesAreThoseOfLeastSquares() throws {
        for compute in try everyCompute() {
            for width in Self.widths {
                var values = Values(seed: UInt64(width))
                let x = values.array(width, 3)
                for (group, got) in zip(Self.groups(x), Self.quantize(x, compute)) {
                    let largest = group.map(abs).max()!, name = "\(compute.kernelName) \(width)"
                    for (value, q) in zip(group, got.q) { #expect(abs(value / largest * 127 - Float(q)) <= 0.5001, "\(name)") }
                    let products = zip(group, got.q).reduce(0.0) { $0 + Double($1.0) * Double($1.1) }
                    let squares = got.q.reduce(0.0) { $0 + Double($1) * Double($1) }
                    #expect(abs(got.scaleValue * squares / products - 1) < 0x1p-20, "\(name)")
                    let error = Self.squaredError(group, got.q, got.scaleValue)
                    #expect(error <= Self.squaredError(group, got.q, Double(largest) / 127) * 1.0001 + 1e-12, "\(name)")
                    for factor in [0.999, 1.001] { #expect(error <= Self.squaredError(group, got.q, got.scaleValue * factor), "\(name)") }
                    #expect(got.scale & 3 == 0, "a scale of more than 22 bits, \(name)")
                    #expect(Double(Float(bitPattern: got.offset)) == -0x1.8p23 * got.scaleValue, "\(name)")
                    #expect(got.start == 0x4B40_0000 - 128 * got.q.reduce(0) { $0 + Int32($1) }, "\(name)")
                }
            }
        }
    }

    @Test func vectorTablesAgreeToTheBit() throws {
        let computes = try everyCompute().filter { $0.kernelName != "scalar" }
        for width in Self.widths {
            var values = Values(seed: UInt64(width) + 1)
            let x = values.array(width), wanted = Self.quantize(x, computes[0], weightOffset: 8)
            for compute in computes { #expect(Self.quantize(x, compute, weightOffset: 8) == wanted, "\(compute.kernelName) \(width)") }
        }
    }

    /// Zeros and what is too small for a scale stay numbers; what is no number reaches its own group's scale, and no other's.
    @Test func extremesReachTheScale() throws {
        var values = Values(seed: 3)
        let ordinary = values.array(160)
        for compute in try everyCompute() {
            let clean = Self.quantize(ordinary, compute)
            for bad in [Float.nan, Float(bitPattern: 0x7FFF_FFFF), Float(bitPattern: 0xFFC0_0000), .infinity, -.infinity] {
                for place in [32, 40, 63] {
                    var x = ordinary
                    x[place] = bad
                    let got = Self.quantize(x, compute)
                    #expect(!got[1].scaleValue.isFinite, "\(compute.kernelName) \(bad) at \(place)")
                    for group in [0, 2, 3, 4] { #expect(got[group] == clean[group], "\(compute.kernelName)") }
                }
            }
            for small in [Float(0), .leastNonzeroMagnitude, .leastNormalMagnitude / 100, 1e-36, -1e-38] {
                for (index, group) in Self.quantize([Float](repeating: small, count: 40), compute).enumerated() {
                    for (lane, q) in group.q.enumerated() {
                        let value = Double(q) * group.scaleValue
                        #expect(abs(value - (index * 32 + lane < 40 ? Double(small) : 0)) <= 1.5e-36, "\(compute.kernelName) \(small)")
                    }
                }
            }
        }
    }
}
