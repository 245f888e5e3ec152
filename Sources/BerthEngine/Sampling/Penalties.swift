// Penalties for repetition: which tokens a request has seen, and what that does to their logits.
//
// Costs memory and time in the number of different tokens seen, not in the size of the vocabulary, and nothing at all where
// no penalty is set.

/// The tokens of one request, counted. Order of application as in vLLM: repetition, frequency, presence.
struct Penalties {
    private let repetition: Float
    private let frequency: Float
    private let presence: Float
    private var slots: [Int32: Int] = [:]
    private var tokens: [Int32] = []
    /// How often each token stands in the output. The prompt counts for the repetition penalty only.
    private var outputCounts: [Int32] = []

    /// Nil where the parameters penalise nothing.
    init?(_ parameters: SamplingParameters, prompt: [Int32]) {
        guard parameters.repetitionPenalty != 1 || parameters.presencePenalty != 0 || parameters.frequencyPenalty != 0 else { return nil }
        repetition = parameters.repetitionPenalty
        frequency = parameters.frequencyPenalty
        presence = parameters.presencePenalty
        if repetition != 1 { for token in prompt { _ = slot(of: token) } }
    }

    /// `token` was generated.
    mutating func record(_ token: Int32) { outputCounts[slot(of: token)] += 1 }

    func apply(to logits: UnsafeMutablePointer<Float>) {
        for (slot, token) in tokens.enumerated() {
            var logit = logits[Int(token)]
            if repetition != 1 { logit = logit > 0 ? logit / repetition : logit * repetition }
            let count = outputCounts[slot]
            if count > 0 { logit -= frequency * Float(count) + presence }
            logits[Int(token)] = logit
        }
    }

    private mutating func slot(of token: Int32) -> Int {
        if let slot = slots[token] { return slot }
        slots[token] = tokens.count
        tokens.append(token)
        outputCounts.append(0)
        return tokens.count - 1
    }
}
