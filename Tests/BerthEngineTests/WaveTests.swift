// Waves: bulk requests in batches of their own that streams interrupt.

import BerthCore
import BerthMemory
import BerthModels
import Testing

@testable import BerthEngine

@Suite struct WaveTests {
    private func bulk(_ id: UInt64, prompt: Int = 30, maxTokens: Int = 20) -> GenerationRequest {
        var request = GenerationRequest(id: RequestID(id), prompt: (0..<prompt).map { Int32(2 + ($0 * 7 + Int(id)) % 50) }, maxTokens: maxTokens)
        request.ignoresEndTokens = true
        request.sampling.seed = id
        request.serviceClass = .bulk
        return request
    }

    /// More of them run at a time than ordinary steps take, and every one gets its own tokens.
    @Test func manyRunTogether() throws {
        let harness = try Harness(pages: 800)
        let requests = (1...200).map { bulk(UInt64($0)) }
        for request in requests { harness.submit(request) }
        harness.run()
        #expect(harness.engine.counterSnapshot.waves < 60, "\(harness.engine.counterSnapshot) \(harness.engine.waveStatus)")
        #expect(harness.engine.counterSnapshot.steps == harness.engine.counterSnapshot.waves)
        for request in requests { #expect(try harness.outcomes[request.id] == Harness.alone(request)) }
        #expect(harness.unusedPageCount == 800, "the waves' rows were given back")
    }

    /// A stream beside a wave gets its tokens between the wave's pieces; the wave computes nothing twice.
    @Test func streamsInterruptWaves() throws {
        let model = FakeModel()
        let harness = try Harness(model, pages: 400)
        let requests = (1...40).map { bulk(UInt64($0), maxTokens: 10) }
        for request in requests { harness.submit(request) }
        harness.step()
        var stream = bulk(1000, maxTokens: 30)
        stream.serviceClass = .interactive
        harness.submit(stream)
        var longest = 0, since = 0
        while !harness.outcomes[stream.id]!.isOver {
            let before = harness.outcomes[stream.id]!.tokens.count
            harness.step()
            since = harness.outcomes[stream.id]!.tokens.count > before ? 0 : since + 1
            longest = max(longest, since)
        }
        #expect(longest <= 2, "a stream waits for a piece, not for a wave of \(FakeModel.wavePieces)")
        harness.run()
        for request in requests + [stream] { #expect(try harness.outcomes[request.id] == Harness.alone(request)) }
        #expect(harness.engine.counterSnapshot.abandonedWaves == 0)
        let rows = requests.reduce(0) { $0 + $1.prompt.count + $1.maxTokens - 1 } + stream.prompt.count + stream.maxTokens - 1
        #expect(harness.engine.counterSnapshot.computedTokens == rows)
    }

    /// Where a stream needs the pages, bulk requests give theirs up, even in the middle of a wave.
    @Test func bulkGivesWayToStreams() throws {
        let harness = try Harness(pages: 12)
        let requests = (1...4).map { bulk(UInt64($0), prompt: 40, maxTokens: 20) }
        for request in requests { harness.submit(request) }
        harness.step()
        harness.step()
        var stream = bulk(1000, prompt: 130, maxTokens: 30)
        stream.serviceClass = .interactive
        harness.submit(stream)
        harness.run()
        #expect(harness.engine.counterSnapshot.preemptions > 0 && harness.engine.counterSnapshot.abandonedWaves > 0)
        for request in requests + [stream] { #expect(try harness.outcomes[request.id] == Harness.alone(request)) }
    }

    /// While a stream waits for pages, they are kept for it: bulk requests that gave theirs up do not take them again only to give them up once more.
    @Test func bulkDoesNotComeBackBeforeWhomItMadeWayFor() throws {
        let harness = try Harness(pages: 20, configuration: .withoutPrefixes)
        let first = harness.submit(Array(repeating: 5, count: 100), maxTokens: 40) { $0.ignoresEndTokens = true }
        let requests = (1...3).map { bulk(UInt64($0) + 100, prompt: 40, maxTokens: 30) }
        for request in requests { harness.submit(request) }
        for _ in 0..<4 { harness.step() }
        #expect(!harness.engine.bulk.isEmpty)
        let waiting = harness.submit(Array(repeating: 6, count: 180), maxTokens: 4) { $0.ignoresEndTokens = true }
        for id in 0..<12 as Range<UInt64> {
            // Whatever happens, the engine looks again at who may run.
            let passing = RequestID(1000 + id)
            harness.submit(GenerationRequest(id: passing, prompt: [3, 4], maxTokens: 1))
            harness.step()
            harness.cancel(passing)
        }
        #expect(!harness.outcomes[first]!.isOver && harness.outcomes[waiting]!.tokens.isEmpty)
        #expect(harness.engine.counterSnapshot.preemptions <= requests.count && harness.engine.bulk.isEmpty)
        harness.run()
        for request in requests { #expect(try harness.outcomes[request.id] == Harness.alone(request)) }
    }

    /// A request that is cancelled in the middle of a wave ends at once, and its pages are freed with the wave.
    @Test func cancelledInTheMiddle() throws {
        let harness = try Harness(pages: 60)
        let requests = (1...4).map { bulk(UInt64($0)) }
        for request in requests { harness.submit(request) }
        harness.step()
        harness.cancel(requests[1].id)
        harness.engine.checkInvariants()
        harness.step()
        #expect(harness.outcomes[requests[1].id]!.finish == .cancelled)
        harness.run()
        for request in requests where request.id != requests[1].id { #expect(try harness.outcomes[request.id] == Harness.alone(request)) }
        #expect(harness.unusedPageCount == 60)
    }

    /// Of prompts that do not fit one wave those come first whose requests will generate longest; a tenant's own priority goes before that.
    @Test(arguments: [nil, 0] as [Int?]) func theLongestAreBegunFirst(urgent: Int?) throws {
        var configuration = EngineConfiguration.withoutPrefixes
        var sizes = WaveSizes()
        (sizes.requests, sizes.rows) = (4, 64)
        configuration.waveSizes = sizes
        let harness = try Harness(pages: 800, configuration: configuration)
        var requests = [5, 10, 30, 20].enumerated().map { bulk(UInt64($0 + 1), prompt: 60, maxTokens: $1) }
        if let urgent { requests[urgent].priority = -1 }
        for request in requests { harness.submit(request) }
        var begun: [RequestID] = []
        while harness.engine.hasWork {
            harness.step()
            if begun.count < 4 { #expect(harness.engine.waveStatus.rows == 64) }
            begun += requests.map(\.id).filter { !harness.outcomes[$0]!.tokens.isEmpty && !begun.contains($0) }
        }
        #expect(begun == (urgent == nil ? [3, 4, 2, 1] : [1, 3, 4, 2]).map { RequestID($0) })
        for request in requests { #expect(try harness.outcomes[request.id] == Harness.alone(request)) }
    }

    /// The search finds the best of all sizes, up to its grid.
    @Test(arguments: 0..<200 as Range<UInt64>)
    func theChosenSizeIsTheBest(seed: UInt64) {
        var random = RandomSource(seed: seed)
        var planner = WavePlanner()
        let fixed = Double.random(in: 1e6...5e7, using: &random), perRow = Double.random(in: 1e5...3e6, using: &random)
        for rows in [1, 4, 16, 64, 256] {
            var load = StepLoad()
            for _ in 0..<rows { load.add(rows: 1, after: 100) }
            for _ in 0..<5 { planner.observe(load, computing: UInt64(fixed + perRow * Double(rows))) }
        }
        let situation = WavePlanner.Situation(
            pages: Int.random(in: 200...4000, using: &random), pagesPerRequest: Double.random(in: 1...12, using: &random), experts: 640, chosen: 640, pagesPerExpert: 4,
            leastExpertPages: 48, mostExpertPages: Bool.random(using: &random) ? 640 : .max, expertBytes: 1 << 20,
            bytesPerNanosecond: Double.random(in: 0.2...4, using: &random), requests: Int.random(in: 1...600, using: &random), most: 512)
        let choice = planner.choose(situation, context: 100)
        func rate(_ requests: Int) -> Double {
            let left = max(48, min(situation.mostExpertPages, situation.pages - Int(Double(requests) * situation.pagesPerRequest)))
            let reading = Double(max(0, 640 - left / 4) << 20) / situation.bytesPerNanosecond
            return Double(requests) / max(fixed + perRow * Double(requests), reading)
        }
        let most = max(1, min(situation.requests, 512, Int(Double(situation.pages - 48) / situation.pagesPerRequest)))
        let best = (1...most).map(rate).max()!
        #expect(rate(choice.requests) >= 0.95 * best, "seed \(seed): \(choice.requests) of \(most)")
    }
}
