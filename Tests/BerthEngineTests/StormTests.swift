// Storms: many random requests on too few pages, with slow, failing and changing adapters and clients that go away. Whatever
// happens, a request that is served gets exactly the tokens it gets alone with everything resident, and nothing is left behind.

import BerthCore
import BerthMemory
import Testing

@testable import BerthEngine

@Suite struct StormTests {
    /// A request with random everything.
    static func request(_ id: UInt64, adapters: [String], maxPrompt: Int, maxTokens: Int, random: inout RandomSource) -> GenerationRequest {
        let length = Int.random(in: 1...maxPrompt, using: &random)
        var prompt = (0..<length).map { _ in Int32.random(in: 2..<FakeModel.poison, using: &random) }
        // Half of them begin like others.
        if Bool.random(using: &random) { prompt.replaceSubrange(..<(length / 2), with: (0..<length / 2).map { Int32(2 + $0 * 7 % 50) }) }
        let adapter = Bool.random(using: &random) ? adapters.randomElement(using: &random) : nil
        var request = GenerationRequest(
            id: RequestID(id), adapter: adapter.flatMap { AdapterName($0) }, prompt: prompt, maxTokens: Int.random(in: 0...maxTokens, using: &random))
        request.sampling.temperature = [0, 0, 0.7, 1, 1.3].randomElement(using: &random)!
        request.sampling.topK = [0, 0, 5].randomElement(using: &random)!
        request.sampling.topP = [1, 1, 0.8].randomElement(using: &random)!
        request.sampling.minP = [0, 0, 0.1].randomElement(using: &random)!
        request.sampling.repetitionPenalty = [1, 1, 1.2].randomElement(using: &random)!
        request.sampling.presencePenalty = [0, 0, 0.5].randomElement(using: &random)!
        request.sampling.frequencyPenalty = [0, 0, 0.3].randomElement(using: &random)!
        request.sampling.seed = random.next()
        request.ignoresEndTokens = Bool.random(using: &random)
        request.serviceClass = Int.random(in: 0..<3, using: &random) == 0 ? .bulk : .interactive
        if Int.random(in: 0..<3, using: &random) == 0 { request.stopStrings = ["abéb", "ccc", "bab"] }
        if Int.random(in: 0..<4, using: &random) == 0 { request.stopTokens = [17, 23] }
        request.logprobs = [nil, nil, 0, 3].randomElement(using: &random)!
        request.promptLogprobs = Int.random(in: 0..<4, using: &random) == 0 ? Int.random(in: 0...2, using: &random) : nil
        return request
    }

