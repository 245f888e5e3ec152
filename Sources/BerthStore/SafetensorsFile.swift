// A safetensors file of a base checkpoint, mapped read-only.
//
// The header is checked before anything is mapped (SafetensorsHeader.swift), so a view never reaches outside the file as
// it was at opening. Should someone shorten a mapped file later, touching the lost pages raises SIGBUS. Berth therefore
// reads weights through the map only while it packs them at start, and reads through `read(into:)` (pread, an error
// instead of a signal) whatever strangers may replace while the daemon runs: adapters are never mapped.

import BerthCore
import Glibc

/// One safetensors file, open and mapped as long as this or one of its views lives. Any thread may use it.
public final class SafetensorsFile: Sendable {
    public let path: String
    public let header: SafetensorsHeader
    /// The tensors of usable types by name. Views hold the file.
    public var tensors: [String: TensorView] {
        var result: [String: TensorView] = [:]
        for entry in header.entries {
            if let type = entry.type { result[entry.name] = TensorView(file: self, entry: entry, type: type) }
        }
        return result
    }
    /// The dtypes of the tensors that are present but cannot be used, by name.
    public var unusable: [String: String] {
        Dictionary(uniqueKeysWithValues: header.entries.filter { $0.type == nil }.map { ($0.name, $0.dtype) })
    }
    public var bytes: Int { file.bytes }

    let file: ReadableFile
    /// Sendable because the mapping is read-only and lives until deinit.
    private nonisolated(unsafe) let base: UnsafeMutableRawPointer

    /// Opens, checks and maps the file. Throws what is wrong with it, named by tensor.
    public init(path: String) throws(StoreError) {
        file = try ReadableFile(path: path)
        header = try SafetensorsHeader(of: file)
        self.path = path
        guard let mapping = mmap(nil, file.bytes, PROT_READ, MAP_SHARED, file.descriptor, 0), mapping != MAP_FAILED else {
            throw .system(.io, "cannot map \(fileName(path))", path: path)
        }
        base = mapping
        // Packing walks each tensor once, front to back: more read-ahead, and pages behind may go early.
        madvise(mapping, file.bytes, MADV_SEQUENTIAL)
    }

    deinit { munmap(base, file.bytes) }

    func mapped(_ range: Range<Int>) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: base + range.lowerBound, count: range.count)
    }

    /// Tells the kernel that the pages wholly inside `range` are not needed in memory any more.
    func discard(_ range: Range<Int>) {
        let page = Int(getpagesize())
        let start = (range.lowerBound + page - 1) / page * page
        let end = range.upperBound / page * page
        if start < end { madvise(base + start, end - start, MADV_DONTNEED) }
    }
}

/// A tensor in a file: `shape` elements of `type`, row-major, little-endian, at no particular alignment.
public struct TensorView: Sendable {
    public let name: String
    public let type: ElementType
    public let shape: [Int]
    private let file: SafetensorsFile
    private let range: Range<Int>

    init(file: SafetensorsFile, entry: SafetensorsHeader.Entry, type: ElementType) {
        name = entry.name
        self.type = type
        shape = entry.shape
        self.file = file
        range = entry.range
    }

    /// Elements.
    public var count: Int { shape.reduce(1, *) }
    public var byteCount: Int { range.count }

    /// The mapped bytes. Valid as long as some view of the file lives: hold the view while using them
    /// (`withExtendedLifetime`).
    public var bytes: UnsafeRawBufferPointer { file.mapped(range) }

    /// Copies the tensor into `buffer` (at least `byteCount` bytes) by reading the file, not through the map.
    public func read(into buffer: UnsafeMutableRawBufferPointer) throws(StoreError) {
        precondition(buffer.count >= range.count, "the buffer is too small for tensor \(name)")
        try file.file.read(at: range.lowerBound, into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<range.count]))
    }

    /// Lets the kernel drop the tensor's pages from this process's memory; they are read again when touched.
    public func discard() { file.discard(range) }
}
