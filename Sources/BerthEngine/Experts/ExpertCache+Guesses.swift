// Reading ahead: the experts that the next layer will probably choose.
//
// A guess costs the disk's time and may cost another expert its place, so it is taken only where both are cheap: its read
// starts while no other waits, and it replaces only what is less likely to be wanted than a guess is to come true. When the layer comes, guesses that came true
// become ordinary reads, and those that have not started and were wrong are taken back.

import BerthCore
import BerthModels

extension ExpertCache {
    func wantsForesight(ofLayer layer: Int, rows: Int) -> Bool { supply.options.prefetches }

    func foresee(layer: Int, _ experts: UnsafeBufferPointer<Int32>) {
        let slots = slots(ofLayer: number(ofLayer: layer))
        for expert in experts {
            guard guessesInFlight < Limits.expertGuesses else { return }
            let slot = slots[Int(expert)]
            guard case .absent = slot.state else { continue }
            guard read(slot, ahead: .guess, below: value(ofChance: Self.guessChance)) else { return }
            account.guesses += 1
        }
    }

    /// How likely a guess must be taken to be: measured ones are near four in five; what it replaces must be clearly less likely.
    private static let guessChance = 0.4

    /// The disk is idle between two steps: reads what the next one's requests used last, or are certain to use, where that is worth clearly more than what
    /// has to leave for it. Demand takes the disk back as soon as a layer comes.
    func readAhead() {
        guard supply.options.prefetches else { return }
        takeResults(waits: false)
        let limit = Limits.expertsAhead - guessesInFlight
        guard limit > 0 else { return }
        // Experts on their way are absent to the policy.
        for (key, chance) in policy.absentees(limit + readsInFlight, leastChance: Self.aheadChance) {
            guard guessesInFlight < Limits.expertsAhead else { return }
            let slot = slots[policy.shape.index(of: key)]
            guard case .absent = slot.state else { continue }
            guard read(slot, ahead: .queue, below: value(ofChance: Self.aheadMargin * chance)) else { return }
            account.queueReads += 1
        }
    }

    /// What is less likely is not worth the disk's time; and what is not clearly less likely stays.
    private static let (aheadChance, aheadMargin) = (0.5, 0.8)

    /// A layer has come: its guesses are settled.
    func settleGuesses(ofLayer number: Int) {
        guard guessesInFlight + waveReadsInFlight > 0 else { return }
        for slot in slots(ofLayer: number) {
            guard case .reading(isSpeculative: true) = slot.state else { continue }
            let wasGuess = slot.unproven == .guess
            if slot.isNeeded {
                countAhead(slot, -1)
                slot.state = .reading(isSpeculative: false)
                continue
            }
            // What a wave will want is not this step's to take back.
            if slot.unproven == .wave, present == .ordinary { continue }
            if wasGuess { account.wrongGuesses += 1 }
            if supply.reader.cancel(slot.id) {
                readsInFlight -= 1
                countAhead(slot, -1)
                if wasGuess { account.cancelledGuesses += 1 }
                leave(slot)
            } else if wasGuess {
                slot.unproven = nil
            }
        }
    }
}