    @Test(arguments: 1...24 as ClosedRange<UInt64>)
    func storm(seed: UInt64) throws {
        var random = RandomSource(seed: seed)
        let pages = Int.random(in: 8...24, using: &random)
        var configuration = EngineConfiguration()
        configuration.stepTokens = Int.random(in: 4...64, using: &random)
        configuration.runningRequests = Int.random(in: 1...16, using: &random)
        configuration.stepLogits = Int.random(in: 1...16, using: &random)
        configuration.adapterReads = Int.random(in: 1...3, using: &random)
        let harness = try Harness(pages: pages, configuration: configuration)
        // name → every version it has had, as (version, pages).
        var versions: [String: [(version: UInt64, pages: Int)]] = [:]
        for index in 0..<5 {
            let size = Int.random(in: 1...3, using: &random)
            versions["a\(index)"] = [(UInt64(index) + 1, size)]
            try harness.register("a\(index)", version: UInt64(index) + 1, pages: size)
        }
        try harness.register("broken", version: 99, failure: "the file ends early")
        let names = versions.keys.sorted() + ["broken"]
        var requests: [GenerationRequest] = []
        var cancelled: Set<RequestID> = []
        var nextVersion: UInt64 = 1000
        var sent: UInt64 = 0
        let total: UInt64 = 40

        while sent < total || harness.engine.hasWork || !harness.reader.reads.isEmpty || !harness.engine.isEmpty {
            switch Int.random(in: 0..<100, using: &random) {
            case 0..<30 where sent < total:
                sent += 1
                let request = Self.request(sent, adapters: names, maxPrompt: 60, maxTokens: 40, random: &random)
                requests.append(request)
                harness.submit(request)
            case 30..<34:
                if let victim = requests.randomElement(using: &random) {
                    cancelled.insert(victim.id)
                    harness.cancel(victim.id)
                }
            case 34..<36:
                // A new version of the same size or another.
                let name = names.dropLast().randomElement(using: &random)!
                let size = Int.random(in: 1...3, using: &random)
                nextVersion += 1
                versions[name]!.append((nextVersion, size))
                try harness.register(name, version: nextVersion, pages: size)
            case 36..<38:
                try? harness.engine.setPinned(AdapterName(names[0])!, Bool.random(using: &random))
            case 38..<60:
                if !harness.reader.reads.isEmpty { harness.reader.complete(Int.random(in: 0..<harness.reader.reads.count, using: &random), in: harness.engine) }
            default:
                harness.step()
            }
            harness.engine.checkInvariants()
        }

        for request in requests {
            let outcome = harness.outcomes[request.id]!
            #expect(outcome.isOver, "seed \(seed), request \(request.id)")
            if let failure = outcome.failure {
                let isExpected = request.adapter?.text == "broken" ? failure.code == .adapterRejected : failure.code == .overloaded
                #expect(isExpected, "seed \(seed), request \(request.id): \(failure)")
                continue
            }
            if outcome.finish == .cancelled, outcome.tokens.isEmpty, outcome.text.isEmpty { continue }
            let candidates = try (request.adapter.map { versions[$0.text]! as [(version: UInt64, pages: Int)?] } ?? [nil]).map {
                try Harness.alone(request, adapter: $0)
            }
            if outcome.finish == .cancelled {
                #expect(cancelled.contains(request.id), "seed \(seed), request \(request.id)")
                #expect(candidates.contains { $0.tokens.starts(with: outcome.tokens) && $0.text.hasPrefix(outcome.text) }, "seed \(seed), request \(request.id)")
            } else {
                #expect(candidates.contains(outcome), "seed \(seed), request \(request.id)")
            }
        }
        for name in names { try harness.engine.unregisterAdapter(AdapterName(name)!) }
        harness.engine.checkInvariants()
        #expect(harness.unusedPageCount == pages, "seed \(seed)")
        #expect(harness.engine.adapters.isEmpty, "seed \(seed)")
    }

    /// A stream of small requests must not keep a large one, or one with a large adapter, from running.
    @Test func nobodyStarves() throws {
        let harness = try Harness(pages: 12)
        try harness.register("large", version: 1, pages: 6)
        var random = RandomSource(seed: 7)
        for _ in 0..<8 { harness.submit([2, 3, 4], maxTokens: 30) }
        harness.step()
        let large = harness.submit(Array(repeating: 5, count: 60), maxTokens: 20, adapter: "large")
        var steps = 0
        while !harness.outcomes[large]!.isOver, steps < 2000 {
            if Bool.random(using: &random) { harness.submit([6, 7], maxTokens: 20) }
            harness.reader.completeAll(in: harness.engine)
            harness.step()
            steps += 1
        }
        #expect(harness.outcomes[large]!.finish == .length)
        #expect(steps < 200)
    }

    /// Requests that outgrow the pool together come to their ends one after the other, with the right tokens.
    @Test func preemptionChangesNoToken() throws {
        let harness = try Harness(pages: 6)
        var requests: [GenerationRequest] = []
        for id in 1...5 as ClosedRange<UInt64> {
            var request = GenerationRequest(id: RequestID(id), prompt: [Int32(id) + 1, 9], maxTokens: 70)
            request.ignoresEndTokens = true
            request.sampling.seed = id
            requests.append(request)
            harness.submit(request)
        }
        harness.run()
        #expect(harness.engine.counterSnapshot.preemptions > 0)
        for request in requests { #expect(try harness.outcomes[request.id] == Harness.alone(request)) }
        #expect(harness.unusedPageCount == 6)
    }
}
