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
            guard read(slot, isSpeculative: true, below: value(ofChance: Self.guessChance)) else { return }
            account.guesses += 1
        }
    }

    /// How likely a guess must be taken to be: measured ones are near four in five; what it replaces must be clearly less likely.
    private static let guessChance = 0.4

    /// A layer has come: its guesses are settled.
    func settleGuesses(ofLayer number: Int) {
        guard guessesInFlight > 0 else { return }
        for slot in slots(ofLayer: number) {
            guard case .reading(isSpeculative: true) = slot.state else { continue }
            if !slot.isNeeded {
                account.wrongGuesses += 1
                slot.isUnprovenGuess = false
            }
            if slot.isNeeded {
                supply.reader.promote(slot.id)
                slot.state = .reading(isSpeculative: false)
                guessesInFlight -= 1
            } else if supply.reader.cancel(slot.id) {
                readsInFlight -= 1
                guessesInFlight -= 1
                account.cancelledGuesses += 1
                leave(slot)
            }
        }
    }
}
