// The sampler against a slow and obvious one, and its draws against the distribution they should have.

import BerthCore
import BerthKernels
import Glibc
import Testing

@testable import BerthEngine

@Suite struct SamplerTests {
    let compute = try! Compute(kernels: .scalar, threads: 1)

    func next(_ sampler: inout Sampler, _ logits: [Float]) -> Int32? {
        var scratch = logits
        return logits.withUnsafeBufferPointer { logits in
            scratch.withUnsafeMutableBufferPointer { scratch in
                sampler.next(logits.baseAddress!, count: logits.count, scratch: scratch.baseAddress!, compute: compute)
            }
        }
    }

    /// The distribution that parameters leave, by the definitions: everything sorted, nothing clever.
    static func distribution(_ logits: [Float], _ parameters: SamplingParameters, prompt: [Int32] = [], output: [Int32] = []) -> [Double] {
        var values = logits
        for (token, bias) in parameters.logitBias { values[Int(token)] += bias }
        for token in Set(prompt + output) {
            let index = Int(token)
            values[index] = values[index] > 0 ? values[index] / parameters.repetitionPenalty : values[index] * parameters.repetitionPenalty
            let count = output.count { $0 == token }
            if count > 0 { values[index] -= parameters.frequencyPenalty * Float(count) + parameters.presencePenalty }
        }
        if parameters.temperature == 0 {
            let best = values.indices.max { (values[$0], -$0) < (values[$1], -$1) }!
            return values.indices.map { $0 == best ? 1 : 0 }
        }
        let scaled = values.map { Double($0) / Double(parameters.temperature) }
        let maximum = scaled.max()!
        var weights = scaled.map { exp($0 - maximum) }
        for index in weights.indices where weights[index] < Double(parameters.minP) { weights[index] = 0 }
        let order = weights.indices.sorted { (weights[$0], -$0) > (weights[$1], -$1) }
        if parameters.topK > 0 { for index in order.dropFirst(parameters.topK) { weights[index] = 0 } }
        let total = weights.reduce(0, +)
        var mass = 0.0
        for index in order {
            if mass >= Double(parameters.topP) * total, mass > 0, parameters.topP < 1 { weights[index] = 0 }
            mass += weights[index]
        }
        let kept = weights.reduce(0, +)
        return weights.map { $0 / kept }
    }

    static func parameters(_ change: (inout SamplingParameters) -> Void) -> SamplingParameters {
        var parameters = SamplingParameters()
        change(&parameters)
        return parameters
    }

    @Test func greedyIsTheLikeliestAndTheLowestOfEquals() {
        var sampler = Sampler(Self.parameters { $0.temperature = 0 }, prompt: [0])
        #expect(next(&sampler, [0.5, 2, -1, 2]) == 1)
        #expect(next(&sampler, [-.infinity, -.infinity, -3]) == 2)
    }

    /// top_p of 0 leaves the likeliest token, whatever the temperature and however flat the distribution.
    @Test func topPOfZeroIsTheLikeliest() {
        for seed in 0..<20 as Range<UInt64> {
            var sampler = Sampler(Self.parameters { $0.topP = 0; $0.temperature = 5; $0.seed = seed; $0.minP = seed % 2 == 0 ? 0 : 0.01 }, prompt: [0])
            var flat = (0..<900).map { Float($0 % 7) * 0.001 }
            flat[517] = 0.01
            #expect(next(&sampler, flat) == 517)
        }
    }

    @Test func noDistributionIsNoToken() {
        for temperature in [0, 1] as [Float] {
            var sampler = Sampler(Self.parameters { $0.temperature = temperature }, prompt: [0])
            #expect(next(&sampler, [1, .nan, 2]) == nil)
            #expect(next(&sampler, [1, -.nan, 2]) == nil)
            #expect(next(&sampler, [-.infinity, -.infinity]) == nil)
            #expect(next(&sampler, [1, .infinity]) == nil)
        }
    }

    @Test func penaltiesFollowTheirDefinitions() {
        // Greedy shows each edit: token 0 leads by 1, token 1 is second.
        let logits: [Float] = [3, 2, 0, -2]
        var repetition = Sampler(Self.parameters { $0.temperature = 0; $0.repetitionPenalty = 1.6 }, prompt: [0])
        #expect(next(&repetition, logits) == 1)
        // 3/1.6 = 1.875, 2/1.6 = 1.25: 0 leads again once both were seen.
        #expect(next(&repetition, logits) == 0)
        var negative = Sampler(Self.parameters { $0.temperature = 0; $0.repetitionPenalty = 2 }, prompt: [0])
        #expect(next(&negative, [-1, -1.5]) == 1)
        var presence = Sampler(Self.parameters { $0.temperature = 0; $0.presencePenalty = 1.5 }, prompt: [0])
        // The prompt does not count for presence and frequency.
        #expect((0..<4).map { _ in next(&presence, logits)! } == [0, 1, 0, 0])
        var frequency = Sampler(Self.parameters { $0.temperature = 0; $0.frequencyPenalty = 0.75 }, prompt: [0, 0, 0])
        #expect((0..<5).map { _ in next(&frequency, logits)! } == [0, 0, 1, 0, 1])
        var bias = Sampler(Self.parameters { $0.temperature = 0; $0.logitBias = [3: 100, 0: -.infinity] }, prompt: [0])
        #expect(next(&bias, logits) == 3)
    }

