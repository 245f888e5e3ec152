// How many run at a time: by the worst case, by what fits now, and by what is foreseen.

import BerthCore
import Testing

@testable import BerthEngine

@Suite struct PredictedAdmissionTests {
    /// What a run came to.
    private struct Result {
        var goodTokensPerSecond = 0.0
        var preemptions = 0
        var medianWait = 0.0
        var meanRunning = 0.0
    }

    /// Answers of which three of four are short and one is long, where every request might take 700 tokens: the model knows when it ends, the engine does not.
    private func serve(_ rule: AdmissionRule, seed: UInt64) throws -> Result {
        var configuration = EngineConfiguration.withoutPrefixes
        configuration.runningRequests = 48
        configuration.admissionRule = rule
        let run = try PacedRun(pages: 250, configuration: configuration) { _, load in 20 + Double(load.rows) }
        run.harness.isProving = false
        var random = RandomSource(seed: seed)
        var submitted: [RequestID: Double] = [:], lengths: [RequestID: Int] = [:]
        var runningSum = 0
        let seconds = 60.0
        while run.milliseconds < seconds * 1000 {
            while submitted.count < 40 || Double(submitted.count) * 80 <= run.milliseconds {
                let length = Int.random(in: 0..<4, using: &random) == 0 ? Int.random(in: 300...600, using: &random) : Int.random(in: 5...40, using: &random)
                let id = run.harness.submit(PacedRun.prompt(Int.random(in: 10...60, using: &random)), maxTokens: 700) {
                    $0.ignoresEndTokens = false
                    $0.minTokens = length - 1
                    $0.sampling.logitBias = [FakeModel.end: 100]
                }
                (submitted[id], lengths[id]) = (run.milliseconds, length)
            }
            run.step()
            runningSum += run.harness.engine.running.count
        }
        var result = Result()
        let over = submitted.keys.filter { run.harness.outcomes[$0]!.finish == .stop }
        #expect(over.allSatisfy { run.harness.outcomes[$0]!.tokens.count == lengths[$0]! })
        let waits = submitted.keys.compactMap { id in run.firstToken(id).map { $0 - submitted[id]! } }.sorted()
        // Good is an answer whose tokens came within 300 ms of each other, on the mean, since its first.
        let good = over.filter { id in
            let times = run.tokenTimes[id]!
            return times.count < 2 || (times.last! - times[0]) / Double(times.count - 1) < 200
        }
        result.goodTokensPerSecond = Double(good.reduce(0) { $0 + lengths[$1]! }) / seconds
        result.preemptions = run.harness.engine.counterSnapshot.preemptions
        result.medianWait = waits[waits.count / 2]
        result.meanRunning = Double(runningSum) / Double(run.steps.count)
        return result
    }

    @Test(arguments: [1, 2] as [UInt64]) func foreseenMemoryLetsInAsManyAsFit(seed: UInt64) throws {
        let results = try Dictionary(uniqueKeysWithValues: AdmissionRule.allCases.map { ($0, try serve($0, seed: seed)) })
        for rule in AdmissionRule.allCases {
            let result = results[rule]!
            print(
                "seed \(seed), \(rule): \(Int(result.goodTokensPerSecond)) good tokens/s, \(result.preemptions) preemptions, "
                    + "\(Int(result.medianWait)) ms to the first token, \(Int(result.meanRunning)) run")
        }
        let (worst, optimistic, spare, predicted) = (results[.worstCase]!, results[.optimistic]!, results[.pageToSpare]!, results[.predicted]!)
        #expect(worst.preemptions == 0)
        #expect(Double(predicted.preemptions) < 0.5 * Double(optimistic.preemptions) && Double(predicted.preemptions) < 0.7 * Double(spare.preemptions))
        #expect(predicted.meanRunning > 1.3 * worst.meanRunning && predicted.goodTokensPerSecond > 1.2 * worst.goodTokensPerSecond)
        #expect(predicted.medianWait < worst.medianWait && predicted.goodTokensPerSecond > 0.97 * max(optimistic.goodTokensPerSecond, spare.goodTokensPerSecond))
    }

    /// The history is a window, by adapter; what is asked is what is longer than what was generated.
    @Test func lengthsAreForeseenFromThoseThatAreLonger() {
        var lengths = OutputLengths()
        let adapter = AdapterName("a")!
        for _ in 0..<OutputLengths.leastLengths - 1 { lengths.record(10, of: adapter) }
        func remaining(_ generated: Int, _ adapter: AdapterName?, _ place: Float) -> Float? {
            lengths.remaining(after: generated, of: adapter, at: OutputLengths.Draws(repeating: place))?[3]
        }
        #expect(remaining(0, adapter, 0.5) == nil)
        lengths.record(100, of: adapter)
        #expect(remaining(0, adapter, 0.5) == 10 && remaining(0, adapter, 0.99) == 100)
        #expect(remaining(10, adapter, 0) == 90 && remaining(100, adapter, 0) == 100)
        // Of another adapter nothing is known but what is known of all.
        #expect(remaining(0, nil, 0) == 10)
        for _ in 0..<1000 { lengths.record(7, of: nil) }
        #expect(remaining(0, nil, 0.999) == 7 && remaining(0, adapter, 0.999) == 100)
        let places = (1...400).map { OutputLengths.places(ofArrival: $0) }
        for part in 0..<10 { #expect((20...60).contains(places.count { Int($0[2] * 10) == part })) }
        #expect(OutputLengths.places(ofArrival: 7) == places[6])
    }

    /// The sum against one that is stepped token by token.
    @Test func thePeakIsThatOfASimulation() {
        var random = RandomSource(seed: 9)
        for round in 0..<300 {
            var forecast = MemoryForecast(blockTokens: 16)
            let holders = (0..<Int.random(in: 1...8, using: &random)).map { _ in
                let pages = Int.random(in: 1...10, using: &random)
                return MemoryForecast.Holder(pages: pages, room: Int.random(in: 0..<16, using: &random), remaining: OutputLengths.Draws(repeating: Float(Int.random(in: 0...120, using: &random))))
            }
            for holder in holders { forecast.add(holder) }
            var peak = 0
            for time in 0...120 {
                peak = max(peak, holders.reduce(0) { sum, holder in
                    Int(holder.remaining[0]) < time ? sum - holder.pages : sum + (max(0, time - holder.room) + 15) / 16
                })
            }
            #expect(forecast.peak(with: nil) == peak, "round \(round)")
        }
    }
}
