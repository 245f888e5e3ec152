// An adapter in memory, ready for batches. Pointers into pages that the engine has leased; whoever holds one keeps the lease.

import BerthCore
import BerthKernels

/// The loaded factors of one adapter.
///
/// `@unchecked Sendable`: made on a disk reader's thread and never changed afterwards.
public final class AdapterWeights: @unchecked Sendable {
    /// Size of the memory behind it.
    public let bytes: Int
    let type: ElementType
    private let memory: UnsafeMutableRawPointer
    private let table: UnsafePointer<UInt32>
    private let slots: UnsafePointer<AdapterSlot>
    /// Whether some expert of a layer is adapted, by layer.
    private let expertLayers: [Bool]

    init(
        memory: UnsafeMutableRawPointer, table: UnsafePointer<UInt32>, slots: UnsafePointer<AdapterSlot>, type: ElementType,
        expertLayers: [Bool], bytes: Int
    ) {
        self.memory = memory
        self.table = table
        self.slots = slots
        self.type = type
        self.expertLayers = expertLayers
        self.bytes = bytes
    }

    func adaptsExperts(ofLayer layer: Int) -> Bool { expertLayers[layer] }

    /// What the adapter adds to `rows` in module `module`; nil where it does not target it.
    @inline(__always) func segment(module: Int, rows: Range<Int>) -> Compute.LoRASegment? {
        guard let slot = slot(of: module) else { return nil }
        return Compute.LoRASegment(
            rows: rows, rank: Int(slot.rank), scale: slot.scale, a: UnsafeRawPointer(memory) + Int(slot.a),
            b: UnsafeRawPointer(memory) + Int(slot.b), type: type)
    }

    @inline(__always) private func slot(of module: Int) -> AdapterSlot? {
        let index = table[module]
        return index == 0 ? nil : slots[Int(index) - 1]
    }

    /// The embedding's factors: A as `[vocabulary][rank]`, and a segment whose A is the identity.
    func embedding(rows: Range<Int>) -> (table: UnsafeRawPointer, segment: Compute.LoRASegment)? {
        guard let slot = slot(of: ModuleMap.embedding), var segment = segment(module: ModuleMap.embedding, rows: rows) else { return nil }
        let table = segment.a
        segment.a = UnsafeRawPointer(memory) + Int(slot.identity)
        return (table, segment)
    }
}

extension AdapterWeights {
    /// An object without factors, for models that compute nothing: what it stands for is known by its identity.
    package static func placeholder(at memory: UnsafeMutableRawPointer, bytes: Int) -> AdapterWeights {
        AdapterWeights(
            memory: memory, table: UnsafePointer(memory.assumingMemoryBound(to: UInt32.self)), slots: UnsafePointer(memory.assumingMemoryBound(to: AdapterSlot.self)),
            type: .f32, expertLayers: [], bytes: bytes)
    }
}
