// What the cache knows of one step: whose rows are where, and how far its present layer is.
//
// Two steps may be under way at a time, an ordinary one and a wave that stands between two of its pieces. Each has a lane. A lane that stands
// claims nothing: its layer's experts that have not run may leave, and are read again when it goes on, so that a wave can never keep
// the experts of a stream's next token out of a small pool.

import BerthCore
import BerthModels

/// Which of the steps that may be under way at a time.
enum StepLane: Int, CaseIterable {
    case ordinary
    case wave
}

struct ExpertLane {
    // The step.
    var sequences: [Range<Int>] = []
    /// Every row's request by its number in the policy.
    var rowNumbers: [Int32] = []
    /// Failures by the number of the sequence.
    var harmed: [Int: GenerationFailure] = [:]

    // The layer.
    var demand: ExpertDemand?
    var order: [ExpertSlot] = []
    /// Positions of the order before which every read has been begun.
    var begun = 0
    /// Positions that have run.
    var run = 0
    /// The number of the layer that was passed last.
    var last: Int?
}

extension ExpertCache {
    /// The steps of this lane go on; another one that is in a layer stands.
    func enter(_ other: StepLane) {
        guard other != present else { return }
        supply.reader.holdWaves(other == .ordinary)
        for slot in lane.order[lane.run...] {
            unclaim(slot)
            // The requests that it harms are known; the other step may have more luck.
            if case .lost = slot.state { slot.state = .absent }
        }
        lanes[present.rawValue] = lane
        present = other
        lane = lanes[other.rawValue]
        lanes[other.rawValue] = ExpertLane()
        for slot in lane.order[lane.run...] { claim(slot) }
        // What was read before may have left.
        lane.begun = lane.run
    }

    /// The wave is given up, in whatever layer it is: nobody will ask for the rest of it.
    func abandonWave() {
        let before = present
        enter(.wave)
        for slot in lane.order[lane.run...] { unclaim(slot) }
        for slot in lane.order { if case .lost = slot.state { slot.state = .absent } }
        lane = ExpertLane()
        enter(before)
    }
}
