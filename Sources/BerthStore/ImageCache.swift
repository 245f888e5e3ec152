// The cache of prepared images: finds the image of a checkpoint, or has it packed and stores it.
//
// Nothing that happens to the cache keeps a model from being served: an image that is missing, unfinished, of another
// version, truncated or corrupt is packed anew; a directory that cannot be written or a full disk means that the model
// is packed in memory at every start, with a note saying why. Only a model whose extents do not all fit in memory needs a
// stored image. Runs once, at start, on one thread (which borrows others to read).

import BerthCore
import Glibc
import Synchronization

/// How far packing is.
public struct PackingProgress: Sendable {
    public let doneBytes: Int
    public let totalBytes: Int
    public let elapsedNanoseconds: UInt64

    /// Time to go at the speed so far; nil in the first moments, when it would be a guess.
    public var remainingNanoseconds: UInt64? {
        guard doneBytes * 50 >= totalBytes, doneBytes > 0, elapsedNanoseconds > 200_000_000 else { return nil }
        return UInt64(Double(elapsedNanoseconds) * Double(totalBytes - doneBytes) / Double(doneBytes))
    }
}

/// A directory of prepared images.
public struct ImageCache: Sendable {
    /// How resident extents of a stored image come into memory.
    public enum Placement: Sendable {
        /// Read into memory of their own, in huge pages.
        case memory
        /// Mapped from the page cache.
        case mapped
    }

    /// Nil: nothing is stored.
    public let directory: String?
    private let operations: FileOperations

    public init(directory: String?, operations: FileOperations = .system) {
        self.directory = directory
        self.operations = operations
    }

    /// `$CACHE_DIRECTORY` (systemd), else `$XDG_CACHE_HOME/berth`, else `~/.cache/berth`; nil where none of them is set.
    public static func defaultDirectory(environment: [String: String]) -> String? {
        func absolute(_ name: String) -> String? { environment[name].flatMap { $0.hasPrefix("/") ? $0 : nil } }
        if let given = absolute("CACHE_DIRECTORY") { return given.split(separator: ":").first.map(String.init) }
        return absolute("XDG_CACHE_HOME").map { "\($0)/berth" } ?? absolute("HOME").map { "\($0)/.cache/berth" }
    }

    /// The image of `key`. Where it is not in the cache, `pack(index, memory)` is called for each extent in turn, must fill its
    /// `byteCount` bytes (zeroed, at a multiple of 4096), and `progress` after each.
    ///
    /// With `checksContents` every resident extent of a stored image is checksummed, and a corrupt image packed anew; without,
    /// only its size and header are checked, and the caller runs `PreparedImage.verify()` later.
    ///
    /// Throws what `pack` throws, lack of memory, and, for extents that stay on disk, that they cannot be stored.
    public func prepare(
        _ key: ImageKey, extents: [ImageExtent], placement: Placement = .mapped, checksContents: Bool = true, threads: Int,
        progress: (PackingProgress) -> Void = { _ in },
        pack: (_ index: Int, _ memory: UnsafeMutableRawPointer) throws(StoreError) -> Void
    ) throws(StoreError) -> PreparedImage {
        let layout = ImageLayout(key: key, extents: extents)
        var reason: String?
        if let directory {
            do throws(StoreError) {
                if let image = try open(layout, in: directory, placement, checksContents, threads: threads) { return image }
            } catch {
                reason = error.message
            }
        }
        return try ImagePacking(layout: layout, directory: directory, operations: operations, replaced: reason).run(progress, pack)
    }

    /// The stored image; nil where there is none; throws why it is no good.
    private func open(_ layout: ImageLayout, in directory: String, _ placement: Placement, _ checksContents: Bool, threads: Int) throws(StoreError) -> PreparedImage? {
        let path = "\(directory)/\(layout.key.fileName)"
        guard exists(path) else { return nil }
        let file = try ReadableFile(path: path)
        guard file.bytes == layout.fileBytes else {
            throw StoreError(.truncated, "the image has \(file.bytes) bytes instead of \(layout.fileBytes)", path: path)
        }
        let checksums: [UInt64]
        do throws(StoreError) {
            checksums = try layout.checksums(header: try file.read(at: 0, count: layout.headerBytes))
        } catch {
            throw StoreError(error.code, "the image was not usable: \(error.message)", path: path)
        }
        // Whoever uses an image keeps it from being cleaned away as an old one.
        flock(file.descriptor, LOCK_SH | LOCK_NB)
        let memory: ImageMemory, places: [Int?]
        switch placement {
        case .mapped:
            places = zip(layout.extents, layout.offsets).map { $0.isResident ? $1 : nil }
            memory = try ImageMemory(mapping: file)
        case .memory:
            let bytes: Int
            (places, bytes) = layout.residentPlaces()
            memory = try ImageMemory(bytes: bytes)
        }
        try Self.eachResident(layout, places, threads: threads) { index, place throws(StoreError) in
            let byteCount = layout.extents[index].byteCount
            let buffer = UnsafeMutableRawBufferPointer(start: memory.base + place, count: byteCount)
            var checksum = checksums[index]
            switch placement {
            case .mapped:
                memory.populate(place..<place + ImageLayout.roundUp(byteCount))
                if checksContents { checksum = Checksum.of(UnsafeRawBufferPointer(buffer)) }
            case .memory:
                checksum = try PreparedImage.readChecked(file, layout.offsets[index], buffer)
            }
            guard checksum == checksums[index] else {
                throw StoreError(.malformed, "extent '\(layout.extents[index].name)' of the image was corrupt", path: path)
            }
        }
        return PreparedImage(origin: .cached, layout: layout, checksums: checksums, places: places, memory: memory, file: file)
    }

    /// Runs `body` for all resident extents and their places, the largest first, on several threads. Throws one of its errors.
    private static func eachResident(
        _ layout: ImageLayout, _ places: [Int?], threads: Int, _ body: @escaping @Sendable (Int, Int) throws(StoreError) -> Void
    ) throws(StoreError) {
        let order = layout.extents.indices.filter { places[$0] != nil }.sorted { layout.extents[$0].byteCount > layout.extents[$1].byteCount }
        let next = Atomic(0)
        let failure = Mutex<StoreError?>(nil)
        onThreads(threads) { _ in
            while true {
                let turn = next.wrappingAdd(1, ordering: .relaxed).oldValue
                guard turn < order.count else { return }
                do throws(StoreError) {
                    try body(order[turn], places[order[turn]]!)
                } catch {
                    failure.withLock { $0 = error }
                    next.store(order.count, ordering: .relaxed)
                }
            }
        }
        if let error = failure.withLock({ $0 }) { throw error }
    }
}

extension ImageLayout {
    /// Places of the resident extents in memory, one after the other at pages, and the bytes of all.
    func residentPlaces() -> (places: [Int?], bytes: Int) {
        var bytes = 0
        let places = extents.map { extent -> Int? in
            guard extent.isResident else { return nil }
            defer { bytes += Self.roundUp(extent.byteCount) }
            return bytes
        }
        return (places, max(bytes, Self.page))
    }
}
