// Runs a plan against a daemon and writes down what became of it.

import BerthClient
import BerthCore
import BerthSimulator

struct LoadRecorder: Sendable {
    let client: BerthClient
    /// By number.
    let adapters: [String]
    /// All answers are made of it. It is a text by itself: the daemon would send half a character only with its other half, and the first token would
    /// seem to come late.
    let word: Int32
    /// The model's tokens that stand for the words of prompts, from this one on.
    private static let firstToken: Int32 = 100

    /// Every chain of requests, each of which waits for the answer before it, is one client. The recording has the times at which they really asked.
    func run(_ plan: Recording) async throws -> Recording {
        let clock = ContinuousClock(), start = clock.now, followers = plan.followers
        let served = try await withThrowingTaskGroup(of: [(Int, Duration, Recording.Answer)].self) { group in
            for first in plan.requests.indices where plan.requests[first].after == nil {
                group.addTask { try await serve(plan, from: first, followers, start, clock) }
            }
            return try await group.reduce(into: []) { $0 += $1 }
        }
        var recording = plan
        recording.answers = Array(repeating: Recording.Answer(asked: 0, first: 0, end: 0), count: plan.requests.count)
        for (index, waited, answer) in served {
            recording.requests[index].nanoseconds = UInt64(max(0, waited.seconds) * 1e9)
            recording.answers[index] = answer
        }
        return recording
    }

    private func serve(
        _ plan: Recording, from first: Int, _ followers: [[Int]], _ start: ContinuousClock.Instant, _ clock: ContinuousClock
    ) async throws -> [(Int, Duration, Recording.Answer)] {
        var served: [(Int, Duration, Recording.Answer)] = []
        var next: Int? = first
        var before = start
        while let index = next {
            let time = before.advanced(by: .nanoseconds(Int64(plan.requests[index].nanoseconds)))
            if time > clock.now { try await Task.sleep(until: time, clock: clock) }
            let request = request(plan, index)
            let asked = clock.now
            var firstToken: ContinuousClock.Instant?
            var tokens = 0
            for try await chunk in try await client.stream(request) {
                if firstToken == nil, !chunk.text.isEmpty || chunk.finishReason != nil { firstToken = clock.now }
                if let usage = chunk.usage { tokens = usage.completionTokens }
            }
            let end = clock.now
            guard let firstToken, tokens == plan.requests[index].output else { throw BenchError("request \(index) of \(plan.name) got \(tokens) tokens") }
            func seconds(_ time: ContinuousClock.Instant) -> Double { start.duration(to: time).seconds }
            served.append((index, before.duration(to: asked), .init(asked: seconds(asked), first: seconds(firstToken), end: seconds(end))))
            before = end
            next = followers[index].first
        }
        return served
    }

    private func request(_ plan: Recording, _ index: Int) -> CompletionRequest {
        let recorded = plan.requests[index]
        var options = SamplingOptions(maxTokens: recorded.output, temperature: 0)
        options.ignoresEndTokens = true
        options.extra["logit_bias"] = [String(word): 100]
        var request = CompletionRequest(model: recorded.adapter.map { adapters[$0] }, prompt: "", options: options)
        request.prompt = .tokens(plan.prompt(of: index).map { Self.firstToken + Int32($0) })
        return request
    }
}
