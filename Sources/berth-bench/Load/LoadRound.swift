// One round of load: all streams start together, and each is timed token by token.

import BerthClient
import BerthCore

/// What one round measured. Durations are seconds.
struct LoadRound: Sendable {
    var seconds: Double
    var tokens: Int
    var errors: Int
    var firstTokenSeconds: [Double]
    var gapSeconds: [Double]
    var firstError: String?

    var tokensPerSecond: Double { Double(tokens) / seconds }

    static func run(_ target: Target, streams: Int, promptWords: Int, tokens: Int, seed: UInt64) async throws -> LoadRound {
        let client = BerthClient(socketPath: target.socket)
        let clock = ContinuousClock()
        let start = clock.now
        let streams = await withTaskGroup(of: StreamTiming.self) { group in
            for index in 0..<streams {
                var random = RandomSource(seed: seed &+ UInt64(index) &* 977)
                let prompt = (0..<promptWords).map { _ in words[Int.random(in: 0..<words.count, using: &random)] }.joined(separator: " ")
                let request = target.request(prompt: prompt, tokens: tokens, index: index)
                group.addTask { await StreamTiming.measure(client, request, clock) }
            }
            return await group.reduce(into: [StreamTiming]()) { $0.append($1) }
        }
        let seconds = start.duration(to: clock.now).seconds
        return LoadRound(
            seconds: seconds, tokens: streams.map(\.tokens).reduce(0, +), errors: streams.count { $0.error != nil },
            firstTokenSeconds: streams.compactMap(\.first), gapSeconds: streams.flatMap(\.gaps), firstError: streams.lazy.compactMap(\.error).first)
    }

    private static let words = """
        time person year way day thing man world life hand part child eye woman place work week case point government company number group \
        problem fact
        """.split(separator: " ").map(String.init)
}

/// One stream's times.
private struct StreamTiming: Sendable {
    var tokens = 0
    var first: Double?
    var gaps: [Double] = []
    var error: String?

    static func measure(_ client: BerthClient, _ request: CompletionRequest, _ clock: ContinuousClock) async -> StreamTiming {
        var timing = StreamTiming()
        let start = clock.now
        var last = start
        do {
            for try await chunk in try await client.stream(request) {
                if let usage = chunk.usage { timing.tokens = usage.completionTokens }
                guard !chunk.text.isEmpty else { continue }
                let now = clock.now
                if timing.first == nil { timing.first = start.duration(to: now).seconds } else { timing.gaps.append(last.duration(to: now).seconds) }
                last = now
            }
        } catch {
            timing.error = "\(error)"
        }
        return timing
    }
}

extension Duration {
    var seconds: Double { Double(components.seconds) + Double(components.attoseconds) * 1e-18 }
}
