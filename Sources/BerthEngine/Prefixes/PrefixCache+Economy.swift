// What idle blocks are worth to the economy: the time of computing them again, times the chance that the next step wants them.

import BerthMemory

extension PrefixCache: EvictableClass {
    var use: PageClass { .kv }

    /// Idle blocks stand below idle blocks only, so all of them could leave, leaves first.
    var evictablePages: Int { idleCount }

    func cheapestValue() -> Double? { idle.cheapest(step: step)?.value }

    func evictCheapest() {
        guard let (block, _) = idle.cheapest(step: step) else { preconditionFailure("no block may leave") }
        idle.chances.learn(reuses: block.reuses, idleSteps: step - block.lastUseStep, wasWanted: false)
        evict(block)
    }
}
