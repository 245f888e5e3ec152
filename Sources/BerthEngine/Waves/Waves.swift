// What the engine knows of bulk work: the wave under way, its memory, and its pace beside streams.
//
// A wave is a step of its own kind over requests that nobody waits for: as many of them as pay, in one batch that is computed piece by piece
// (`InterruptiblePass`). Between pieces the engine runs ordinary steps.

import BerthMemory
import BerthModels

/// Engine thread only. The lease must be taken before this goes.
struct Waves: ~Copyable {
    var current: PassUnderWay?
    /// Where rows of waves live, while there are any.
    var memory: Lease?
    var base: UnsafeMutableRawPointer?
    var size = WaveSize(rows: 0, logitRows: 0, partRows: 0)
    /// The last attempt began nothing; only an input can change that.
    var isStalled = false
    var pace = WavePace()
    var parts = WaveParts()
    /// Of the wave under way.
    var partRows = 0
    var planner = WavePlanner()
    /// How large waves are to be, and what one should take; nil where there are none.
    var choice: WavePlanner.Choice?
    /// What that was chosen by.
    var situation = WavePlanner.Situation(pages: 0, pagesPerRequest: 0, requests: 0, most: 0)
    /// Rows of the last wave that had prompts, and the time that all bulk work was foreseen to take then.
    var schedule: WaveSchedule.Choice?
    /// Nanoseconds that the wave under way should take.
    var foreseen = 0.0
    /// The last wave: requests, rows, and nanoseconds as foreseen and as measured.
    var measured: (requests: Int, rows: Int, foreseen: Double, nanoseconds: UInt64)?
    /// Of all that ended.
    var sums = (foreseen: 0.0, measured: 0.0)
    /// The wave's own time so far, and how long it has waited for the disk.
    var elapsed: UInt64 = 0
    var waited: UInt64 = 0
}
