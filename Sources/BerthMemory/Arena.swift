// The memory under the pool: one anonymous file, mapped once from end to end.
//
// A file rather than plain anonymous memory, because pages of a file can be mapped a second time: a window shows pages
// from anywhere in the arena as one contiguous range of addresses, so that an adapter or an expert never fails to load for
// fragmentation, and its kernels never see a page table. The file is sparse. A page takes memory from the machine when it
// is first written, and gives it back when a hole is punched where it was.

import CLinux
import Glibc

/// Engine thread only. The mapping stands until the arena goes; windows are ended by hand before that.
final class Arena {
    let base: UnsafeMutableRawPointer
    let bytes: Int
    private let descriptor: Int32

    /// `bytes` must be a multiple of the system's page size.
    init(bytes: Int) throws(PoolError) {
        descriptor = memfd_create("berth-pool", UInt32(BERTH_MFD_CLOEXEC))
        guard descriptor >= 0 else { throw Arena.failure("cannot make the pool's file") }
        guard ftruncate(descriptor, bytes) == 0 else {
            let error = Arena.failure("cannot size the pool to \(bytes) bytes")
            close(descriptor)
            throw error
        }
        guard let mapped = mmap(nil, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0), mapped != MAP_FAILED else {
            let error = Arena.failure("cannot map the pool's \(bytes) bytes")
            close(descriptor)
            throw error
        }
        base = mapped
        self.bytes = bytes
    }

    deinit {
        munmap(base, bytes)
        close(descriptor)
    }

    /// Maps the given ranges of the arena (offset and length, in bytes, multiples of the system's page size) one after the other.
    func mapWindow(_ ranges: [(offset: Int, length: Int)]) throws(PoolError) -> UnsafeMutableRawPointer {
        let total = ranges.reduce(0) { $0 + $1.length }
        // Address space first, so that the parts can be placed side by side without a race for it.
        guard let window = mmap(nil, total, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0), window != MAP_FAILED else {
            throw Arena.failure("cannot reserve \(total) bytes of addresses for a window")
        }
        var at = window
        for range in ranges {
            let part = mmap(at, range.length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, descriptor, range.offset)
            guard part != MAP_FAILED else {
                let error = Arena.failure("cannot map a window over \(ranges.count) runs of pages")
                munmap(window, total)
                throw error
            }
            at += range.length
        }
        return window
    }

    func unmapWindow(_ window: UnsafeMutableRawPointer, bytes: Int) {
        let result = munmap(window, bytes)
        precondition(result == 0, "a window could not be unmapped (errno \(errno))")
    }

    /// Gives the memory of a range back to the machine; it reads as zeros afterwards. Where the kernel cannot, nothing happens.
    func giveBack(offset: Int, length: Int) {
        _ = fallocate(descriptor, Int32(BERTH_FALLOC_KEEP_SIZE | BERTH_FALLOC_PUNCH_HOLE), offset, length)
    }

    private static func failure(_ what: String) -> PoolError {
        let code = errno
        return PoolError(.system, "\(what): \(String(cString: strerror(code)))", errno: code)
    }
}
