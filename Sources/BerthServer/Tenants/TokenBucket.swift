// How many tokens a tenant may have in a minute.
//
// A bucket that holds a minute's tokens and fills evenly. A request is let in when the bucket has its prompt's tokens; those of the answer are taken as
// they come, and may leave a debt that has to be paid before the next request. So nobody has to say before how long an answer
// will be, and over time nobody gets more than the rate. A prompt of more than a minute's tokens is let in when the bucket is full.

struct TokenBucket: Sendable, Equatable {
    private(set) var tokensPerMinute: Int
    /// At `time`. Negative is a debt.
    private(set) var tokens: Double
    /// Nanoseconds of the caller's clock.
    private var time: UInt64

    private var nanosecondsPerToken: Double { 60e9 / Double(tokensPerMinute) }

    /// A full one.
    init(tokensPerMinute: Int, now: UInt64) {
        self.tokensPerMinute = tokensPerMinute
        tokens = Double(tokensPerMinute)
        time = now
    }

    /// Another rate from now on; what is owed stays owed.
    mutating func setRate(_ tokensPerMinute: Int, now: UInt64) {
        fill(now)
        self.tokensPerMinute = tokensPerMinute
        tokens = min(tokens, Double(tokensPerMinute))
    }

    /// Nanoseconds until a request whose prompt has `count` tokens may come in; 0 is now.
    mutating func delay(of count: Int, now: UInt64) -> UInt64 {
        fill(now)
        let missing = Double(min(count, tokensPerMinute)) - tokens
        // Rounding errors of the filling are less than this.
        return missing <= 1e-6 ? 0 : UInt64((missing * nanosecondsPerToken).rounded(.up))
    }

    /// Takes tokens, whether they are there or not.
    mutating func take(_ count: Int, now: UInt64) {
        fill(now)
        tokens -= Double(count)
    }

    private mutating func fill(_ now: UInt64) {
        guard now > time else { return }
        tokens = min(Double(tokensPerMinute), tokens + Double(now - time) / nanosecondsPerToken)
        time = now
    }
}
