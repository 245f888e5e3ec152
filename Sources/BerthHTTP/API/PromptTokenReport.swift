// Log-probabilities of a prompt's tokens (`prompt_logprobs`), in the shape that vLLM gave them.

import BerthCore

/// One token of a prompt with the likeliest tokens of its place.
public struct PromptTokenReport: Sendable, Equatable {
    public struct Entry: Sendable, Equatable {
        public var token: Int32
        public var text: String
        public var logprob: Float
        /// 1 for the likeliest.
        public var rank: Int

        public init(token: Int32, text: String, logprob: Float, rank: Int) {
            self.token = token
            self.text = text
            self.logprob = logprob
            self.rank = rank
        }
    }

    /// The alternatives, likeliest first, and the prompt's own token.
    public var entries: [Entry]

    public init(entries: [Entry]) { self.entries = entries }

    /// `[null, {"<token id>": {"logprob", "rank", "decoded_token"}, …}, …]`: nothing predicts the first token.
    static func list(_ reports: [PromptTokenReport?]) -> JSON {
        .array(reports.map { report in
            guard let report else { return .null }
            return JSON(members: report.entries.map { entry in
                (String(entry.token), ["logprob": TokenReport.number(entry.logprob), "rank": JSON(entry.rank), "decoded_token": .string(entry.text)])
            })
        })
    }
}
