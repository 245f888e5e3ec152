// The engine by example: how requests begin, end, fail and wait.

import BerthCore
import BerthMemory
import Testing

@testable import BerthEngine

@Suite struct EngineTests {
    @Test func generatesUntilMaxTokens() throws {
        let harness = try Harness()
        let id = harness.submit([5, 6, 7], maxTokens: 9)
        harness.run()
        let outcome = harness.outcomes[id]!
        #expect(outcome.tokens.count == 9 && outcome.finish == .length)
        #expect(outcome.usage == Usage(promptTokens: 3, completionTokens: 9))
        #expect(outcome.text == outcome.tokens.map(FakeDetokenizer.text).joined())
        #expect(harness.unusedPageCount == 64 && harness.engine.isEmpty && !harness.engine.hasWork)
    }

    /// The same events whatever the chunks: one row a step, three, or all.
    @Test func chunkingChangesNothing() throws {
        var outcomes: [Outcome] = []
        for stepTokens in [1, 3, 7, 256] {
            var configuration = EngineConfiguration()
            configuration.stepTokens = stepTokens
            configuration.stepLogits = max(1, stepTokens / 2)
            let harness = try Harness(configuration: configuration)
            let id = harness.submit(Array(2..<55), maxTokens: 20) {
                $0.promptLogprobs = 2
                $0.logprobs = 2
                $0.sampling.temperature = 1
            }
            harness.submit([9, 9], maxTokens: 30)
            harness.run()
            outcomes.append(harness.outcomes[id]!)
        }
        #expect(outcomes[0].prompt?.count == 53 && outcomes[0].prompt?[0] == nil)
        #expect(outcomes.allSatisfy { $0 == outcomes[0] })
    }

    /// Rows that all threads sample come to what one thread makes of them, whatever the requests ask for.
    @Test func threadsThatSampleTogetherChangeNothing() throws {
        func run(threads: Int) throws -> [Outcome] {
            var configuration = EngineConfiguration()
            configuration.sharedLogits = threads == 1 ? .max : 0
            let harness = try Harness(FakeModel(threads: threads), pages: 64, configuration: configuration)
            let ids = (0..<24).map { (index: Int) in
                harness.submit([Int32(2 + index), index == 13 ? FakeModel.poison : 3, 4], maxTokens: 5 + index % 7) {
                    $0.sampling.temperature = index % 3 == 0 ? 0 : 1.5
                    $0.sampling.seed = UInt64(index)
                    $0.sampling.topP = index % 4 == 1 ? 0.8 : 1
                    $0.sampling.topK = index % 5 == 2 ? 7 : 0
                    $0.sampling.repetitionPenalty = index % 6 == 4 ? 1.4 : 1
                    $0.sampling.logitBias = index % 8 == 6 ? [9: 3] : [:]
                    $0.logprobs = index % 2 == 0 ? 3 : nil
                    $0.promptLogprobs = index % 4 == 0 ? index % 3 : nil
                }
            }
            harness.run()
            return ids.map { harness.outcomes[$0]! }
        }
        let alone = try run(threads: 1), together = try run(threads: 3)
        #expect(together == alone)
        #expect(alone[13].failure != nil && alone.enumerated().allSatisfy { $0 == 13 || $1.failure == nil })
    }

    @Test func echoEvaluatesThePromptAlone() throws {
        let harness = try Harness()
        let echo = harness.submit([4, 8, 15, 16], maxTokens: 0) { $0.promptLogprobs = 1; $0.logprobs = 1 }
        let silent = harness.submit([4, 8], maxTokens: 0)
        let single = harness.submit([4], maxTokens: 0) { $0.promptLogprobs = 0 }
        harness.run()
        let outcome = harness.outcomes[echo]!
        #expect(outcome.tokens.isEmpty && outcome.finish == .length)
        #expect(outcome.prompt?.map { $0?.token } == [nil, 8, 15, 16])
        #expect(outcome.prompt?[1]?.top.count == 1)
        #expect(harness.outcomes[silent]!.prompt == nil && harness.outcomes[silent]!.finish == .length)
        #expect(harness.outcomes[single]!.prompt == [nil])
    }

