// A tenant that wants to know what another has sent: it sends the same prompt, and one that nobody has sent, and looks for a difference.
//
// Every round has a prompt of its own. The victim sends it twice: what its second request saves is what there would be to see. Then the prober sends
// the same prompt, and one as long that nobody has sent, in an order that the seed chooses.

import BerthClient
import BerthCore

struct Probe: Sendable {
    /// One request: the time until its only token was there, and what it was told of the cache.
    struct Shot: Sendable {
        var seconds: Double
        var cachedTokens: Int
    }

    var victim: BerthClient
    var prober: BerthClient
    /// An adapter that both may use; nil is the base model.
    var model: String?
    var promptTokens: Int
    /// Prompts are made of the tokens below it.
    var vocabulary: Int32

    func run(rounds: Int, seed: UInt64) async throws -> ProbeReport {
        var random = RandomSource(seed: seed)
        var report = ProbeReport()
        for _ in 0..<rounds {
            let prompts = (0..<2).map { _ in (0..<promptTokens).map { _ in Int32.random(in: Self.firstToken..<vocabulary, using: &random) } }
            try await report.victimFirst.append(shoot(victim, prompts[0]))
            try await report.victimAgain.append(shoot(victim, prompts[0]))
            for isSame in [true, false].shuffled(using: &random) {
                let shot = try await shoot(prober, prompts[isSame ? 0 : 1])
                if isSame { report.proberSame.append(shot) } else { report.proberFresh.append(shot) }
            }
        }
        return report
    }

    /// Those before it are special ones, often.
    static let firstToken: Int32 = 16

    private func shoot(_ client: BerthClient, _ prompt: [Int32]) async throws -> Shot {
        var options = SamplingOptions(maxTokens: 1, temperature: 0)
        options.ignoresEndTokens = true
        var request = CompletionRequest(model: model, prompt: "", options: options)
        request.prompt = .tokens(prompt)
        let clock = ContinuousClock(), start = clock.now
        let answer = try await client.complete(request)
        return Shot(seconds: start.duration(to: clock.now).seconds, cachedTokens: answer.usage?.cachedTokens ?? 0)
    }
}
