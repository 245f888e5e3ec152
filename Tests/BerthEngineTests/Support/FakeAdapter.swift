// Adapters for `FakeModel`: a stamp in every 4 KiB of the memory they were loaded into.

import BerthCore
import Synchronization

@testable import BerthEngine
@testable import BerthModels

enum FakeAdapter {
    private struct Loaded {
        var memory: UInt
        var bytes: Int
    }

    /// Where each object was loaded to. An address may be used again by a later object, whose entry then replaces this one.
    private static let loaded = Mutex<[ObjectIdentifier: Loaded]>([:])

    static func source(_ version: UInt64, bytes: Int, failure: String? = nil) -> AdapterSource {
        AdapterSource(bytes: bytes, digest: "digest-\(version)", modules: ["layer"]) { memory in
            if let failure { throw GenerationFailure(.adapterRejected, failure) }
            for offset in stride(from: 0, to: bytes, by: 4096) { memory.storeBytes(of: FakeModel.mix(version), toByteOffset: offset, as: UInt64.self) }
            let weights = blank(memory)
            loaded.withLock { $0[ObjectIdentifier(weights)] = Loaded(memory: UInt(bitPattern: memory), bytes: bytes) }
            return weights
        }
    }

    /// An object of the real class, without contents: the fake model looks its memory up here.
    private static func blank(_ memory: UnsafeMutableRawPointer) -> AdapterWeights {
        let table = UnsafePointer(memory.assumingMemoryBound(to: UInt32.self))
        let slots = UnsafePointer(memory.assumingMemoryBound(to: AdapterSlot.self))
        return AdapterWeights(memory: memory, table: table, slots: slots, type: .f32, expertLayers: [], bytes: 0)
    }

    /// What the memory of an adapter says now; 0 for the base model.
    static func fingerprint(_ weights: AdapterWeights?) -> UInt64 {
        guard let weights else { return 0 }
        guard let place = loaded.withLock({ $0[ObjectIdentifier(weights)] }) else { preconditionFailure("weights that nobody loaded") }
        let memory = UnsafeRawPointer(bitPattern: place.memory)!
        return stride(from: 0, to: place.bytes, by: 4096).reduce(0) { FakeModel.mix($0 &+ memory.load(fromByteOffset: $1, as: UInt64.self)) }
    }
}

/// A disk that answers when the test says so.
final class FakeReader: AdapterReader {
    private(set) var reads: [AdapterRead] = []
    var bytesPerSecond: Double?

    func begin(_ read: AdapterRead) { reads.append(read) }

    /// Performs the read at `index` and reports it.
    func complete(_ index: Int = 0, in engine: Engine) {
        let read = reads.remove(at: index)
        engine.adapterRead(read.ticket, read.perform())
    }

    func completeAll(in engine: Engine) { while !reads.isEmpty { complete(in: engine) } }
}
