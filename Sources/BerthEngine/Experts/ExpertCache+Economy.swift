// What resident experts are worth to the economy: the time of a read, times the chance that the next step wants them.

import BerthMemory

extension ExpertCache: EvictableClass {
    var use: PageClass { .expert }

    /// Pages of experts that the present layer does not need any more, or never did.
    var evictablePages: Int { slots.reduce(0) { $0 + (mayLeave($1) ? pagesPerExpert : 0) } }

    private func mayLeave(_ slot: ExpertSlot) -> Bool { slot.isResident && (slot.neededBy == 0 || slot.neededBy != pass) }

    /// O(experts).
    func cheapestValue() -> Double? {
        var best: (slot: ExpertSlot, order: ExpertChances.Order)?
        for slot in slots where mayLeave(slot) {
            let order = policy.order(of: slot.index, from: layer)
            if best == nil || order < best!.order { best = (slot, order) }
        }
        guard let best else { return nil }
        let value = value(ofChance: policy.chance(of: best.slot.index))
        cheapest = (best.slot, value)
        return value
    }

    /// Expected seconds per step of a page of an expert that the next step wants with this chance.
    func value(ofChance chance: Double) -> Double {
        let speed = supply.reader.account.speed ?? 1
        return chance * Double(supply.bytes) / speed / 1e9 / Double(pagesPerExpert)
    }

    func evictCheapest() {
        if cheapest == nil { _ = cheapestValue() }
        guard let victim = cheapest?.slot else { preconditionFailure("no expert may leave") }
        if victim.isUnprovenGuess { account.wastedGuesses += 1 }
        account.evictions += 1
        leave(victim)
    }
}
