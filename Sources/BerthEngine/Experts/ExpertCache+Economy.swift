// What resident experts are worth to the economy: the time of a read, times the chance that the next step wants them.

import BerthMemory

extension ExpertCache: EvictableClass {
    var use: PageClass { .expert }

    /// Pages of experts that the present layer does not need any more, or never did.
    var evictablePages: Int { evictable * pagesPerExpert }

    /// Bytes of the experts' pages that hold nothing.
    var wasteBytes: Int { pool.pageCount(of: .expert) / pagesPerExpert * (pagesPerExpert * pool.pageBytes - supply.bytes) }

    func cheapestValue() -> Double? { policy.victim().map { value(ofChance: policy.chance(of: $0)) } }

    /// Expected seconds per step of a page of an expert that the next step wants with this chance.
    func value(ofChance chance: Double) -> Double {
        let speed = supply.reader.account.speed ?? 1
        return chance * Double(supply.bytes) / speed / 1e9 / Double(pagesPerExpert)
    }

    /// How long it takes to read everything that is not in memory: what a step of many rows waits for.
    var passNanoseconds: Double {
        Double((supply.count - policy.residentCount) * supply.bytes) / (supply.reader.account.speed ?? 1)
    }

    func evictCheapest() {
        guard let victim = policy.victim().map({ slots[policy.shape.index(of: $0)] }) else { preconditionFailure("no expert may leave") }
        if victim.unproven == .guess { account.wastedGuesses += 1 }
        account.evictions += 1
        leave(victim)
    }
}
