// Adapters that change, go, come back and are pinned while a run goes on.

import BerthCore
import BerthEngine

extension Simulation {
    func register(_ adapter: Int) throws(Violation) {
        let range = scenario.adapters.pages
        let (version, pages) = versions.replace(adapter, at: clock.now) { range.lowerBound + Int(mix($0 ^ seed) % UInt64(range.count)) }
        do throws(GenerationFailure) {
            try engine.registerAdapter(Workload.adapterName(adapter), SimulatedAdapters.source(version: version, pages: pages))
        } catch {
            versions.keepBefore(adapter)
            // A pinned version whose successor is too large stays.
            guard isPinned, adapter == 0, pages + expertShare.floorPages >= limit else { throw Violation(.failuresHaveCauses, "adapter \(adapter) was refused: \(error.message)") }
        }
        log.tell(clock.now) { "adapter a\(adapter) is version \(version), \(pages) pages" }
        // Who fitted beside the version before may not fit beside this one.
        noteRoom()
    }

    func changeAdapter() throws(Violation) {
        guard scenario.adapters.count > 0 else { return }
        let adapter = Int.random(in: 0..<scenario.adapters.count, using: &random)
        if versions.isPresent(adapter), random.unit() < scenario.faults.removalChance {
            versions.remove(adapter, at: clock.now)
            if adapter == 0 { isPinned = false }
            do throws(GenerationFailure) { try engine.unregisterAdapter(Workload.adapterName(adapter)) } catch {
                throw Violation(.failuresHaveCauses, "adapter \(adapter) could not be removed: \(error.message)")
            }
            log.tell(clock.now) { "adapter a\(adapter) is removed" }
            events.add(.restoreAdapter(adapter), at: clock.now + UInt64(random.exponential() * scenario.faults.reloadSeconds * 1e9))
        } else {
            try register(adapter)
        }
    }

    func changePin() throws(Violation) {
        guard scenario.adapters.count > 0, let pages = versions.present(0)?.pages else { return }
        do throws(GenerationFailure) { try engine.setPinned(Workload.adapterName(0), !isPinned) } catch {
            // Where the pool is too small for it, it says no.
            guard !isPinned, pages + expertShare.floorPages >= limit else { throw Violation(.failuresHaveCauses, "adapter 0 could not be pinned: \(error.message)") }
            return
        }
        isPinned.toggle()
        pinnedInMemory = nil
        log.tell(clock.now) { "adapter a0 is \(isPinned ? "pinned" : "pinned no more")" }
        noteRoom()
    }
}
