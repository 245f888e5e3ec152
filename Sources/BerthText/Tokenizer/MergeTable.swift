// The merges of a byte-pair model: (left id, right id) to (rank, id of the merged token).
//
// One flat open-addressing table; a slot is two words, so that a lookup touches one cache line. 280,000 merges take 16 MiB.

/// One merge: of all that apply, the one with the least rank goes first.
struct Merge {
    let rank: UInt32
    let id: Int32
}

/// An immutable map from pairs of token ids to merges, filled while loading.
struct MergeTable: Sendable {
    /// Pairs of words: the key plus one (zero is an empty slot), then rank and merged id.
    private var slots: [UInt64]
    private(set) var count = 0

    /// Holds at most `capacity` merges.
    init(capacity: Int) {
        slots = Array(repeating: 0, count: 2 * max(8, capacity + capacity / 2).nextPowerOfTwo)
    }

    @inline(__always)
    private static func key(_ left: Int32, _ right: Int32) -> UInt64 {
        UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right)) + 1
    }

    /// Sets the merge of `left` and `right`; the last of several for one pair counts.
    mutating func insert(_ left: Int32, _ right: Int32, _ merge: Merge) {
        let key = Self.key(left, right)
        let mask = slots.count / 2 - 1
        var index = Int(truncatingIfNeeded: ByteHash.mix(key ^ ByteHash.seed)) & mask
        while slots[2 * index] != 0, slots[2 * index] != key { index = (index + 1) & mask }
        if slots[2 * index] == 0 {
            precondition(count < mask, "MergeTable: more merges than its capacity")
            count += 1
        }
        slots[2 * index] = key
        slots[2 * index + 1] = UInt64(merge.rank) << 32 | UInt64(UInt32(bitPattern: merge.id))
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
