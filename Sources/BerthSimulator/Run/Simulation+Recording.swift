// A run whose requests are those of a recording.

import BerthCore
import BerthEngine

/// The requests that a run takes from its recording, and what has become of them.
struct RecordedRun {
    let recording: Recording
    let followers: [[Int]]
    /// By request; nil as long as it has no answer, and where it failed.
    var answers: [Recording.Answer?]

    init(_ recording: Recording) {
        self.recording = recording
        followers = recording.followers
        answers = recording.requests.map { _ in nil }
    }

    /// What the engine is asked for. Its number is the place in the recording, from 1 on.
    func plan(_ index: Int, tenant: TenantName) -> PlannedRequest {
        let recorded = recording.requests[index]
        let prompt = recording.prompt(of: index).map { TokenFunction.words.lowerBound + Int32($0) }
        var request = GenerationRequest(
            id: RequestID(UInt64(index + 1)), adapter: recorded.adapter.map(Workload.adapterName), prompt: prompt, maxTokens: recorded.output)
        request.tenant = tenant
        request.sampling.temperature = 0
        request.ignoresEndTokens = true
        return PlannedRequest(request: request, tenant: 0, adapter: recorded.adapter)
    }
}

extension Simulation {
    /// Those who ask by themselves.
    func beginRecording() {
        guard let recorded else { return }
        for (index, request) in recorded.recording.requests.enumerated() where request.after == nil { questions.add(.recorded(index), at: request.nanoseconds) }
    }

    func askRecorded(_ index: Int, at time: UInt64) {
        let plan = recorded!.plan(index, tenant: scenario.tenants[0].name)
        events.add(.submit(plan, arrival: time), at: time + UInt64(scenario.machine.costs.request))
    }

    /// A request is over: who waited for that asks now.
    func answerRecorded(_ record: RequestRecord) {
        guard let recorded else { return }
        let index = Int(record.request.id.rawValue) - 1, now = clock.now
        if let first = record.firstToken, record.tokens.count == record.request.maxTokens {
            self.recorded!.answers[index] = Recording.Answer(asked: Double(record.arrival) / 1e9, first: Double(first) / 1e9, end: Double(now) / 1e9)
        }
        for follower in recorded.followers[index] { questions.add(.recorded(follower), at: now + recorded.recording.requests[follower].nanoseconds) }
    }
}
