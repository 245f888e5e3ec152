// A pass that is left between two of its pieces: a wave, or a step that made way for a newcomer.
//
// While it is under way its requests' pages and adapters are its own; a request that ends meanwhile gives them up when the pass does.

import BerthModels

struct PassUnderWay {
    let plan: StepPlan
    let pass: any InterruptiblePass
    /// Requests of it that have ended.
    var departed: [ActiveRequest] = []
    /// Of a step: its time will be known, since nothing else has run meanwhile.
    var isMeasured = true
    private let requests: Set<ObjectIdentifier>

    init(_ plan: StepPlan, _ pass: any InterruptiblePass) {
        self.plan = plan
        self.pass = pass
        requests = Set(plan.rows.map { ObjectIdentifier($0.request) })
    }

    func contains(_ request: ActiveRequest) -> Bool { requests.contains(ObjectIdentifier(request)) }
}
