// Reads extents of a stored image while the model runs: past the page cache, or through it.
//
// Direct I/O is right where the memory limit is what binds, since every byte in the page cache is a byte that the pool does
// not have, and it leaves the mapped weights in peace. Where the machine has memory to spare outside the limit, the page cache
// is several times faster than any disk. Whoever opens the reader says which; where the file system refuses direct I/O, it
// is buffered, and `mode` tells. Any thread may read.

import CLinux
import Glibc

/// Checked reads of the extents that stay on disk.
public final class ExtentReader: Sendable {
    public enum Mode: String, Sendable, CaseIterable {
        case direct
        case buffered
    }

    public let mode: Mode
    private let image: PreparedImage
    private let file: ReadableFile

    /// Pieces that are read at once: large enough for the disk, small enough to be in the cache when they are checksummed.
    private static let pieceBytes = 1 << 20

    /// The image must be stored.
    public init(_ image: PreparedImage, mode: Mode) throws(StoreError) {
        guard let stored = image.file else { throw StoreError(.missing, "the image is not stored") }
        self.image = image
        if mode == .direct, let direct = try? ReadableFile(path: stored.path, flags: Int32(BERTH_O_DIRECT)), Self.canRead(direct) {
            (file, self.mode) = (direct, .direct)
        } else {
            (file, self.mode) = (stored, .buffered)
        }
        // Another file of that name by now would be another image.
        guard file.identity == stored.identity else { throw StoreError(.malformed, "the image was replaced while it was opened", path: stored.path) }
    }

    /// Some file systems take the flag and refuse the read.
    private static func canRead(_ file: ReadableFile) -> Bool {
        let page = UnsafeMutableRawBufferPointer.allocate(byteCount: ImageLayout.page, alignment: ImageLayout.page)
        defer { page.deallocate() }
        return (try? file.read(at: 0, into: page)) != nil
    }

    /// Reads adjacent extents to `memory` (at a multiple of 4096), each at the page after the one before, with padding. Throws what the disk says,
    /// or the extent whose checksum is wrong.
    public func read(_ indices: ClosedRange<Int>, into memory: UnsafeMutableRawPointer) throws(StoreError) {
        var place = memory
        for index in indices {
            let range = image.fileRange(of: index)!
            let buffer = UnsafeMutableRawBufferPointer(start: place, count: range.paddedBytes)
            let checksum = try PreparedImage.readChecked(
                file, range.offset, buffer, first: image.extents[index].byteCount, pieceBytes: Self.pieceBytes)
            try image.check(checksum, of: index)
            place += range.paddedBytes
        }
    }
}
