// From logits to the next token.
//
// The order of transforms is vLLM's (V1, `v1/sample/sampler.py`): logit bias; repetition, frequency, presence penalty; then
// either the likeliest token (temperature below `greedyTemperature`), or temperature, min-p, top-k, top-p and one draw.
// Top-p counts the probability that min-p and top-k have left, renormalised. (transformers applies min-p last; the sets differ
// only where all three are set.) Ties are broken by the lower token everywhere, so top-k keeps exactly k tokens.
//
// Reported log-probabilities are those of the model itself, before any transform, as OpenAI and vLLM report them.
//
// Every request owns its sampler and its random numbers and draws exactly once per sampled token, so that its tokens do not
// depend on its neighbours. Vocabularies are large (128k) and distributions are steep: the greedy path is one argmax over the
// row, and the sampling path sorts only the head of the distribution, going further where the head does not hold enough.

import BerthCore
import BerthKernels
import Glibc

struct Sampler {
    /// Below this a temperature means greedy (vLLM's bound; dividing by less overflows).
    static let greedyTemperature: Float = 1e-5
    /// How much of the distribution is sorted at first, and by what it grows.
    private static let headTokens = 256
    private static let headGrowth = 16

    private let parameters: SamplingParameters
    private let bias: [(token: Int32, value: Float)]
    private var penalties: Penalties?
    private var random: RandomSource

    init(_ parameters: SamplingParameters, prompt: [Int32]) {
        self.parameters = parameters
        bias = parameters.logitBias.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
        penalties = Penalties(parameters, prompt: prompt)
        random = RandomSource(seed: parameters.seed)
    }

    /// Counts tokens as generated that this sampler has not chosen.
    mutating func record(_ tokens: [Int32]) { for token in tokens { penalties?.record(token) } }

    private var isGreedy: Bool { parameters.temperature < Self.greedyTemperature }

    /// Chooses the next token and records it; nil where the logits hold no distribution (NaN, or no finite maximum).
    ///
    /// `logits` is not changed; `scratch` has room for as many values.
    mutating func next(_ logits: UnsafePointer<Float>, count: Int, scratch: UnsafeMutablePointer<Float>, compute: Compute) -> Int32? {
        guard !Self.hasNaN(logits, count: count) else { return nil }
        var row = logits
        if !isGreedy || !bias.isEmpty || penalties != nil {
            scratch.update(from: logits, count: count)
            for entry in bias { scratch[Int(entry.token)] += entry.value }
            penalties?.apply(to: scratch)
            row = UnsafePointer(scratch)
        }
        let chosen: Int32?
        if isGreedy {
            let best = compute.argmax(row, count)
            chosen = (0..<count).contains(best) && row[best].isFinite ? Int32(best) : nil
        } else {
            if parameters.temperature != 1 {
                let factor = 1 / parameters.temperature
                for index in 0..<count { scratch[index] *= factor }
            }
            chosen = draw(row, count: count, compute: compute)
        }
        if let chosen { penalties?.record(chosen) }
        return chosen
    }

    /// Kernels look past a NaN; a request must not. A maximum of integers, which compilers vectorise: microseconds for 128k values.
    private static func hasNaN(_ logits: UnsafePointer<Float>, count: Int) -> Bool {
        logits.withMemoryRebound(to: Int32.self, capacity: count) { bits in
            var largest: Int32 = 0
            for index in 0..<count { largest = max(largest, bits[index] & 0x7FFF_FFFF) }
            return largest > 0x7F80_0000
        }
    }

    /// Draws from the softmax of `row` under min-p, top-k and top-p.
    private mutating func draw(_ row: UnsafePointer<Float>, count: Int, compute: Compute) -> Int32? {
        let keep = parameters.topK > 0 ? min(parameters.topK, count) : count
        let unit = random.unit()
        var head = Head(row, count: count, keep: keep, size: parameters.topK > 0 && keep <= 4 * Self.headTokens ? keep : Self.headTokens, compute: compute)
        guard let maximum = head.maximum, maximum.isFinite else { return nil }

        // The tokens that min-p and top-k leave, and the sum of their weights exp(logit − maximum).
        var total: Double
        if keep < count || parameters.minP > 0 {
            let minimum = Double(parameters.minP)
            while !head.isComplete, head.weights.last! >= minimum { head.grow(by: Self.headGrowth) }
            head.cut(after: head.weights.firstIndex { $0 < minimum } ?? head.weights.count)
            total = head.sum
        } else {
            total = head.isComplete ? head.sum : exp(Double(compute.logSumExp(row, count)) - Double(maximum))
        }

        if parameters.topP < 1 {
            let wanted = Double(parameters.topP) * total
            while head.sum < wanted, !head.isComplete { head.grow(by: Self.headGrowth) }
            var mass = 0.0
            var kept = 0
            while kept < head.weights.count, kept == 0 || mass < wanted {
                mass += head.weights[kept]
                kept += 1
            }
            head.cut(after: kept)
            total = mass
        }

        var target = unit * total
        for (position, weight) in head.weights.enumerated() {
            target -= weight
            if target < 0 { return head.token(position) }
        }
        // Beyond the head: the rest of the vocabulary in its own order.
        if !head.isComplete, let last = head.last {
            for token in 0..<count where row[token] < last.value || (row[token] == last.value && token > Int(last.index)) {
                target -= exp(Double(row[token]) - Double(maximum))
                if target < 0 { return Int32(token) }
            }
        }
        // Rounding left a sliver above the sum.
        return head.token(0)
    }
}

/// The likeliest tokens of a row, sorted, with their weights relative to the likeliest. Grows on demand, up to `keep` tokens.
private struct Head {
    private let row: UnsafePointer<Float>
    private let count: Int
    private var keep: Int
    private let compute: Compute
    private var entries: [(index: Int32, value: Float)]
    private(set) var weights: [Double] = []
    private(set) var sum = 0.0

    init(_ row: UnsafePointer<Float>, count: Int, keep: Int, size: Int, compute: Compute) {
        self.row = row
        self.count = count
        self.keep = keep
        self.compute = compute
        entries = compute.top(row, count, k: min(size, keep))
        weigh()
    }

    var maximum: Float? { entries.first?.value }
    var last: (index: Int32, value: Float)? { entries.last }
    /// No token is missing that may be chosen.
    var isComplete: Bool { entries.count >= keep }
    func token(_ position: Int) -> Int32 { entries[position].index }

    mutating func grow(by factor: Int) {
        entries = compute.top(row, count, k: min(entries.count * factor, keep))
        weigh()
    }

    /// Keeps the first `kept` tokens, at least one; the head is complete then.
    mutating func cut(after kept: Int) {
        keep = max(1, min(kept, entries.count))
        entries.removeLast(entries.count - keep)
        weigh()
    }

    private mutating func weigh() {
        guard let maximum = entries.first?.value else { return }
        weights = entries.map { exp(Double($0.value) - Double(maximum)) }
        sum = weights.reduce(0, +)
    }
}
