// Adapters on the simulated disk, and what the model finds of them in memory.
//
// A version of an adapter is a number. What a read brings is a stamp of it in every page, so that the model computes with what lies in the pages that the
// engine says are the adapter's: a wrong page, a page that was given away or a read that never ended makes other tokens.

import BerthCore
import BerthEngine
import BerthModels

final class SimulatedAdapters: AdapterReader {
    private struct Loaded {
        var memory: UnsafeMutableRawPointer
        var pages: Int
    }

    private let clock: VirtualClock
    private let scale: Double
    private var queue: ReadQueue<AdapterRead>
    /// Where each object was read to. An address may be used again by a later object, whose entry then replaces this one.
    private var loaded: [ObjectIdentifier: Loaded] = [:]
    /// Turns through the pages of adapters: each look sees the first page and another one.
    private var look = 0
    private var (readBytes, readNanoseconds) = (0.0, 0.0)
    /// Digests of versions whose reads have failed.
    private(set) var failures: Set<String> = []

    /// - Parameter scale: bytes of the simulated machine for each of the arena's.
    init(threads: Int, disk: SimulatedDisk, scale: Double, clock: VirtualClock) {
        self.clock = clock
        self.scale = scale
        queue = ReadQueue(threads: threads, disk: disk)
    }

    /// Pages that the arena has for each of the machine's.
    static let pageBytes = 4096

    static func source(version: UInt64, pages: Int) -> AdapterSource {
        // Read by this file's reader, which knows what a version looks like.
        AdapterSource(bytes: pages * pageBytes, digest: String(version), modules: ["layer"]) { _ in preconditionFailure("a simulated adapter has no files") }
    }

    /// What a row computed with the version sees of it.
    static func stamp(ofVersion version: UInt64) -> UInt64 { mix(version ^ 0xADA9) }

    // MARK: the reader

    func begin(_ read: AdapterRead) { queue.add(read, bytes: Double(read.source.bytes) * scale, at: clock.now) }

    var bytesPerSecond: Double? { readNanoseconds > 0 ? readBytes / readNanoseconds * 1e9 : nil }

    /// When the next read ends.
    var nextEnd: UInt64? { queue.nextEnd }

    /// Reports what has ended by now. Returns how many reads that were.
    func report(to engine: Engine) -> Int {
        queue.run(until: clock.now)
        guard queue.hasEnded else { return 0 }
        let ended = queue.takeEnded()
        (readBytes, readNanoseconds) = (readBytes + Double(ended.reduce(0) { $0 + $1.read.source.bytes }), Double(queue.busyNanoseconds))
        for (read, fails) in ended {
            let pages = read.source.bytes / Self.pageBytes
            if fails {
                failures.insert(read.source.digest)
                // What a torn read leaves must not matter.
                for page in 0..<pages { read.memory.storeBytes(of: .max, toByteOffset: page * Self.pageBytes, as: UInt64.self) }
                engine.adapterRead(read.ticket, .failure(GenerationFailure(.adapterRejected, "input/output error")))
            } else {
                let stamp = Self.stamp(ofVersion: UInt64(read.source.digest)!)
                for page in 0..<pages { read.memory.storeBytes(of: mix(stamp &+ UInt64(page)), toByteOffset: page * Self.pageBytes, as: UInt64.self) }
                // The stamp itself, beside what the first page has as all others have it.
                read.memory.storeBytes(of: stamp, toByteOffset: 8, as: UInt64.self)
                let weights = AdapterWeights.placeholder(at: read.memory, bytes: read.source.bytes)
                loaded[ObjectIdentifier(weights)] = Loaded(memory: read.memory, pages: pages)
                engine.adapterRead(read.ticket, .success(weights))
            }
        }
        return ended.count
    }

    // MARK: the model

    /// What the memory of an adapter says now; 0 for the base model.
    func stamp(of weights: AdapterWeights?) -> UInt64 {
        guard let weights else { return 0 }
        guard let place = loaded[ObjectIdentifier(weights)] else { preconditionFailure("weights that nobody read") }
        look &+= 1
        let stamp = place.memory.load(fromByteOffset: 8, as: UInt64.self)
        let page = look % place.pages
        let found = place.memory.load(fromByteOffset: page * Self.pageBytes, as: UInt64.self)
        let isWhole = found == mix(stamp &+ UInt64(page))
        return isWhole ? stamp : mix(stamp ^ found)
    }
}
