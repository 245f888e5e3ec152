// The cache of prepared images: found again, rebuilt when anything is wrong, done without where nothing can be stored.

import BerthCore
import Glibc
import Synchronization
import Testing

@testable import BerthStore

/// A packing of a few extents whose bytes follow from their index, and a count of how often it ran.
private final class TestPacking {
    let folder = TemporaryFolder()
    var extents = [
        ImageExtent(name: "embed", format: "int8", shape: [10, 500], byteCount: 5000),
        ImageExtent(name: "norm", format: "f32", shape: [16], byteCount: 64),
        ImageExtent(name: "experts.0", format: "int8", shape: [3, 1000], byteCount: 3000, isResident: false),
        ImageExtent(name: "empty", format: "f32", shape: [0], byteCount: 0),
        ImageExtent(name: "head", format: "int8", shape: [9000], byteCount: 9000),
    ]
    var version = 1
    var operations = FileOperations.system
    var packed = 0
    var progress: [PackingProgress] = []

    var key: ImageKey {
        var builder = DigestBuilder()
        builder.update("checkpoint")
        return ImageKey(checkpoint: builder.finish(), directory: "/models/llama 1b", format: .int8, packingVersion: version)
    }

    var path: String { folder.file(key.fileName) }
    var names: [String] { (try? fileNames(in: folder.path)) ?? [] }

    static func contents(_ index: Int, _ count: Int) -> [UInt8] { (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ index &* 7 &+ $0 >> 8) } }

    func prepare(
        _ placement: ImageCache.Placement = .memory, checksContents: Bool = true, directory: String? = nil, cached: Bool = true
    ) throws(StoreError) -> PreparedImage {
        let cache = ImageCache(directory: cached ? directory ?? folder.path : nil, operations: operations)
        progress = []
        return try cache.prepare(
            key, extents: extents, placement: placement, checksContents: checksContents, threads: 2, progress: { self.progress.append($0) },
            pack: { index, memory in
                self.packed += 1
                Self.contents(index, self.extents[index].byteCount).withUnsafeBytes { bytes in
                    if bytes.count > 0 { memcpy(memory, bytes.baseAddress!, bytes.count) }
                }
            })
    }

    func check(_ image: PreparedImage, _ location: SourceLocation = #_sourceLocation) throws {
        for (index, extent) in extents.enumerated() {
            let expected = Self.contents(index, extent.byteCount)
            var bytes = [UInt8](repeating: 0, count: extent.byteCount)
            if let memory = image.bytes(of: extent.name) {
                #expect(extent.isResident && UInt(bitPattern: memory) % 4096 == 0, sourceLocation: location)
                bytes = Array(UnsafeRawBufferPointer(start: memory, count: extent.byteCount))
            } else {
                #expect(!extent.isResident, sourceLocation: location)
                try bytes.withUnsafeMutableBytes { try image.read(index, into: $0.baseAddress!) }
            }
            #expect(bytes == expected, "\(extent.name)", sourceLocation: location)
            #expect(bytes.withUnsafeBytes { image.isIntact(index, $0) }, sourceLocation: location)
        }
        try image.verify()
    }
}

@Suite struct ImageTests {
    private let packing = TestPacking()

    @Test(arguments: [ImageCache.Placement.memory, .mapped])
    func packsOnceAndFindsAgain(placement: ImageCache.Placement) throws {
        let first = try packing.prepare(placement)
        #expect(first.origin == .packed(reason: nil) && packing.packed == 5)
        try packing.check(first)
        #expect(packing.progress.map(\.doneBytes) == [5000, 5064, 8064, 8064, 17064] && packing.progress.allSatisfy { $0.totalBytes == 17064 })
        #expect(packing.names == [packing.key.fileName])
        #expect(packing.key.fileName.hasPrefix("llama_1b-int8-"))

        let second = try packing.prepare(placement)
        #expect(second.origin == .cached && packing.packed == 5 && packing.progress.isEmpty)
        try packing.check(second)
        #expect(second.residentBytes == 8192 + 4096 + 12288)
        let range = second.fileRange(of: 2)!
        #expect(range.path == packing.path && range.offset % 4096 == 0 && range.paddedBytes == 4096)
    }

    @Test func createsTheDirectory() throws {
        let directory = packing.folder.file("a/b")
        #expect(try packing.prepare(directory: directory).origin == .packed(reason: nil))
        #expect(try packing.prepare(directory: directory).origin == .cached)
    }

