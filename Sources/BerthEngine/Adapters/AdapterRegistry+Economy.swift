// What idle adapters are worth to the economy.
//
// A page of one costs as much to read as a page of another, so among adapters the chance decides that somebody asks for them (`ReuseChances`).
// Whoever the queue waits for is known to come back.

import BerthMemory

extension AdapterRegistry: EvictableClass {
    var use: PageClass { .adapter }

    /// How fast adapters come back, in bytes per second, before one was read: as from a common disk, packing included.
    private static let unmeasuredSpeed = 0.5e9

    /// Pages that idle adapters could give up.
    var evictablePages: Int { residents.reduce(0) { $0 + ($1.isIdle ? $1.pageCount : 0) } }

    /// The idle adapter that is least likely to be asked for, of such the least recently used; of those that requests wait for, who is waited for
    /// longest, and only after the others. O(resident adapters).
    var cheapest: Adapter? {
        var first: (adapter: Adapter, rank: (Int, Double, UInt64))?
        for adapter in residents where adapter.isIdle {
            let rank = (awaited.isEmpty ? .min : awaited[ObjectIdentifier(adapter)].map { -$0 } ?? .min, chanceByUse(adapter), adapter.lastUse)
            if first.map({ rank < $0.rank }) ?? true { first = (adapter, rank) }
        }
        return first?.adapter
    }

    func cheapestValue() -> Double? {
        guard let cheapest else { return nil }
        return value(of: cheapest, chance: max(chanceByUse(cheapest), awaited[ObjectIdentifier(cheapest)].map(Self.chance) ?? 0))
    }

    private func chanceByUse(_ adapter: Adapter) -> Double {
        chances.chance(kind: ReuseChances.kind(reuses: adapter.reuses), idleSteps: step - adapter.lastUseStep)
    }

    /// How likely it is taken to be that the next step wants an adapter for which a request at this place of the queue waits.
    static func chance(atPlace place: Int) -> Double { 1 / Double(1 + place) }

    /// What a page of an adapter is worth, in expected seconds per step.
    func value(of adapter: Adapter, chance: Double) -> Double {
        Double(adapter.source.bytes) / (reader.bytesPerSecond ?? Self.unmeasuredSpeed) / Double(adapter.pageCount) * chance
    }

    func evictCheapest() {
        guard let cheapest else { preconditionFailure("no adapter may leave") }
        if cheapest.stayUses > 0 { chances.learn(reuses: cheapest.reuses, idleSteps: step - cheapest.lastUseStep, wasWanted: false) }
        leaveMemory(cheapest, givingMemoryBack: false)
        evictions += 1
    }
}
