// Numbers between the types of files and of memory.
//
// Only what loading adapters needs: a strided matrix read as f32, f16 or bf16 and written densely as f32 or f16, with
// a check that every number is finite on both sides. Work is on bit patterns, so that nothing is quieted or flushed.

import BerthCore
import Glibc

/// Bits of an f32 with the value of an f16. Infinities and NaNs keep an exponent of all ones.
@inline(__always) func widen(half bits: UInt16) -> UInt32 {
    let sign = UInt32(bits & 0x8000) << 16
    let magnitude = UInt32(bits & 0x7FFF)
    if magnitude >= 0x7C00 { return sign | 0x7F80_0000 | (magnitude & 0x3FF) << 13 }
    if magnitude >= 0x0400 { return sign | (magnitude << 13) + (112 << 23) }
    // Subnormal or zero: magnitude · 2⁻²⁴, exact in f32.
    return sign | (Float(magnitude) * 0x1p-24).bitPattern
}

/// An f32 rounded to f16, to nearest, ties to even. Infinities, NaNs and what rounds to infinity are not handled: callers refuse them.
@inline(__always) func roundToF16(_ bits: UInt32) -> UInt16 {
    let magnitude = bits & 0x7FFF_FFFF
    let normal = (magnitude &- 0x3800_0000 &+ 0xFFF &+ (magnitude >> 13 & 1)) >> 13
    // Adding 0.5 leaves a subnormal's value in units of 2⁻²⁴ in the low bits.
    let subnormal = (Float(bitPattern: magnitude) + 0.5).bitPattern &- 0x3F00_0000
    return UInt16(truncatingIfNeeded: (magnitude < 0x3880_0000 ? subnormal : normal) | bits >> 16 & 0x8000)
}

/// An f32 rounded to bf16, to nearest, ties to even. NaN is not handled: callers have checked.
@inline(__always) func roundToBF16(_ bits: UInt32) -> UInt16 {
    UInt16(truncatingIfNeeded: (bits &+ 0x7FFF &+ (bits >> 16 & 1)) >> 16)
}

/// Writes the matrix densely, row by row, as f32 or f16. `tensor` is aligned to the element. False where a number is not
/// finite before or after.
func copyMatrix(_ factor: AdapterFactor, from tensor: UnsafeRawPointer, to destination: UnsafeMutableRawPointer, as type: ElementType) -> Bool {
    switch factor.type {
    case .f32: copy(factor, tensor.assumingMemoryBound(to: UInt32.self), to: destination, as: type) { $0 }
    case .bf16: copy(factor, tensor.assumingMemoryBound(to: UInt16.self), to: destination, as: type) { UInt32($0) << 16 }
    case .f16: copy(factor, tensor.assumingMemoryBound(to: UInt16.self), to: destination, as: type) { widen(half: $0) }
    }
}

@inline(__always) private func copy<Element>(
    _ factor: AdapterFactor, _ tensor: UnsafePointer<Element>, to destination: UnsafeMutableRawPointer, as type: ElementType,
    _ widen: (Element) -> UInt32
) -> Bool {
    if type == .f32 {
        return copy(factor, tensor, to: destination.assumingMemoryBound(to: UInt32.self)) { element in
            let bits = widen(element)
            return (bits, overflow(bits))
        }
    }
    return copy(factor, tensor, to: destination.assumingMemoryBound(to: UInt16.self)) { element in
        let bits = widen(element)
        return (roundToF16(bits), overflowF16(bits))
    }
}

/// The top bit set where `bits` has an exponent of all ones: adding one to the exponent carries out of it. Without a branch, so
/// that loops over it become vector code.
@inline(__always) private func overflow(_ bits: UInt32) -> UInt32 { (bits & 0x7FFF_FFFF) &+ 0x0080_0000 }

