// A packed checkpoint, ready to compute with: resident extents in memory, the others on disk.
//
// Made by ImageCache; lives as long as the model. Nothing in it changes after it was made, so any thread may use it.
//
// What is verified when: the header always, before anything else is believed. Resident extents are checksummed when the
// image is opened, on several threads (about 10 GB/s each, so a tenth of a second for a model of 1.3 GB); who cannot
// wait for that leaves it to `verify()` on a background thread. Extents that stay on disk are checked each time they are
// read.

import BerthCore
import Glibc
import Synchronization

/// The packed weights of one checkpoint.
public final class PreparedImage: Sendable {
    public enum Origin: Sendable, Equatable {
        /// Found in the cache.
        case cached
        /// Packed and stored; `reason` says why the image that was there, if any, was not good.
        case packed(reason: String?)
        /// Packed, but not stored, and why.
        case packedInMemory(reason: String)
    }

    public let origin: Origin
    public var extents: [ImageExtent] { layout.extents }

    private let layout: ImageLayout
    private let indexByName: [String: Int]
    private let checksums: [UInt64]
    /// Where each resident extent starts in `memory`; nil for those on disk.
    private let places: [Int?]
    private let memory: ImageMemory?
    let file: ReadableFile?

    init(origin: Origin, layout: ImageLayout, checksums: [UInt64], places: [Int?], memory: ImageMemory?, file: ReadableFile?) {
        self.origin = origin
        self.layout = layout
        self.checksums = checksums
        self.places = places
        self.memory = memory
        self.file = file
        indexByName = Dictionary(uniqueKeysWithValues: layout.extents.enumerated().map { ($0.element.name, $0.offset) })
    }

    public func index(of name: String) -> Int? { indexByName[name] }

    /// The bytes of a resident extent, at a multiple of 4096; nil where it stays on disk. Read-only, though the type says
    /// otherwise (packed matrices are views of mutable memory); valid as long as the image lives.
    public func bytes(of index: Int) -> UnsafeMutableRawPointer? { places[index].map { memory!.base + $0 } }

    public func bytes(of name: String) -> UnsafeMutableRawPointer? { indexByName[name].flatMap { bytes(of: $0) } }

    /// Bytes of memory that the resident extents take. Mapped ones count too: they are needed all the time.
    public var residentBytes: Int { zip(layout.extents, places).reduce(0) { $0 + ($1.1 == nil ? 0 : ImageLayout.roundUp($1.0.byteCount)) } }

    /// Where an extent is in the image's file, for readers of their own: offset and length are multiples of 4096.
    public func fileRange(of index: Int) -> (path: String, offset: Int, paddedBytes: Int)? {
        file.map { ($0.path, layout.offsets[index], ImageLayout.roundUp(layout.extents[index].byteCount)) }
    }

    /// Reads an extent from disk into `destination` and checks it.
    public func read(_ index: Int, into destination: UnsafeMutableRawPointer) throws(StoreError) {
        guard let file else { throw StoreError(.missing, "the image is not stored") }
        let buffer = UnsafeMutableRawBufferPointer(start: destination, count: layout.extents[index].byteCount)
        try check(try Self.readChecked(file, layout.offsets[index], buffer), of: index)
    }

    /// Whether bytes that someone else read are those of the extent.
    public func isIntact(_ index: Int, _ bytes: UnsafeRawBufferPointer) -> Bool {
        bytes.count == layout.extents[index].byteCount && Checksum.of(bytes) == checksums[index]
    }

    /// Throws where this is not the checksum of an extent.
    func check(_ checksum: UInt64, of index: Int) throws(StoreError) {
        guard checksum == checksums[index] else {
            throw StoreError(.malformed, "extent '\(layout.extents[index].name)' of the image is corrupt", path: file?.path)
        }
    }

    /// Checks the resident extents; throws the name of one that is corrupt. One thread, about 10 GB/s.
    public func verify() throws(StoreError) {
        for (index, extent) in layout.extents.enumerated() {
            guard let bytes = bytes(of: index) else { continue }
            try check(Checksum.of(UnsafeRawBufferPointer(start: bytes, count: extent.byteCount)), of: index)
        }
    }

    /// Reads into `buffer` in pieces that stay in the cache between reading and checksumming; the checksum of the first `count` bytes (nil: of all).
    static func readChecked(
        _ file: ReadableFile, _ offset: Int, _ buffer: UnsafeMutableRawBufferPointer, first count: Int? = nil, pieceBytes: Int = 256 << 10
    ) throws(StoreError) -> UInt64 {
        let count = count ?? buffer.count
        var checksum = Checksum()
        var done = 0
        while done < buffer.count {
            let piece = UnsafeMutableRawBufferPointer(rebasing: buffer[done..<min(buffer.count, done + pieceBytes)])
            try file.read(at: offset + done, into: piece)
            checksum.update(UnsafeRawBufferPointer(rebasing: piece.prefix(max(0, count - done))))
            done += piece.count
        }
        return checksum.value()
    }
}
