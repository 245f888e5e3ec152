// Requests of all kinds, out of a seed.

import BerthCore

@testable import BerthEngine

/// Requests 1...count: prompts of 1 to 100 tokens, greedy and sampled, with log-probabilities, every third with those of its prompt.
func randomRequests(
    _ count: UInt64, seed: UInt64, vocabulary: Int, adapters: [AdapterName?], maxTokens: ClosedRange<Int>
) -> [GenerationRequest] {
    var random = RandomSource(seed: seed)
    return (1...count).map { id in
        let length = Int.random(in: 1...100, using: &random)
        let prompt = (0..<length).map { _ in Int32.random(in: 3..<Int32(vocabulary), using: &random) }
        let adapter = adapters.isEmpty ? nil : adapters.randomElement(using: &random)!
        var request = GenerationRequest(id: RequestID(id), adapter: adapter, prompt: prompt, maxTokens: Int.random(in: maxTokens, using: &random))
        request.ignoresEndTokens = true
        request.sampling.temperature = Bool.random(using: &random) ? 0 : 1
        request.sampling.seed = id
        request.serviceClass = id % 4 == 2 ? .bulk : .interactive
        request.logprobs = 3
        request.promptLogprobs = id % 3 == 0 ? request.logprobs ?? 0 : nil
        return request
    }
}
