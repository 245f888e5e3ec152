// What one tenant asks for.

import BerthCore
import BerthEngine
import Glibc

/// How long prompts or outputs are, in tokens.
public enum Lengths: Sendable, Equatable {
    case fixed(Int)
    case uniform(ClosedRange<Int>)
    /// Log-normal with a standard deviation of 1 in the logarithm: many short ones and a few long ones.
    case skewed(median: Int, most: Int)

    package func draw(_ random: inout RandomSource) -> Int {
        switch self {
        case .fixed(let tokens): tokens
        case .uniform(let range): Int.random(in: range, using: &random)
        case .skewed(let median, let most): min(most, max(1, Int(Double(median) * exp(random.normal()))))
        }
    }
}

public struct TenantLoad: Sendable {
    public var name: TenantName
    public var policy = TenantPolicy()
    public var arrivals: Arrivals
    /// Seconds until its first clients are there.
    public var begins = 0.0
    /// At most so many requests.
    public var mostRequests = Int.max
    public var prompt = Lengths.uniform(1...60)
    /// What a request allows; it may end before.
    public var output = Lengths.uniform(1...40)
    /// Outputs end where the model says so; otherwise all of them are as long as allowed.
    public var endsAtEndToken = true
    /// Of the requests, those with an adapter, and which ones: numbers of the population, chosen by Zipf's law with this exponent.
    public var adapterShare = 0.0
    public var adapters: Range<Int> = 0..<0
    public var zipf = 1.0
    /// In place of Zipf's law: how often each of `adapters` is chosen, in proportion.
    public var popularity: [Double] = []
    /// In place of chance: the adapters of the requests, one after the other.
    public var adaptersInTurn: [Int] = []
    /// Prompts begin with one of so many texts of so many tokens.
    public var prefixes = 1
    public var prefixTokens = 0
    public var bulkShare = 0.0
    /// Of the requests, those that are called off, after some seconds on average.
    public var cancelShare = 0.0
    public var cancelSeconds = 1.0
    /// Of the requests, those whose answer is of no use after so many seconds.
    public var deadlineShare = 0.0
    public var deadlineSeconds = 10.0
    /// Of each request one, all as likely.
    public var priorities = [0]

    public init(_ name: TenantName, _ arrivals: Arrivals) {
        self.name = name
        self.arrivals = arrivals
    }
}

/// Numbers from 0 by Zipf's law: the k-th is chosen with a chance in proportion to 1/k^exponent. Or with chances in proportion to any weights.
package struct ZipfChoice {
    private let sums: [Double]

    package init(count: Int, exponent: Double) { self.init(weights: Self.weights(count: count, exponent: exponent)) }

    package init(weights: [Double]) {
        var sum = 0.0
        sums = weights.map { weight in
            sum += weight
            return sum
        }
    }

    package static func weights(count: Int, exponent: Double) -> [Double] { (0..<count).map { 1 / pow(Double($0 + 1), exponent) } }

    package func draw(_ random: inout RandomSource) -> Int {
        let wanted = random.unit() * (sums.last ?? 0)
        var (low, high) = (0, sums.count - 1)
        while low < high {
            let middle = (low + high) / 2
            if sums[middle] <= wanted { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
