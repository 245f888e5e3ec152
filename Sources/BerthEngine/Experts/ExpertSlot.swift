// One expert of one layer, as the engine keeps track of it.

import BerthMemory
import BerthModels

/// absent → reading → resident → absent …; lost is for the rest of a layer, where a read failed. Engine thread only.
final class ExpertSlot {
    /// Why an expert was read before anybody asked for it.
    enum Speculation {
        /// The router of the layer before named it.
        case guess
        /// The next step's requests used it last.
        case queue
        /// A wave's next layer will want it.
        case wave
    }

    enum State {
        case absent
        /// Pages are leased. A speculative read was begun on a guess that has not come true yet.
        case reading(isSpeculative: Bool)
        case resident(Expert)
        case lost(String)
    }

    let id: ExpertID
    /// Its name in the policy.
    let key: ExpertKey
    var state = State.absent
    /// Held from the beginning of a read until the expert leaves.
    var lease: Lease?
    /// The present layer needs it and it has not run: it does not leave.
    var isNeeded = false
    /// A wave brought it beside streams, and none of them has used it since.
    var isWaves = false
    /// It was read ahead, and nobody has used it yet.
    var unproven: Speculation?

    init(id: ExpertID, key: ExpertKey) {
        self.id = id
        self.key = key
    }

    var isResident: Bool { if case .resident = state { true } else { false } }
    /// It can run, or never will.
    var isSettled: Bool {
        switch state {
        case .resident, .lost: true
        case .absent, .reading: false
        }
    }
}
