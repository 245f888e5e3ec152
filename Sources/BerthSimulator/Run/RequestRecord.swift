// What is known of one request of a run.

import BerthCore
import BerthEngine

struct RequestRecord {
    let plan: PlannedRequest
    /// As the engine got it.
    let request: GenerationRequest
    /// When the client asked, and when the engine got it.
    let arrival: UInt64
    let submitted: UInt64
    var tokens: [Int32] = []
    var firstToken: UInt64?
    var lastToken: UInt64 = 0
    var isCalledOff = false
    /// It was too large for the pool, or came while the engine was full.
    var mayBeRefused: Bool

    init(_ plan: PlannedRequest, _ request: GenerationRequest, arrival: UInt64, submitted: UInt64, mayBeRefused: Bool) {
        self.plan = plan
        self.request = request
        self.arrival = arrival
        self.submitted = submitted
        self.mayBeRefused = mayBeRefused
    }
}
