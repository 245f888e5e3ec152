// Which token follows: a pure function of a request's tokens and of the adapter that it runs with.
//
// Every position has a link, a hash of the link before it, its token and what the row saw of adapter and experts; the next token is a hash of the
// last link and of another one further back. The model takes links from the pages that the engine gave it, one for each row, and so costs
// nothing; the reference computes them from the request alone. A page that two requests share wrongly, a stale one, a token computed twice or at the
// wrong place breaks the chain from there on.

/// The hash of SplitMix64's output function (Vigna).
@inline(__always) func mix(_ value: UInt64) -> UInt64 {
    var value = value &+ 0x9E37_79B9_7F4A_7C15
    value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
    value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
    return value ^ (value >> 31)
}

/// A pure value.
struct TokenFunction: Sendable {
    static let vocabulary = 64
    static let end: Int32 = 1
    /// Tokens that prompts are made of, and outputs before they end.
    static let words: ClosedRange<Int32> = 2...63

    /// Tokens that come before the end, on average; adapters differ from it by a factor of three.
    var meanOutput = 24.0
    var routing: ExpertRouting?

    @inline(__always) func link(after previous: UInt64, token: Int32, position: Int, adapter: UInt64, experts: UInt64) -> UInt64 {
        mix(previous &* 0x2545_F491_4F6C_DD1D ^ adapter ^ experts &+ (UInt64(UInt32(bitPattern: token)) << 32 | UInt64(position)))
    }

    /// The position whose link has a say beside the last one's.
    @inline(__always) func witness(_ link: UInt64, at position: Int) -> Int { Int(truncatingIfNeeded: (link >> 20) % UInt64(position + 1)) }

    func next(_ link: UInt64, witness: UInt64, adapter: UInt64) -> Int32 {
        let hash = mix(link ^ (witness << 17 | witness >> 47))
        let mean = meanOutput * [1.0 / 3, 1, 3][Int(mix(adapter) % 3)]
        if Double(hash >> 11) * 0x1p-53 * mean < 1 { return Self.end }
        return Self.words.lowerBound + Int32(truncatingIfNeeded: mix(hash) % UInt64(Self.words.count))
    }

    /// The tokens that follow a prompt: until an end token where those count, `maxTokens`, or the end of the context.
    func output(of prompt: [Int32], adapter: UInt64, maxTokens: Int, endsAtEndToken: Bool, contextLength: Int) -> [Int32] {
        var links: [UInt64] = []
        links.reserveCapacity(prompt.count + maxTokens)
        var output: [Int32] = []
        func append(_ token: Int32) {
            let experts = routing?.stamps(token: token, position: links.count, topic: ExpertRouting.topic(first: prompt[0], adapter: adapter)) ?? 0
            links.append(link(after: links.last ?? 0, token: token, position: links.count, adapter: adapter, experts: experts))
        }
        for token in prompt { append(token) }
        while output.count < maxTokens {
            let last = links[links.count - 1]
            let token = next(last, witness: links[witness(last, at: links.count - 1)], adapter: adapter)
            output.append(token)
            if endsAtEndToken && token == Self.end || links.count + 1 >= contextLength { break }
            append(token)
        }
        return output
    }
}
