// What idle adapters are worth to the economy.
//
// Among adapters it is recency that decides. Against other classes an adapter's chance is one over the steps since its last use: whoever
// was gone for n steps will, by what is known, be gone for as many more. Whoever the queue waits for is known to come back.

import BerthMemory

extension AdapterRegistry: EvictableClass {
    var use: PageClass { .adapter }

    /// How fast adapters come back, in bytes per second, before one was read: as from a common disk, packing included.
    private static let unmeasuredSpeed = 0.5e9

    /// Pages that idle adapters could give up.
    var evictablePages: Int { residents.reduce(0) { $0 + ($1.isIdle ? $1.pageCount : 0) } }

    /// The least recently used idle adapter; of those that requests wait for, who is waited for longest, and only after the others. O(resident adapters).
    var cheapest: Adapter? {
        var first: (adapter: Adapter, rank: (Int, UInt64))?
        for adapter in residents where adapter.isIdle {
            let rank = (awaited.isEmpty ? .min : awaited[ObjectIdentifier(adapter)].map { -$0 } ?? .min, adapter.lastUse)
            if first.map({ rank < $0.rank }) ?? true { first = (adapter, rank) }
        }
        return first?.adapter
    }

    func cheapestValue() -> Double? {
        guard let cheapest else { return nil }
        let recency = 1 / Double(1 + max(0, step - cheapest.lastUseStep))
        return value(of: cheapest, chance: max(recency, awaited[ObjectIdentifier(cheapest)].map(Self.chance) ?? 0))
    }

    /// How likely it is taken to be that the next step wants an adapter for which a request at this place of the queue waits.
    static func chance(atPlace place: Int) -> Double { 1 / Double(1 + place) }

    /// What a page of an adapter is worth, in expected seconds per step.
    func value(of adapter: Adapter, chance: Double) -> Double {
        Double(adapter.source.bytes) / (reader.bytesPerSecond ?? Self.unmeasuredSpeed) / Double(adapter.pageCount) * chance
    }

    func evictCheapest() {
        guard let cheapest else { preconditionFailure("no adapter may leave") }
        leaveMemory(cheapest, givingMemoryBack: false)
        evictions += 1
    }
}
