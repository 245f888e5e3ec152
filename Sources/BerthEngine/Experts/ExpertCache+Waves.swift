// What waves do with the experts.
//
// A wave passes the layers one after the other and wants most experts of each, so the disk reads on for the next layer while this one computes.
//
// Beside streams a wave is a guest. The experts that streams chose of late are worth more to them than anything is to a wave, which wants each once and
// comes back after all others; so the wave keeps to a small part of the pool, where what it brought first leaves first, and the policy learns nothing from
// it. What streams have in memory it uses like anybody.

import BerthCore
import BerthModels
import Glibc

extension ExpertCache {
    // MARK: reading on

    /// The wave computes on: the disk goes on with what its next layer will want.
    func readOn() {
        guard lane.demand == nil, let last = lane.last else { return }
        takeResults(waits: false)
        readOn(after: last)
    }

    /// A wave's next layer will want most of its experts: while this one computes, the disk goes on with those that are missing there.
    func readOn(after number: Int) {
        guard supply.options.prefetches, lane.begun == lane.order.count else { return }
        // Of experts that so many rows choose alike.
        let chance = 1 - pow(1 - Double(supply.chosen) / Double(supply.expertsPerLayer), Double(lane.rowNumbers.count))
        guard chance > Self.leastWaveChance else { return }
        let next = slots(ofLayer: (number + 1) % supply.layers.count)
        // What was brought for it already must not leave for what is still missing.
        var room = max(1, policy.capacity / Self.aheadShare) - next.count { $0.unproven == .wave }
        for slot in next where room > 0 {
            guard readsInFlight < mostWaveReads else { return }
            guard case .absent = slot.state else { continue }
            room -= 1
            guard read(slot, ahead: .wave, below: value(ofChance: isGuest ? Self.guestChance : Self.nextLayerChance)) else { return }
        }
    }

    /// As many as keep the disk busy while a piece computes, where the pool is not too small to hold so much that is not there yet.
    var mostWaveReads: Int { isGuest ? min(Limits.guestReads, guestSlots) : max(Limits.expertReads, min(Limits.waveReads, policy.capacity / 8)) }

    /// Experts read ahead for one layer take this part of the room at most.
    private static let aheadShare = 4
    /// Few rows choose few experts: then it is better not to read than to read what nobody wants.
    private static let leastWaveChance = 0.8
    /// What leaves for an expert that a wave's next layer wants has less than this chance: it is wanted a round later (half a chance), or some layers later at
    /// least. Beside streams only what is wanted later than that leaves.
    private static let (nextLayerChance, guestChance) = (0.75, 0.5)

    // MARK: beside streams

    var isGuest: Bool { present == .wave && isBesideStreams }

    /// Experts that a wave may bring beside streams.
    private var guestSlots: Int { max(Limits.expertReads, policy.capacity / Self.guestShare) }
    private static let guestShare = 16

    /// The guest may bring another expert; for that the first of those that it does not need any more leaves. False where it has to wait.
    func makeGuestRoom() -> Bool {
        waveSlots.removeAll { !$0.isWaves }
        guard waveSlots.count >= guestSlots else { return true }
        guard let index = waveSlots.firstIndex(where: { $0.isResident && !$0.isNeeded }) else { return false }
        leave(waveSlots.remove(at: index))
        account.evictions += 1
        return true
    }

    func enterAsGuest(_ slot: ExpertSlot) {
        slot.isWaves = true
        waveSlots.append(slot)
    }

    /// Whether streams run, before a piece of the wave.
    func besideStreams(_ isBeside: Bool) {
        guard isBesideStreams != isBeside else { return }
        isBesideStreams = isBeside
        for slot in waveSlots { slot.isWaves = false }
        waveSlots = []
    }
}
