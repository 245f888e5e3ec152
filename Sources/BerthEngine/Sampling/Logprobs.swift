// Log-probabilities of tokens under the model, for clients that ask.

import BerthKernels

extension TokenLogprob {
    /// The log-probability of `token` in a row of logits, and the `alternatives` likeliest tokens; nil where the row is no distribution.
    init?(of token: Int32, in logits: UnsafePointer<Float>, count: Int, alternatives: Int, isRanked: Bool = false, compute: Compute) {
        let sum = compute.logSumExp(logits, count)
        guard sum.isFinite else { return nil }
        let top = alternatives > 0 ? compute.top(logits, count, k: min(alternatives, count)) : []
        let own = logits[Int(token)]
        let rank = isRanked ? 1 + (0..<count).reduce(0) { $0 + (logits[$1] > own ? 1 : 0) } : nil
        self.init(token: token, logprob: own - sum, top: top.map { Alternative(token: $0.index, logprob: $0.value - sum) }, rank: rank)
    }
}
