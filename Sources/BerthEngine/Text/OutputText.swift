// The text of one request as it grows: detokenizer, then stop strings.

import BerthText

/// Turns tokens into text piece by piece. The pieces, joined, are the text of all tokens decoded at once; no piece holds half a character.
public protocol Detokenizer {
    mutating func append(_ token: Int32) -> String
    /// What was held back for the rest of a character.
    mutating func finish() -> String
}

extension StreamingDetokenizer: Detokenizer {}

struct OutputText {
    private var detokenizer: any Detokenizer
    private var matcher: StopMatcher
    /// Tokens to come in whose text stop strings are not looked for.
    private var unmatchedTokens: Int

    init(detokenizer: any Detokenizer, stopStrings: [String], includesStop: Bool = false, unmatchedTokens: Int = 0) {
        self.detokenizer = detokenizer
        self.unmatchedTokens = unmatchedTokens
        matcher = StopMatcher(stopStrings, includesStop: includesStop)
    }

    /// The text that became certain with `token`, and whether a stop string ended it.
    mutating func append(_ token: Int32) -> (text: String, isStopped: Bool) {
        let text = detokenizer.append(token)
        guard unmatchedTokens == 0 else {
            unmatchedTokens -= 1
            return (text, false)
        }
        return matcher.append(text)
    }

    /// The rest of the text, and whether a stop string ended it.
    mutating func finish() -> (text: String, isStopped: Bool) {
        let (text, isStopped) = matcher.append(detokenizer.finish())
        return (text + matcher.finish(), isStopped)
    }
}
