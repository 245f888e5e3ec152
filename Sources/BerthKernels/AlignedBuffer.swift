// Memory for weights and activations: aligned to cache lines, on huge pages where it is large.

import Glibc

/// Zeroed memory aligned to 64 bytes (to 2 MiB and advised to use huge pages when it is that large), freed with the object.
///
/// Who may touch the bytes is the owner's affair; the object itself never changes, so it may be shared.
public final class AlignedBuffer: @unchecked Sendable {
    public let base: UnsafeMutableRawPointer
    public let bytes: Int

    private static let hugePageBytes = 2 << 20

    /// Aborts when there is no memory: sizes are planned against `--memory` before anything is allocated.
    public init(bytes: Int) {
        precondition(bytes >= 0)
        self.bytes = bytes
        let rounded = max(64, (bytes + 63) / 64 * 64)
        guard rounded >= Self.hugePageBytes else {
            base = UnsafeMutableRawPointer.allocate(byteCount: rounded, alignment: 64)
            memset(base, 0, rounded)
            mappedBytes = 0
            mapping = nil
            return
        }
        // Anonymous mappings are zero already and untouched pages cost nothing.
        let length = rounded + Self.hugePageBytes
        guard let map = mmap(nil, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), map != MAP_FAILED else {
            fatalError("out of memory: cannot map \(length) bytes")
        }
        let address = (UInt(bitPattern: map) + UInt(Self.hugePageBytes) - 1) / UInt(Self.hugePageBytes) * UInt(Self.hugePageBytes)
        base = UnsafeMutableRawPointer(bitPattern: address)!
        madvise(base, rounded, 14)  // MADV_HUGEPAGE; refusal costs speed only
        mapping = map
        mappedBytes = length
    }

    private let mapping: UnsafeMutableRawPointer?
    private let mappedBytes: Int

    deinit {
        if let mapping { munmap(mapping, mappedBytes) } else { base.deallocate() }
    }

    public var floats: UnsafeMutablePointer<Float> { base.assumingMemoryBound(to: Float.self) }
}

/// A buffer that grows to the largest size asked for and stays there. Contents are lost when it grows.
struct GrowingBuffer {
    private var buffer = AlignedBuffer(bytes: 0)
    /// Memory of the owner's that is used as long as it is large enough.
    var lent: UnsafeMutableRawBufferPointer?

    mutating func reserve(_ bytes: Int) -> UnsafeMutableRawPointer {
        reserved = bytes
        if let lent, lent.count >= bytes { return lent.baseAddress! }
        if buffer.bytes < bytes { buffer = AlignedBuffer(bytes: bytes) }
        return buffer.base
    }

    private var reserved = 0

    /// What the last `reserve` gave.
    var base: UnsafeMutableRawPointer {
        if let lent, lent.count >= reserved { return lent.baseAddress! }
        return buffer.base
    }
}
