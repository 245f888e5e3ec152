// The merges of a byte-pair model: (left id, right id) to (rank, id of the merged token).
//
// One flat open-addressing table; a slot is two words, so that a lookup touches one cache line. 280,000 merges take 16 MiB.

/// One merge: of all that apply, the one with the least rank goes first.
struct Merge {
    let rank: UInt32
    let id: Int32
}

/// An immutable map from pairs of token ids to merges, made while loading.
struct MergeTable: Sendable {
    /// Pairs of words: the key plus one (zero is an empty slot), then rank and merged id.
    private var slots: [UInt64]

    /// The table of `merges`, whose ranks are their places in the list; the last of several for one pair counts.
    init(_ merges: [(left: Int32, right: Int32, merged: Int32)]) {
        precondition(merges.count < UInt32.max)
        slots = Array(repeating: 0, count: 2 * max(8, merges.count + merges.count / 2).nextPowerOfTwo)
        slots.withUnsafeMutableBufferPointer { slots in
            let mask = slots.count / 2 - 1
            for (rank, merge) in merges.enumerated() {
                let key = Self.key(merge.left, merge.right)
                var index = Int(truncatingIfNeeded: ByteHash.mix(key ^ ByteHash.seed)) & mask
                while slots[2 * index] != 0, slots[2 * index] != key { index = (index + 1) & mask }
                slots[2 * index] = key
                slots[2 * index + 1] = UInt64(rank) << 32 | UInt64(UInt32(bitPattern: merge.merged))
            }
        }
    }

    @inline(__always)
    private static func key(_ left: Int32, _ right: Int32) -> UInt64 {
        UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right)) + 1
    }

    /// The merge of `left` and `right`, if there is one. O(1) on average.
    @inline(__always)
    func merge(_ left: Int32, _ right: Int32) -> Merge? {
        let key = Self.key(left, right)
        return slots.withUnsafeBufferPointer { slots in
            let mask = slots.count / 2 - 1
            var index = Int(truncatingIfNeeded: ByteHash.mix(key ^ ByteHash.seed)) & mask
            while true {
                let found = slots[2 * index]
                if found == key {
                    let value = slots[2 * index + 1]
                    return Merge(rank: UInt32(value >> 32), id: Int32(truncatingIfNeeded: value))
                }
                if found == 0 { return nil }
                index = (index + 1) & mask
            }
        }
    }
}