/// The top bit set where `bits` becomes infinite as f16, or is not finite before.
@inline(__always) private func overflowF16(_ bits: UInt32) -> UInt32 { (bits & 0x7FFF_FFFF) &+ (0x8000_0000 &- 0x477F_F000) }

/// Columns in blocks, so that a transposed walk stays within the nearest cache.
@inline(__always) private func copy<Source, Target>(
    _ factor: AdapterFactor, _ tensor: UnsafePointer<Source>, to target: UnsafeMutablePointer<Target>,
    _ convert: (Source) -> (Target, overflow: UInt32)
) -> Bool {
    let source = tensor + factor.offset
    let block = 512
    var overflows: UInt32 = 0
    var first = 0
    while first < factor.columns {
        let count = min(block, factor.columns - first)
        for row in 0..<factor.rows {
            let line = source + row * factor.rowStride + first * factor.columnStride
            let output = target + row * factor.columns + first
            if factor.columnStride == 1 {
                for column in 0..<count {
                    let (value, overflow) = convert(line[column])
                    output[column] = value
                    overflows |= overflow
                }
            } else {
                var input = line
                for column in 0..<count {
                    let (value, overflow) = convert(input.pointee)
                    output[column] = value
                    overflows |= overflow
                    input += factor.columnStride
                }
            }
        }
        first += count
    }
    return overflows >> 31 == 0
}

/// Whether every number is finite, and stays so as `target` (f32 or f16). `bytes` is aligned to the element.
func isFinite(_ bytes: UnsafeRawBufferPointer, type: ElementType, as target: ElementType = .f32) -> Bool {
    target == .f16 ? isFinite(bytes, type) { overflowF16($0) } : isFinite(bytes, type) { overflow($0) }
}

@inline(__always) private func isFinite(_ bytes: UnsafeRawBufferPointer, _ type: ElementType, _ overflow: (UInt32) -> UInt32) -> Bool {
    var overflows: UInt32 = 0
    switch type {
    case .f32: for bits in bytes.assumingMemoryBound(to: UInt32.self) { overflows |= overflow(bits) }
    case .bf16: for bits in bytes.assumingMemoryBound(to: UInt16.self) { overflows |= overflow(UInt32(bits) << 16) }
    case .f16: for bits in bytes.assumingMemoryBound(to: UInt16.self) { overflows |= overflow(widen(half: bits)) }
    }
    return overflows >> 31 == 0
}

/// Whether `copy` holds the numbers of `base`, as far as its own type can. Both dense, of equally many elements.
func isCopy(_ copy: UnsafeRawBufferPointer, _ copyType: ElementType, of base: UnsafeRawBufferPointer, _ baseType: ElementType) -> Bool {
    if copyType == baseType { return copy.elementsEqualBytes(base) }
    func bits(_ bytes: UnsafeRawBufferPointer, _ type: ElementType, _ index: Int) -> UInt32 {
        switch type {
        case .f32: bytes.loadUnaligned(fromByteOffset: index * 4, as: UInt32.self)
        case .bf16: UInt32(bytes.loadUnaligned(fromByteOffset: index * 2, as: UInt16.self)) << 16
        case .f16: widen(half: bytes.loadUnaligned(fromByteOffset: index * 2, as: UInt16.self))
        }
    }
    return (0..<copy.count / copyType.bytes).allSatisfy { index in
        let ours = bits(base, baseType, index), theirs = bits(copy, copyType, index)
        if ours == theirs { return true }
        switch copyType {
        case .f32: return false
        case .bf16: return UInt32(roundToBF16(ours)) << 16 == theirs
        case .f16: return widen(half: Float16(Float(bitPattern: ours)).bitPattern) == theirs
        }
    }
}

extension UnsafeRawBufferPointer {
    fileprivate func elementsEqualBytes(_ other: UnsafeRawBufferPointer) -> Bool {
        count == other.count && (count == 0 || memcmp(baseAddress!, other.baseAddress!, count) == 0)
    }
}
