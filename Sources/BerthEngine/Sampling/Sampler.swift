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
// row, and the sampling path sorts only the head of the distribution. What the head does not decide is decided by one or two
// passes over the vocabulary, never by sorting it.

import BerthCore
import BerthKernels
import Glibc

struct Sampler {
    /// Below this a temperature means greedy (vLLM's bound; dividing by less overflows).
    static let greedyTemperature: Float = 1e-5
    /// How much of the distribution is sorted: as a rule enough for the draw, or for top-p.
    private static let headTokens = 256

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

    private var isGreedy: Bool { parameters.temperature < Self.greedyTemperature || parameters.topP == 0 }

    /// Chooses the next token and records it; nil where the logits hold no distribution (NaN, or no finite maximum).
    ///
    /// None of the `forbidden` tokens is chosen. `logits` is not changed; `scratch` has room for as many values.
    mutating func next(_ logits: UnsafePointer<Float>, count: Int, forbidden: [Int32] = [], scratch: UnsafeMutablePointer<Float>, compute: Compute) -> Int32? {
        guard !Self.hasNaN(logits, count: count) else { return nil }
        var row = logits
        if !isGreedy || !bias.isEmpty || !forbidden.isEmpty || penalties != nil {
            scratch.update(from: logits, count: count)
            for entry in bias { scratch[Int(entry.token)] += entry.value }
            penalties?.apply(to: scratch)
            for token in forbidden where token >= 0 && Int(token) < count { scratch[Int(token)] = -.infinity }
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

    /// Kernels look past a NaN; a request must not. A loop that compilers vectorise: microseconds for 128k values.
    private static func hasNaN(_ logits: UnsafePointer<Float>, count: Int) -> Bool {
        logits.withMemoryRebound(to: Int32.self, capacity: count) { bits in
            // The exponent's mask less a magnitude is negative for a NaN and for nothing else.
            var sign: Int32 = 0
            for index in 0..<count { sign |= 0x7F80_0000 &- (bits[index] & 0x7FFF_FFFF) }
            return sign < 0
        }
    }

    /// Draws from the softmax of `row` under min-p, top-k and top-p.
    private mutating func draw(_ row: UnsafePointer<Float>, count: Int, compute: Compute) -> Int32? {
        let unit = random.unit()
        let keep = parameters.topK > 0 ? min(parameters.topK, count) : count
        var head = DistributionHead(row, count: count, size: parameters.topK > 0 ? keep : min(Self.headTokens, count), compute: compute)
        guard head.maximum.isFinite else { return nil }
        let minimum = Double(parameters.minP)

        // The weights of the tokens that min-p and top-k leave, relative to the likeliest token, and their sum.
        let isWhole = head.count == keep || head.weights[head.count - 1] < minimum
        if minimum > 0 { head.cut(after: head.weights.firstIndex { $0 < minimum } ?? head.count) }
        if !isWhole, minimum > 0 {
            return FlatDistribution(row, count: count, maximum: head.maximum, minimum: minimum).draw(unit, topP: Double(parameters.topP))
        }
        let total = isWhole ? head.sum : exp(Double(compute.logSumExp(row, count)) - Double(head.maximum))
        guard total.isFinite else { return nil }
        if parameters.topP < 1 {
            let wanted = Double(parameters.topP) * total
            if !isWhole, head.sum < wanted {
                return FlatDistribution(row, count: count, maximum: head.maximum, minimum: 0).draw(unit, topP: Double(parameters.topP))
            }
            head.cut(toMass: wanted)
            return head.draw(unit * head.sum)
        }
        if isWhole { return head.draw(unit * total) }
        return head.draw(unit * total, orFromTheRestOf: row, count: count)
    }
}
