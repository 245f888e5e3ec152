// Log-probabilities of tokens under the model, for clients that ask.

import BerthKernels

extension TokenLogprob {
    /// The log-probability of `token` in a row of logits, and the `alternatives` likeliest tokens; nil where the row is no distribution.
    init?(of token: Int32, in logits: UnsafePointer<Float>, count: Int, alternatives: Int, compute: Compute) {
        let sum = compute.logSumExp(logits, count)
        guard sum.isFinite else { return nil }
        let top = alternatives > 0 ? compute.top(logits, count, k: min(alternatives, count)) : []
        self.init(token: token, logprob: logits[Int(token)] - sum, top: top.map { Alternative(token: $0.index, logprob: $0.value - sum) })
    }
}
