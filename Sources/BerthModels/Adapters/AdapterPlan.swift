// An adapter on its way from disk into the pool: how many bytes it takes, where each factor goes, and the loading itself.
//
// The engine makes a plan on its own thread (arithmetic on shapes that were validated long ago), leases `bytes` of pool
// and hands plan and memory to a disk reader, which calls `load`. Ranks are not padded: an adapter takes what its
// factors take, rounded to the line of 64 bytes on which each begins. The slot table lies in the same memory, so that an
// adapter holds next to nothing outside the pool.
//
//   u32 slot[modules]      0: this module is not adapted; else one more than the index of its slot
//   AdapterSlot[adapted]
//   per slot: A [rank][inputs], B [rank][outputs], in f32 or f16. For the embedding A is [vocabulary][rank], so that a
//             token's numbers lie together, and is followed by an identity [rank][rank] (see Layers/Embedding.swift)

import BerthCore
import BerthStore

/// Where the factors of one module lie in an adapter's memory.
struct AdapterSlot {
    /// Bytes from the start.
    var a: UInt64
    var b: UInt64
    /// Of the identity; the embedding's slot only.
    var identity: UInt64
    var rank: UInt32
    var scale: Float
}

/// The layout of one adapter in memory. A value that any thread may load.
public struct AdapterPlan: Sendable {
    /// Bytes to lease.
    public let bytes: Int

    private let checkpoint: AdapterCheckpoint
    private let map: ModuleMap
    private let type: ElementType
    /// One per `checkpoint.modules`.
    private let slots: [AdapterSlot]
    private let slotsOffset: Int

    init(_ checkpoint: AdapterCheckpoint, map: ModuleMap, type: ElementType) {
        var end = map.count * MemoryLayout<UInt32>.stride
        func reserve(_ count: Int) -> Int {
            let start = (end + 63) / 64 * 64
            end = start + count
            return start
        }
        slotsOffset = reserve(checkpoint.modules.count * MemoryLayout<AdapterSlot>.stride)
        slots = checkpoint.modules.map { module in
            let a = reserve(module.rank * module.inputs * type.bytes)
            let identity = module.kind == .embedding ? reserve(module.rank * module.rank * type.bytes) : 0
            let b = reserve(module.rank * module.outputs * type.bytes)
            return AdapterSlot(a: UInt64(a), b: UInt64(b), identity: UInt64(identity), rank: UInt32(module.rank), scale: module.scale)
        }
        bytes = (end + 63) / 64 * 64
        self.checkpoint = checkpoint
        self.map = map
        self.type = type
    }

    /// Reads the adapter into `memory` (`bytes` bytes, 64-byte aligned, which the caller keeps until the result is gone).
    /// Checks that every value is finite. Runs on a disk reader's thread; what was written before an error is worthless.
    public func load(into memory: UnsafeMutableRawPointer) throws(AdapterRejection) -> AdapterWeights {
        let table = memory.bindMemory(to: UInt32.self, capacity: map.count)
        table.initialize(repeating: 0, count: map.count)
        let slotMemory = (memory + slotsOffset).bindMemory(to: AdapterSlot.self, capacity: slots.count)
        var expertLayers = Array(repeating: false, count: map.layerStart.count)
        for (index, module) in checkpoint.modules.enumerated() {
            guard let number = map.numbers[module.path] else { preconditionFailure("the catalogue let \(module.path) through") }
            table[number] = UInt32(index + 1)
            (slotMemory + index).initialize(to: slots[index])
            if let layer = map.expertLayer(of: number) { expertLayers[layer] = true }
            if module.kind == .embedding { writeIdentity(rank: module.rank, at: memory + Int(slots[index].identity)) }
        }
        try checkpoint.load(as: type) { module, role in
            memory + Int(role == .a ? slots[module].a : slots[module].b)
        }
        return AdapterWeights(memory: memory, table: table, slots: slotMemory, type: type, expertLayers: expertLayers, bytes: bytes)
    }

    /// Reads the whole adapter and throws what `load` would throw.
    public func check() throws(AdapterRejection) { try checkpoint.check(as: type) }

    /// The type that factors have in memory: what `check` is for.
    public var element: ElementType { type }

    private func writeIdentity(rank: Int, at memory: UnsafeMutableRawPointer) {
        for row in 0..<rank {
            for column in 0..<rank {
                let one: Float = row == column ? 1 : 0
                if type == .f32 {
                    memory.storeBytes(of: one, toByteOffset: (row * rank + column) * 4, as: Float.self)
                } else {
                    memory.storeBytes(of: Float16(one).bitPattern, toByteOffset: (row * rank + column) * 2, as: UInt16.self)
                }
            }
        }
    }
}
