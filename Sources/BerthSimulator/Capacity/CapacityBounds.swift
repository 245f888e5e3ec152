// What a machine cannot exceed, by arithmetic on a sheet of paper: to be read beside what was simulated.
//
// Each bound looks at one resource alone and takes everything else for free. Arithmetic: the cheapest rows that any step has, attention, the rows of adapters and
// experts. Weights: every output token is part of a step that reads the weights once for as many streams as can run. Disk: adapters that do not fit are read as often as the
// least popular ones are asked for; experts that do not fit are read as often as the least likely ones are chosen, given that it is known what each
// running request prefers. No rule of eviction that does not know the future does better.

import BerthCore

/// Requests per second of one machine. Infinite where the resource is not needed.
public struct CapacityBounds: Sendable, Equatable {
    public var arithmetic = Double.infinity
    public var weights = Double.infinity
    public var disk = Double.infinity

    public var least: Double { min(arithmetic, weights, disk) }

    init(_ question: CapacityQuestion, _ offer: MachineOffer, _ share: LoadShare, _ sample: LoadSample) {
        let costs = question.costs, requests = Double(max(1, sample.requests)), layers = Double(question.shape.experts?.layers ?? 0)
        let chosen = Double(question.shape.experts?.chosen ?? 0)
        // The last token of an answer is not computed with any more, and the first one comes of the prompt.
        let decoded = Double(sample.outputTokens - sample.requests)
        let rows = Double(sample.promptTokens) + decoded
        // Streams that the pool has room for, with their prompts alone.
        let room = Double(offer.layout.pages * offer.layout.blockTokens) / (Double(sample.promptTokens) / requests)
        let streams = max(1, min(question.running, Int(room)))

        let perRow = costs.leastPass(rows: offer.layout.stepTokens) + layers * chosen * (costs.expertRow + costs.expert / Double(offer.layout.stepTokens))
        let attention = min(costs.attendedByPrompt, costs.attendedByStream) * Double(sample.promptPairs) + costs.attendedByStream * Double(sample.outputPairs)
        let logits = costs.logits.points.map { $0.nanoseconds / Double($0.rows) }.min()! * Double(sample.outputTokens)
        let adapted = share.popularity.isEmpty ? 0 : costs.adapterRow * rows
        arithmetic = requests / (perRow * rows + attention + logits + adapted) * 1e9

        let demands = question.routing(offer).map { routing, _ in streamCounts(streams).map { (streams: $0, demand: ExpertDraws(routing, topics: $0, rowsEach: 1)) } } ?? []
        if decoded > 0 {
            let reading = costs.passes.points[0].nanoseconds
            let step = demands.map { (reading + layers * costs.expert * $0.demand.distinct) / Double($0.streams) }.min() ?? reading / Double(streams)
            weights = requests / (step * decoded) * 1e9
        }

        if !share.popularity.isEmpty {
            let pages = offer.layout.pages(ofBytes: question.shape.adapterBytes(rank: question.rank))
            let missed = 1 - share.load(ofMost: offer.layout.pages / pages)
            if missed > 1e-9 { disk = offer.disk / (missed * Double(pages * offer.layout.pageBytes)) }
        }
        if let (routing, played) = question.routing(offer) {
            let kept = played.layout.pages / played.expertPages / played.layers
            let bytes = Double(played.layers * played.expertPages * played.layout.pageBytes)
            let perToken = demands.map { $0.demand.missing(keeping: kept) / Double($0.streams) }.min()! * decoded / requests
            // Prompts of one length together: of mixed lengths they want no fewer experts.
            let perPrompt = sample.promptTenths.reduce(0.0) { sum, prompt in
                sum + streamCounts(max(1, min(streams, offer.layout.stepTokens / prompt))).map {
                    ExpertDraws(routing, topics: $0, rowsEach: prompt, rounds: 2).missing(keeping: kept) / Double($0)
                }.min()! / Double(sample.promptTenths.count)
            }
            // A step may serve prompts and streams with the same reads: not the sum.
            let read = max(perToken, perPrompt) * bytes
            if read > 0 { disk = offer.disk / read }
        }
    }
}

/// Numbers of streams that are looked at: powers of two and the most.
private func streamCounts(_ most: Int) -> [Int] { (0..<12).map { 1 << $0 }.filter { $0 < most } + [most] }

extension StepCosts {
    /// The least that a row of a pass takes.
    func leastPass(rows most: Int) -> Double {
        let within = passes.points.filter { $0.rows <= most }.map { $0.nanoseconds / Double($0.rows) }
        return min(within.min() ?? .infinity, passes.nanoseconds(rows: most) / Double(most))
    }
}

/// What rows of some topics choose of a layer's experts.
struct ExpertDraws {
    /// By draw of the topics: each expert's chance to be wanted by a step, the greatest first.
    private var chances: [[Double]] = []
    private static let draws = 4

    /// - Parameter rounds: steps from which the chances are taken.
    init(_ routing: ExpertRouting, topics: Int, rowsEach: Int, rounds: Int = 24) {
        var choices = [Int32](repeating: 0, count: routing.chosen)
        for draw in 0..<Self.draws {
            var counts = Array(repeating: 0.0, count: routing.experts)
            let topics = (0..<topics).map { number in
                let word = TokenFunction.words.lowerBound + Int32(mix(UInt64(number) << 8 ^ UInt64(draw)) % UInt64(TokenFunction.words.count))
                return ExpertRouting.topic(first: word, adapter: 0)
            }
            for round in 0..<rounds {
                var isWanted = Array(repeating: false, count: routing.experts)
                for row in 0..<topics.count * rowsEach {
                    let hash = mix(UInt64(row) << 32 ^ UInt64(round) << 8 ^ UInt64(draw))
                    choices.withUnsafeMutableBufferPointer {
                        routing.choose(layer: draw % routing.layers, token: Int32(hash % 62) + 2, position: Int(hash >> 40), topic: topics[row / rowsEach], into: $0.baseAddress!)
                    }
                    for expert in choices { isWanted[Int(expert)] = true }
                }
                for expert in counts.indices where isWanted[expert] { counts[expert] += 1 / Double(rounds) }
            }
            chances.append(counts.sorted(by: >))
        }
    }

    /// Experts of a layer that a step wants, on average.
    var distinct: Double { missing(keeping: 0) }

    /// Of these, those that are not there where the likeliest are kept.
    func missing(keeping kept: Int) -> Double { chances.reduce(0) { $0 + $1.dropFirst(kept).reduce(0, +) } / Double(Self.draws) }
}
