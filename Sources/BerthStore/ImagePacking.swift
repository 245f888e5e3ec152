// Packing a checkpoint into an image: into the memory where it will be used, and from there to disk.
//
// Resident extents are packed where they stay, so that a disk that fails costs the stored image and nothing else. The
// others pass through one scratch buffer.

import BerthCore
import Glibc

/// One packing. Used once.
struct ImagePacking {
    let layout: ImageLayout
    let directory: String?
    let operations: FileOperations
    /// Why the image that was there was not used.
    let replaced: String?

    func run(
        _ progress: (PackingProgress) -> Void, _ pack: (Int, UnsafeMutableRawPointer) throws(StoreError) -> Void
    ) throws(StoreError) -> PreparedImage {
        let start = nanoseconds()
        let (places, bytes) = layout.residentPlaces()
        let memory = try ImageMemory(bytes: bytes)
        let scratchBytes = zip(layout.extents, places).filter { $0.1 == nil }.map(\.0.byteCount).max() ?? 0
        let scratch = UnsafeMutableRawBufferPointer.allocate(byteCount: scratchBytes, alignment: ImageLayout.page)
        defer { scratch.deallocate() }

        var sink = create()
        var checksums: [UInt64] = []
        var done = 0
        for (index, extent) in layout.extents.enumerated() {
            let target: UnsafeMutableRawPointer
            if let place = places[index] {
                target = memory.base + place
            } else {
                if case .failed(let reason) = sink { throw cannotStore(reason) }
                target = scratch.baseAddress!
                memset(target, 0, extent.byteCount)
            }
            try pack(index, target)
            let packed = UnsafeRawBufferPointer(start: target, count: extent.byteCount)
            checksums.append(Checksum.of(packed))
            sink = write(packed, at: layout.offsets[index], to: sink)
            done += extent.byteCount
            progress(PackingProgress(doneBytes: done, totalBytes: layout.payloadBytes, elapsedNanoseconds: nanoseconds() - start))
        }
        sink = finish(sink, checksums)
        switch sink {
        case .stored(let file):
            return PreparedImage(origin: .packed(reason: replaced), layout: layout, checksums: checksums, places: places, memory: memory, file: file)
        case .failed(let reason):
            if places.contains(nil) { throw cannotStore(reason) }
            return PreparedImage(
                origin: .packedInMemory(reason: reason), layout: layout, checksums: checksums, places: places, memory: memory, file: nil)
        case .writing:
            preconditionFailure("an unfinished image")
        }
    }

    // MARK: the file

    /// Where packed bytes go.
    private enum Sink {
        case writing(WritableFile)
        case failed(String)
        case stored(ReadableFile)
    }

    private func cannotStore(_ reason: String) -> StoreError {
        StoreError(.io, "the model does not fit in memory, and its image cannot be stored: \(reason)", path: directory)
    }

    private func create() -> Sink {
        guard let directory else { return .failed("there is no cache directory") }
        makeDirectory(directory)
        WritableFile.removeAbandoned(in: directory)
        do throws(StoreError) {
            return .writing(try WritableFile(directory: directory, name: layout.key.fileName, bytes: layout.fileBytes, operations: operations))
        } catch {
            return .failed(error.message)
        }
    }

    private func write(_ bytes: UnsafeRawBufferPointer, at offset: Int, to sink: Sink) -> Sink {
        guard case .writing(let file) = sink else { return sink }
        do throws(StoreError) {
            try file.write(bytes, at: offset)
            return sink
        } catch {
            return .failed(error.message)
        }
    }

    /// The padding of the last extent, the header, the name.
    private func finish(_ sink: Sink, _ checksums: [UInt64]) -> Sink {
        guard case .writing(let file) = sink else { return sink }
        do throws(StoreError) {
            let end = layout.extents.isEmpty ? layout.headerBytes : layout.offsets.last! + layout.extents.last!.byteCount
            let padding = [UInt8](repeating: 0, count: layout.fileBytes - end)
            try withUnsafeBytes(padding, { bytes in Result { () throws(StoreError) in try file.write(bytes, at: end) } }).get()
            let header = layout.header(checksums: checksums)
            try withUnsafeBytes(header, { bytes in Result { () throws(StoreError) in try file.write(bytes, at: 0) } }).get()
            try file.commit()
            removeSuperseded()
            let stored = try ReadableFile(path: file.target)
            flock(stored.descriptor, LOCK_SH | LOCK_NB)
            return .stored(stored)
        } catch {
            return .failed(error.message)
        }
    }

    /// Removes images of other versions of the same checkpoint in the same format, unless somebody serves from them.
    private func removeSuperseded() {
        guard let directory else { return }
        let prefix = layout.key.family + "-"
        for name in (try? fileNames(in: directory)) ?? [] where name.hasPrefix(prefix) && name.hasSuffix(".image") && name != layout.key.fileName {
            WritableFile.removeUnlessLocked("\(directory)/\(name)")
        }
    }

    private func withUnsafeBytes<T>(_ bytes: [UInt8], _ body: (UnsafeRawBufferPointer) -> T) -> T { bytes.withUnsafeBytes(body) }
}

/// Creates `path` and what is missing above it, for this user alone. Failures show when something is written.
func makeDirectory(_ path: String) {
    var at = ""
    for component in path.split(separator: "/") {
        at += "/\(component)"
        mkdir(at, 0o700)
    }
}

/// The monotonic clock.
func nanoseconds() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}