    @Test func anotherKeyIsAnotherImage() throws {
        let first = try packing.prepare()
        packing.version = 2
        let second = try packing.prepare()
        #expect(second.origin == .packed(reason: nil))
        // The old one is still in use, so it stays.
        #expect(packing.names.count == 2)
        try packing.check(first)
    }

    @Test func removesSupersededImages() throws {
        _ = try packing.prepare()
        packing.version = 2
        _ = try packing.prepare()
        #expect(packing.names == [packing.key.fileName])
    }

    @Test func otherExtentsAreRepacked() throws {
        _ = try packing.prepare()
        packing.extents[1] = ImageExtent(name: "norm", format: "bf16", shape: [32], byteCount: 64)
        let image = try packing.prepare()
        #expect(image.origin != .cached && packing.packed == 10)
        try packing.check(image)
    }

    /// Every byte matters: whichever is flipped, wherever the file is cut, the image is noticed and packed anew.
    @Test(arguments: [ImageCache.Placement.memory, .mapped]) func noticesDamage(placement: ImageCache.Placement) throws {
        _ = try packing.prepare(placement)
        let good = try ReadableFile.contents(of: packing.path, limit: 1 << 20)
        var random = RandomSource(seed: 5)
        let layout = ImageLayout(key: packing.key, extents: packing.extents)
        var payload: [Int] = Array(0..<12) + Array(16..<36) + (0..<12).map { _ in Int.random(in: 36..<300, using: &random) }
        for (offset, extent) in zip(layout.offsets, packing.extents) where extent.isResident && extent.byteCount > 0 {
            payload += [offset, offset + extent.byteCount - 1] + (0..<4).map { _ in offset + Int.random(in: 0..<extent.byteCount, using: &random) }
        }
        for position in payload {
            var bytes = good
            bytes[position] ^= UInt8(1 << Int.random(in: 0..<8, using: &random))
            writeFile(packing.path, bytes)
            let before = packing.packed
            let image = try packing.prepare(placement)
            guard case .packed(let reason) = image.origin else {
                Issue.record("byte \(position) was not noticed")
                continue
            }
            #expect(reason?.isEmpty == false && packing.packed == before + 5)
            #expect(try packing.prepare(placement).origin == .cached)
        }
        for count in [0, 10, 4096, good.count / 2, good.count - 4096, good.count - 1] {
            writeFile(packing.path, Array(good[..<count]))
            #expect(try packing.prepare(placement).origin != .cached, "\(count) bytes")
            #expect(try packing.prepare(placement).origin == .cached)
        }
        writeFile(packing.path, good + [0])
        try packing.check(try packing.prepare(placement))
    }

    @Test func noticesDamageOnDiskAndInMaps() throws {
        _ = try packing.prepare()
        var bytes = try ReadableFile.contents(of: packing.path, limit: 1 << 20)
        let layout = ImageLayout(key: packing.key, extents: packing.extents)
        bytes[layout.offsets[2] + 100] ^= 1
        bytes[layout.offsets[4] + 100] ^= 1
        writeFile(packing.path, bytes)
        let image = try packing.prepare(.mapped, checksContents: false)
        #expect(image.origin == .cached)
        #expect(failure { () throws(StoreError) in try image.verify() }?.message.contains("'head'") == true)
        var expert = [UInt8](repeating: 0, count: 3000)
        expert.withUnsafeMutableBytes { buffer in
            #expect(failure { () throws(StoreError) in try image.read(2, into: buffer.baseAddress!) }?.message.contains("'experts.0'") == true)
        }
    }