    /// Before `minTokens` nothing ends an answer: end and stop tokens are not chosen, stop strings are text.
    @Test func nothingEndsAnAnswerBeforeItsLeastLength() throws {
        let harness = try Harness()
        for seed in 0..<40 as Range<UInt64> {
            let free = harness.submit([3, 4], maxTokens: 30) { $0.sampling.seed = seed }
            harness.run()
            let tokens = harness.outcomes[free]!.tokens
            let least = harness.submit([3, 4], maxTokens: 30) {
                $0.sampling.seed = seed
                $0.minTokens = 20
                $0.stopTokens = [tokens[0], 7]
                $0.stopStrings = [FakeDetokenizer.text(9), FakeDetokenizer.text(11)]
            }
            harness.run()
            let outcome = harness.outcomes[least]!
            #expect(outcome.tokens.count >= 20, "seed \(seed)")
            #expect(outcome.tokens.prefix(20).allSatisfy { $0 != FakeModel.end && $0 != 7 && $0 != tokens[0] }, "seed \(seed)")
            if outcome.finish == .stop { #expect(outcome.tokens.count > 20 || [FakeModel.end, 7, tokens[0]].contains(outcome.tokens.last!), "seed \(seed)") }
        }
    }

    /// A sequence of bad words never stands in the output; without its first part its last token may.
    @Test func badWordsDoNotStandInTheOutput() throws {
        let harness = try Harness()
        let plain = harness.submit([3, 4], maxTokens: 40) { $0.ignoresEndTokens = true }
        harness.run()
        let tokens = harness.outcomes[plain]!.tokens
        let words = [[tokens[2], tokens[3]], [tokens[10]], [tokens[0], tokens[1], tokens[2], tokens[3]]]
        let clean = harness.submit([3, 4], maxTokens: 40) {
            $0.ignoresEndTokens = true
            $0.badWords = words
        }
        harness.run()
        let output = harness.outcomes[clean]!.tokens
        for word in words { #expect(!(0...output.count - word.count).contains { Array(output[$0..<$0 + word.count]) == word }, "\(word) in \(output)") }
        if tokens[10] != tokens[2], tokens.prefix(3).allSatisfy({ $0 != tokens[10] }) { #expect(output.prefix(3).elementsEqual(tokens.prefix(3))) }
    }

    /// The stop is part of the text where that is asked for, and everything else is as without.
    @Test func stopsAreShownWhereTheyAreAskedFor() throws {
        let harness = try Harness()
        let plain = harness.submit([3, 4], maxTokens: 40)
        harness.run()
        let tokens = harness.outcomes[plain]!.tokens
        let place = try #require(tokens.indices.first { $0 > 3 && tokens.firstIndex(of: tokens[$0]) == $0 })
        for isShown in [false, true] {
            let token = harness.submit([3, 4], maxTokens: 40) { $0.stopTokens = [tokens[place]]; $0.includesStop = isShown }
            let string = harness.submit([3, 4], maxTokens: 40) { $0.stopStrings = [FakeDetokenizer.text(tokens[place])]; $0.includesStop = isShown }
            harness.run()
            let text = tokens[..<place].map(FakeDetokenizer.text).joined()
            let wanted = text + (isShown ? FakeDetokenizer.text(tokens[place]) : "")
            #expect(harness.outcomes[token]!.text == wanted && harness.outcomes[token]!.finish == .stop)
            #expect(harness.outcomes[string]!.finish == .stop)
            #expect(harness.outcomes[string]!.text.hasPrefix(isShown ? "" : text.prefix(1)))
            if isShown { #expect(harness.outcomes[string]!.text.hasSuffix(FakeDetokenizer.text(tokens[place]))) }
        }
    }

    /// Ranks count the likelier tokens.
    @Test func promptTokensHaveRanks() throws {
        let harness = try Harness()
        let id = harness.submit([4, 8, 15, 16], maxTokens: 0) { $0.promptLogprobs = 5 }
        harness.run()
        for logprob in harness.outcomes[id]!.prompt!.compactMap({ $0 }) {
            let place = logprob.top.firstIndex { $0.token == logprob.token }
            #expect(place.map { $0 + 1 == logprob.rank } ?? (logprob.rank! > 5))
        }
    }

    @Test func endsAtStopTokensEndTokensAndStopStrings() throws {
        let harness = try Harness()
        let plain = harness.submit([3, 4], maxTokens: 40)
        harness.run()
        let tokens = harness.outcomes[plain]!.tokens
        // A token that first appears at some place of the plain run.
        let place = try #require(tokens.indices.first { $0 > 3 && tokens.firstIndex(of: tokens[$0]) == $0 })
        let stopped = harness.submit([3, 4], maxTokens: 40) { $0.stopTokens = [tokens[place]] }
        harness.run()
        #expect(harness.outcomes[stopped]!.tokens == Array(tokens[...place]))
        #expect(harness.outcomes[stopped]!.finish == .stop)
        #expect(harness.outcomes[stopped]!.text == tokens[..<place].map(FakeDetokenizer.text).joined())

        let text = harness.outcomes[plain]!.text
        let stop = String(text.dropFirst(10).prefix(4))
        let cut = harness.submit([3, 4], maxTokens: 40) { $0.stopStrings = [stop] }
        harness.run()
        #expect(harness.outcomes[cut]!.finish == .stop)
        #expect(harness.outcomes[cut]!.text == StopMatcherTests.reference(text, [stop]).text)

        // Push the end token to the front, with and without attention to it.
        let ended = harness.submit([3, 4], maxTokens: 5) { $0.sampling.logitBias = [FakeModel.end: 50]; $0.ignoresEndTokens = false }
        let ignored = harness.submit([3, 4], maxTokens: 5) { $0.sampling.logitBias = [FakeModel.end: 50] }
        harness.run()
        #expect(harness.outcomes[ended]!.tokens == [FakeModel.end] && harness.outcomes[ended]!.finish == .stop && harness.outcomes[ended]!.text == "")
        #expect(harness.outcomes[ignored]!.tokens.count == 5 && harness.outcomes[ignored]!.finish == .length)
    }

    @Test func endsWithTheContext() throws {
        let harness = try Harness(contextLength: 20)
        let id = harness.submit(Array(repeating: 3, count: 15), maxTokens: 100)
        let full = harness.submit(Array(repeating: 3, count: 20), maxTokens: 0)
        harness.run()
        #expect(harness.outcomes[id]!.tokens.count == 5 && harness.outcomes[id]!.finish == .length)
        #expect(harness.outcomes[full]!.finish == .length)
    }

    @Test func refusesWhatItCannotServe() throws {
        let harness = try Harness(pages: 4, contextLength: 240)
        func failure(_ prompt: [Int32], maxTokens: Int = 4, adapter: String? = nil, _ change: (inout GenerationRequest) -> Void = { _ in }) -> GenerationFailure? {
            let id = harness.submit(prompt, maxTokens: maxTokens, adapter: adapter, change)
            harness.run()
            return harness.outcomes[id]!.failure
        }
        #expect(failure([])?.code == .invalidRequest)
        #expect(failure([61])?.code == .invalidRequest)
        #expect(failure([-1])?.code == .invalidRequest)
        #expect(failure([3], maxTokens: -1)?.code == .invalidRequest)
        #expect(failure(Array(repeating: 3, count: 240))?.code == .invalidRequest)
        #expect(failure([3], adapter: "nobody")?.code == .unknownAdapter)
        #expect(failure([3]) { $0.sampling.temperature = -1 }?.message.contains("temperature") == true)
        #expect(failure([3]) { $0.sampling.temperature = .nan }?.code == .invalidRequest)
        #expect(failure([3]) { $0.sampling.topP = -0.1 }?.code == .invalidRequest)
        #expect(failure([3]) { $0.sampling.minP = 2 }?.code == .invalidRequest)
        #expect(failure([3]) { $0.sampling.topK = -2 }?.code == .invalidRequest)
        #expect(failure([3]) { $0.sampling.repetitionPenalty = 0 }?.code == .invalidRequest)
        #expect(failure([3]) { $0.sampling.logitBias = [99: 1] }?.code == .invalidRequest)
        #expect(failure([3]) { $0.sampling.logitBias = [3: .infinity] }?.code == .invalidRequest)
        // Four pages hold 64 tokens; the last one needs none.
        #expect(harness.engine.capacityTokens() == 64)
        #expect(failure([3], maxTokens: 64) == nil)
        #expect(failure([3], maxTokens: 65)?.code == .overloaded)
        #expect(failure([3], maxTokens: .max)?.message.contains("64") == true)
        harness.engine.rejectAdapter(AdapterName("bad")!, reason: "lora_A has the wrong shape")
        #expect(failure([3], adapter: "bad")?.code == .adapterRejected)
        #expect(failure([3], adapter: "bad")?.message.contains("lora_A has the wrong shape") == true)
        #expect(harness.unusedPageCount == 4)
    }

    @Test func aFullQueueRefuses() throws {
        var configuration = EngineConfiguration()
        configuration.queuedRequests = 3
        let harness = try Harness(configuration: configuration)
        let ids = (0..<5).map { _ in harness.submit([3]) }
        harness.run()
        #expect(ids.map { harness.outcomes[$0]!.failure?.code } == [nil, nil, nil, .overloaded, .overloaded])
    }

    @Test func logitsThatAreNoNumberFailTheirRequestAlone() throws {
        let harness = try Harness()
        let good = harness.submit([3, 4, 5])
        let bad = harness.submit([3, FakeModel.poison])
        let sampled = harness.submit([FakeModel.poison, 3]) { $0.sampling.temperature = 1 }
        let echo = harness.submit([FakeModel.poison, 3, 4], maxTokens: 0) { $0.promptLogprobs = 0 }
        harness.run()
        for id in [bad, sampled, echo] { #expect(harness.outcomes[id]!.failure?.code == .internalError) }
        #expect(harness.outcomes[good]!.tokens.count == 8)
        #expect(harness.unusedPageCount == 64)
    }

    @Test func cancellingFreesAtOnceInEveryState() throws {
        var configuration = EngineConfiguration()
        configuration.stepTokens = 8
        configuration.runningRequests = 2
        let harness = try Harness(configuration: configuration)
        try harness.register("slow", version: 1)
        let prefilling = harness.submit(Array(repeating: 3, count: 60))
        let decoding = harness.submit([4], maxTokens: 50)
        let waiting = harness.submit([5], adapter: "slow")
        let queued = harness.submit([6])
        for _ in 0..<3 { harness.step() }
        let phases = Dictionary(uniqueKeysWithValues: harness.engine.requests.map { ($0.id, $0.phase) })
        #expect(phases == [prefilling: "prefilling", decoding: "decoding", waiting: "waitingForAdapter", queued: "queued"])
        let free = harness.unusedPageCount
        harness.cancel(prefilling)
        #expect(harness.unusedPageCount == free + 4)
        for id in [decoding, waiting, queued] { harness.cancel(id) }
        harness.cancel(RequestID(12345))
        #expect(harness.pool.pageCount(of: .kv) == harness.engine.prefixes.idleCount)
        harness.step()
        #expect([prefilling, decoding, waiting, queued].allSatisfy { harness.outcomes[$0]!.finish == .cancelled })
        // Cancelled twice is cancelled once.
        harness.cancel(decoding)
        harness.run()
        #expect(harness.engine.isEmpty)
    }

    @Test func drainingFinishesWhatIsHereAndRefusesTheRest() throws {
        let harness = try Harness()
        let before = harness.submit([3])
        harness.engine.drain()
        let after = harness.submit([3])
        harness.run()
        #expect(harness.outcomes[before]!.finish == .length)
        #expect(harness.outcomes[after]!.failure?.code == .draining)
        #expect(harness.engine.isEmpty)
    }
}
