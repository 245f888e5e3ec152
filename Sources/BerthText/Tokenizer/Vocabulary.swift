// The tokens of a model: bytes to id and back, in flat arrays.
//
// Tokens are byte strings, compared byte by byte (never as Swift strings, whose equality is canonical equivalence).
// Filled once while loading, then immutable and shared. An open-addressing table with linear probing maps bytes to ids;
// its hash has a seed per process, so that nobody can prepare a file of colliding tokens.

import BerthCore
import Glibc

/// A set of tokens with ids in 0 ..< `idBound`, not necessarily dense.
struct Vocabulary: Sendable {
    /// The bytes of all tokens, one after the other.
    private var arena: [UInt8] = []
    /// By id: where the token starts in `arena` (upper half), and its length.
    private var places: [UInt64] = []
    /// The place of an id without a token.
    private static let nowhere = UInt64.max
    /// Upper half: a part of the hash; lower half: id + 1. Zero is an empty slot. The count is a power of two.
    private var slots: [UInt64]
    private(set) var count = 0

    /// Makes room for about `capacity` tokens.
    init(capacity: Int) {
        slots = Array(repeating: 0, count: max(16, capacity * 2).nextPowerOfTwo)
        places.reserveCapacity(capacity)
        arena.reserveCapacity(capacity * 8)
    }

    /// One more than the greatest id.
    var idBound: Int { places.count }

    /// The id of the token with these bytes. O(1) on average.
    @inline(__always)
    func id(of token: UnsafeBufferPointer<UInt8>) -> Int32? {
        let hash = ByteHash.hash(token)
        let mask = slots.count - 1
        return slots.withUnsafeBufferPointer { slots in
            var index = Int(truncatingIfNeeded: hash) & mask
            while slots[index] != 0 {
                let slot = slots[index]
                if slot >> 32 == hash >> 32 {
                    let id = Int(slot & 0xFFFF_FFFF) - 1
                    if equals(id, token) { return Int32(truncatingIfNeeded: id) }
                }
                index = (index + 1) & mask
            }
            return nil
        }
    }

    func id(of token: [UInt8]) -> Int32? { token.withUnsafeBufferPointer { id(of: $0) } }

    func id(of token: String) -> Int32? { id(of: Array(token.utf8)) }

    @inline(__always)
    private func equals(_ id: Int, _ token: UnsafeBufferPointer<UInt8>) -> Bool {
        let place = places.withUnsafeBufferPointer { $0[id] }
        guard place & 0xFFFF_FFFF == UInt64(token.count), let other = token.baseAddress else { return place & 0xFFFF_FFFF == UInt64(token.count) }
        return arena.withUnsafeBufferPointer { memcmp($0.baseAddress! + Int(place >> 32), other, token.count) == 0 }
    }

    /// The bytes of token `id`; nil where there is none.
    func token(_ id: Int32) -> ArraySlice<UInt8>? {
        guard contains(id: id) else { return nil }
        let start = Int(places[Int(id)] >> 32)
        return arena[start..<start + Int(places[Int(id)] & 0xFFFF_FFFF)]
    }

    func contains(id: Int32) -> Bool { id >= 0 && id < places.count && places[Int(id)] != Self.nowhere }

    enum Insertion { case inserted, tokenExists(Int32), idExists }

    /// Adds `token` under `id` (0 ... `Limits.tokenIdentifier`), unless one of them is taken.
    mutating func insert(_ token: UnsafeBufferPointer<UInt8>, id: Int) -> Insertion {
        precondition(id >= 0 && id <= Limits.tokenIdentifier)
        if let other = self.id(of: token) { return .tokenExists(other) }
        if contains(id: Int32(id)) { return .idExists }
        if (count + 1) * 2 > slots.count { grow() }
        if id >= places.count { places.append(contentsOf: repeatElement(Self.nowhere, count: id + 1 - places.count)) }
        places[id] = UInt64(arena.count) << 32 | UInt64(token.count)
        arena.append(contentsOf: token)
        count += 1
        place(id, ByteHash.hash(token))
        return .inserted
    }

    private mutating func place(_ id: Int, _ hash: UInt64) {
        let mask = slots.count - 1
        var index = Int(truncatingIfNeeded: hash) & mask
        while slots[index] != 0 { index = (index + 1) & mask }
        slots[index] = (hash >> 32) << 32 | UInt64(id + 1)
    }

    private mutating func grow() {
        slots = Array(repeating: 0, count: slots.count * 2)
        for id in places.indices where places[id] != Self.nowhere {
            place(id, arena.withUnsafeBufferPointer { arena in
                let start = Int(places[id] >> 32)
                return ByteHash.hash(UnsafeBufferPointer(rebasing: arena[start..<start + Int(places[id] & 0xFFFF_FFFF)]))
            })
        }
    }
}

/// A multiplicative hash of short byte strings (folded 128-bit products, eight bytes at a time) with a seed per process.
enum ByteHash {
    static let seed = UInt64.random(in: .min ... .max) | 1

    @inline(__always)
    static func mix(_ value: UInt64) -> UInt64 {
        let product = value.multipliedFullWidth(by: 0x9E37_79B9_7F4A_7C15)
        return product.high ^ product.low
    }

    @inline(__always)
    static func hash(_ bytes: UnsafeBufferPointer<UInt8>) -> UInt64 {
        var hash = seed ^ UInt64(bytes.count)
        var index = 0
        while index + 8 <= bytes.count {
            hash = mix(hash ^ UnsafeRawPointer(bytes.baseAddress! + index).loadUnaligned(as: UInt64.self))
            index += 8
        }
        var tail: UInt64 = 0
        while index < bytes.count {
            tail = tail << 8 | UInt64(bytes[index])
            index += 1
        }
        return mix(mix(hash ^ tail) ^ seed)
    }
}

extension Int {
    /// The least power of two that is not less than this number.
    var nextPowerOfTwo: Int { self <= 1 ? 1 : 1 << (Int.bitWidth - (self - 1).leadingZeroBitCount) }
}