    @Test func aDirectoryInTheWayIsNoImage() throws {
        mkdir(packing.path, 0o755)
        packing.extents[2] = ImageExtent(name: "experts.0", format: "int8", shape: [3, 1000], byteCount: 3000)
        guard case .packedInMemory = try packing.prepare().origin else { return #expect(Bool(false)) }
    }

    // MARK: a cache that cannot be used

    @Test func servesWithoutCache() throws {
        packing.extents[2] = ImageExtent(name: "experts.0", format: "int8", shape: [3, 1000], byteCount: 3000)
        let image = try packing.prepare(cached: false)
        #expect(image.origin == .packedInMemory(reason: "there is no cache directory") && packing.names.isEmpty)
        try packing.check(image)
        // A file where the directory should be: not writable, whoever runs the test.
        packing.folder.write("file", "x")
        let next = try packing.prepare(directory: packing.folder.file("file"))
        guard case .packedInMemory = next.origin else { return #expect(Bool(false)) }
        try packing.check(next)
    }

    @Test func expertsOnDiskNeedACache() {
        #expect(failure { () throws(StoreError) in try packing.prepare(cached: false) }?.message.contains("cannot be stored") == true)
        #expect(packing.packed == 2)
    }

    /// The n-th system call fails, for every n until one run has enough: always a complete model, never a half image.
    @Test(arguments: [ENOSPC, EIO, EFBIG])
    func anyFailingWriteIsSurvived(number: Int32) throws {
        packing.extents[2] = ImageExtent(name: "experts.0", format: "int8", shape: [3, 1000], byteCount: 3000)
        for failing in 0..<100 {
            let calls = Mutex(0)
            @Sendable func fails() -> Bool {
                calls.withLock { count in
                    defer { count += 1 }
                    if count == failing { errno = number }
                    return count == failing
                }
            }
            packing.operations = FileOperations(
                write: { fails() ? -1 : FileOperations.system.write($0, $1, $2) },
                synchronize: { fails() ? -1 : FileOperations.system.synchronize($0) },
                rename: { fails() ? -1 : FileOperations.system.rename($0, $1) })
            let image = try packing.prepare()
            try packing.check(image)
            if case .packed = image.origin {
                // Only a failure to synchronise the directory is no reason to pack again.
                if calls.withLock({ $0 }) <= failing { return #expect(failing > 5) }
                #expect(packing.names == [packing.key.fileName])
                unlink(packing.path)
            } else {
                #expect(image.origin != .cached && packing.names.isEmpty, "call \(failing): \(packing.names)")
            }
        }
        Issue.record("writing never ended")
    }

    @Test func shortAndInterruptedWrites() throws {
        let turn = Mutex(0)
        packing.operations.write = { descriptor, bytes, offset in
            let isInterrupted = turn.withLock { count in
                count += 1
                return count % 3 == 0
            }
            if isInterrupted {
                errno = EINTR
                return -1
            }
            return pwrite(descriptor, bytes.baseAddress, min(bytes.count, 700), offset)
        }
        try packing.check(packing.prepare())
        #expect(try packing.prepare().origin == .cached)
    }

    @Test func aDiskThatTakesNothing() throws {
        packing.extents.remove(at: 2)
        packing.operations.write = { _, _, _ in 0 }
        guard case .packedInMemory = try packing.prepare().origin else { return #expect(Bool(false)) }
        #expect(packing.names.isEmpty)
    }

    @Test func abandonedPackingsAreRemoved() throws {
        packing.folder.write(".\(packing.key.fileName).abcdef.partial", "left by a killed process")
        packing.folder.write("other", "not ours")
        _ = try packing.prepare()
        #expect(packing.names == [packing.key.fileName, "other"].sorted())
    }

    @Test func aFailedPackingLeavesNothing() {
        let cache = ImageCache(directory: packing.folder.path)
        let error = failure { () throws(StoreError) in
            try cache.prepare(packing.key, extents: packing.extents, threads: 1) { index, _ throws(StoreError) in
                if index == 1 { throw StoreError(.missing, "tensor 'norm' is missing") }
            }
        }
        #expect(error?.code == .missing && packing.names.isEmpty)
    }

    @Test func estimate() {
        let start = PackingProgress(doneBytes: 1, totalBytes: 1000, elapsedNanoseconds: 1_000_000_000)
        #expect(start.remainingNanoseconds == nil)
        let middle = PackingProgress(doneBytes: 250, totalBytes: 1000, elapsedNanoseconds: 1_000_000_000)
        #expect(middle.remainingNanoseconds == 3_000_000_000)
    }

    @Test func defaultDirectory() {
        #expect(ImageCache.defaultDirectory(environment: ["CACHE_DIRECTORY": "/var/cache/berth:/x", "HOME": "/root"]) == "/var/cache/berth")
        #expect(ImageCache.defaultDirectory(environment: ["XDG_CACHE_HOME": "/c", "HOME": "/h"]) == "/c/berth")
        #expect(ImageCache.defaultDirectory(environment: ["XDG_CACHE_HOME": "relative", "HOME": "/h"]) == "/h/.cache/berth")
        #expect(ImageCache.defaultDirectory(environment: [:]) == nil)
    }
}
