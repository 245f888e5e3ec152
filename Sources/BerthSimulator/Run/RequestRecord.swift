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
    /// Its place in the order in which the engine got requests.
    let order: Int
    /// Pages of keys and values that it may come to.
    let kvPages: Int
    /// It came while the engine was full.
    let cameTooMany: Bool
    /// At some time it would not have fitted the pool, even alone.
    var wasTooLarge = false

    init(_ plan: PlannedRequest, _ request: GenerationRequest, arrival: UInt64, submitted: UInt64, order: Int, kvPages: Int, cameTooMany: Bool) {
        (self.order, self.kvPages, self.cameTooMany) = (order, kvPages, cameTooMany)
        self.plan = plan
        self.request = request
        self.arrival = arrival
        self.submitted = submitted
    }
}
