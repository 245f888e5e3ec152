// Whether tenants that have work get their shares.
//
// The theorem of virtual token counters (Sheng et al., 2024): while two tenants both have requests waiting, what they get, each divided by its weight, differs by
// at most twice the largest amount that one decision can give. Service is counted here anew, from the tokens that come out; of the engine only the price of a
// generated token is taken. A tenant surely has a request that waits where it has more than there are places.

struct ShareWatch {
    private let weights: [Double]
    private let heldTokens: Int
    private let longestPrompt: Int
    /// Units of service by tenant.
    private var service: [Double]
    /// What they had when both of a pair began to have work; nil where one has none.
    private var marks: [(first: Double, second: Double)?]
    private var largestPrice = 1.0

    /// - Parameters:
    ///   - heldTokens: that all running requests can have at a time.
    init(weights: [Double], heldTokens: Int, longestPrompt: Int) {
        self.weights = weights
        self.heldTokens = heldTokens
        self.longestPrompt = longestPrompt
        service = weights.map { _ in 0 }
        marks = Array(repeating: nil, count: weights.count * weights.count)
    }

    mutating func charge(_ tenant: Int, _ units: Double, isOutput: Bool = false) {
        service[tenant] += units
        if isOutput { largestPrice = max(largestPrice, units) }
    }

    /// What two tenants may differ by. A prompt is counted here when its first token comes and by the engine when it is computed: what the running requests hold,
    /// which `heldTokens` bounds, may be missing from one tenant now and from the other at the mark.
    private func bound(_ first: Int, _ second: Int) -> Double {
        (2 * max(Double(longestPrompt), largestPrice * Double(heldTokens)) + 2 * Double(heldTokens)) / min(weights[first], weights[second])
    }

    /// How two tenants are further apart than they may be; nil where none are. `active` are their requests that have not ended.
    mutating func unfairness(active: [Int], places: Int) -> String? {
        for first in weights.indices {
            for second in weights.indices where second > first {
                let pair = first * weights.count + second
                guard active[first] > places, active[second] > places else {
                    marks[pair] = nil
                    continue
                }
                guard let mark = marks[pair] else {
                    marks[pair] = (service[first], service[second])
                    continue
                }
                let gained = ((service[first] - mark.first) / weights[first], (service[second] - mark.second) / weights[second])
                let bound = bound(first, second)
                if abs(gained.0 - gained.1) > bound {
                    return "tenants \(first) and \(second) both had work and got \(Int(gained.0)) and \(Int(gained.1)) for their weights, which may differ by \(Int(bound))"
                }
            }
        }
        return nil
    }
}