    /// Every combination of transforms, compared by how often each token is drawn.
    @Test(arguments: 1...20 as ClosedRange<UInt64>)
    func drawsFollowTheDistribution(seed: UInt64) {
        var random = RandomSource(seed: seed)
        // Some larger than the head that is sorted at first.
        let count = [3, 10, 40, 700, 700].randomElement(using: &random)!
        let spread = Double.random(in: 0.2...3, using: &random)
        let logits = (0..<count).map { _ in Float((random.unit() * 2 - 1) * spread) }
        let parameters = Self.parameters {
            $0.temperature = [0.3, 0.8, 1, 1, 2].randomElement(using: &random)!
            $0.topK = [0, 0, 1, 3, 20, 600].randomElement(using: &random)!
            $0.topP = [1, 1, 0.3, 0.9, 0.99].randomElement(using: &random)!
            $0.minP = [0, 0, 0.05, 0.5].randomElement(using: &random)!
            $0.repetitionPenalty = [1, 1, 1.3].randomElement(using: &random)!
            $0.presencePenalty = [0, 0, 0.7].randomElement(using: &random)!
            $0.frequencyPenalty = [0, 0, 0.2].randomElement(using: &random)!
            $0.logitBias = Bool.random(using: &random) ? [1: 1.5, 2: -.infinity] : [:]
        }
        let output: [Int32] = [0, 1, 1]
        let expected = Self.distribution(logits, parameters, prompt: [2], output: output)
        let draws = 500
        var counts = Array(repeating: 0, count: count)
        for draw in 0..<draws {
            var sampler = Sampler(Self.parameters { $0 = parameters; $0.seed = seed &* 1_000_003 &+ UInt64(draw) }, prompt: [2])
            sampler.record(output)
            guard let token = next(&sampler, logits) else {
                Issue.record("seed \(seed): no token")
                return
            }
            counts[Int(token)] += 1
        }
        var distance = 0.0
        for token in 0..<count {
            if expected[token] == 0 { #expect(counts[token] == 0, "seed \(seed): token \(token) was cut off and drawn") }
            distance += abs(expected[token] - Double(counts[token]) / Double(draws))
        }
        // The expected distance of n draws is below √(2·support/(π·n)); twice that is far out.
        let support = Double(expected.count { $0 > 0 })
        #expect(distance < 2 * (2 * support / (3.14 * Double(draws))).squareRoot() + 1e-9, "seed \(seed): \(parameters)")
    }

    /// Draws at evenly spaced points: every token has one interval, as long as it is probable.
    @Test(arguments: 1...20 as ClosedRange<UInt64>)
    func flatDistributionsGiveEachTokenItsInterval(seed: UInt64) {
        var random = RandomSource(seed: seed)
        let count = Int.random(in: 1...300, using: &random)
        let spread = [0, 0.01, 1, 30].randomElement(using: &random)!
        var logits = (0..<count).map { _ in Float((random.unit() * 2 - 1) * spread) }
        if count > 3 { logits[count / 2] = -.infinity }
        let parameters = Self.parameters {
            $0.topP = [1, 0.99, 0.5, 0.01].randomElement(using: &random)!
            $0.minP = [0, 0, 0.3].randomElement(using: &random)!
        }
        let expected = Self.distribution(logits, parameters)
        let points = 4000
        var counts = Array(repeating: 0, count: count)
        logits.withUnsafeBufferPointer { row in
            let flat = FlatDistribution(row.baseAddress!, count: count, maximum: row.max()!, minimum: Double(parameters.minP))
            for point in 0..<points { counts[Int(flat.draw((Double(point) + 0.5) / Double(points), topP: Double(parameters.topP)))] += 1 }
        }
        for token in 0..<count {
            #expect(abs(Double(counts[token]) - expected[token] * Double(points)) <= 1.001, "seed \(seed), token \(token)")
        }
    }

    @Test func aSeedFixesTheDraws() {
        let logits = (0..<50).map { Float($0 % 7) * 0.3 }
        func draws(_ seed: UInt64) -> [Int32?] {
            var sampler = Sampler(Self.parameters { $0.seed = seed }, prompt: [0])
            return (0..<20).map { _ in next(&sampler, logits) }
        }
        #expect(draws(1) == draws(1))
        #expect(draws(1) != draws(2))
    }

    @Test func logprobsAreThoseOfTheModel() throws {
        let logits: [Float] = [1, 3, 2, 3]
        let sum = log(logits.map { exp(Double($0)) }.reduce(0, +))
        let logprob = try #require(
            logits.withUnsafeBufferPointer { TokenLogprob(of: 2, in: $0.baseAddress!, count: 4, alternatives: 3, compute: compute) })
        #expect(abs(Double(logprob.logprob) - (2 - sum)) < 1e-5)
        #expect(logprob.top.map(\.token) == [1, 3, 2])
        #expect(abs(Double(logprob.top[0].logprob) - (3 - sum)) < 1e-5)
        let none = [Float.nan, 1].withUnsafeBufferPointer { TokenLogprob(of: 1, in: $0.baseAddress!, count: 2, alternatives: 1, compute: compute) }
        #expect(none == nil)
    }
}
