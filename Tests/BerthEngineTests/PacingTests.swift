// Prompts beside streams, under a scripted clock: a step takes what a formula says, and nothing here knows a real time.

import BerthCore
import BerthModels
import Testing

@testable import BerthEngine

@Suite struct PacingTests {
    /// Milliseconds of a step on machines of different makes.
    enum Machine: CaseIterable {
        /// Small steps take what reading the weights takes, large ones what their arithmetic takes.
        case twoCores
        /// The streams alone take almost half of the interval, and every row counts from the first.
        case slow
        /// Chunks of any size fit the interval.
        case fast

        func milliseconds(_ load: StepLoad) -> Double {
            switch self {
            case .twoCores: PacedRun.twoCores(load)
            case .slow: 80 + 30 * Double(load.rows) + 0.001 * Double(load.attended)
            case .fast: 2 + 0.1 * Double(load.rows)
            }
        }
    }

    /// A prompt of 1,500 tokens, alone and beside a stream: neither waits much for the other, and both say what they would have said alone.
    @Test(arguments: Machine.allCases) func aLongPromptDoesNotStallAStream(_ machine: Machine) throws {
        let alone = try PacedRun { _, load in machine.milliseconds(load) }
        let single = alone.harness.submit(PacedRun.prompt(1500))
        alone.prefill(single)
        let promptAlone = alone.milliseconds
        alone.run { alone.harness.outcomes[single]!.isOver }

        let both = try PacedRun { _, load in machine.milliseconds(load) }
        let stream = both.harness.submit([5, 6, 7], maxTokens: 400)
        for _ in 0..<20 { both.step() }
        let start = both.milliseconds
        let long = both.harness.submit(PacedRun.prompt(1500))
        both.prefill(long)
        let gaps = both.gaps(of: stream, since: start - 1).sorted()
        #expect(both.milliseconds - start < 1.5 * promptAlone)
        #expect(gaps.last! < 1.3 * max(250, 4 * both.steps[10].milliseconds))
        if machine != .fast {
            #expect(gaps.last! < 10 * both.steps[10].milliseconds)
            // The interval is used, not only kept.
            #expect(gaps[gaps.count / 2] > 0.85 * 250)
        }

        both.run { both.harness.engine.isEmpty }
        #expect(both.harness.outcomes[long] == alone.harness.outcomes[single])
        var request = GenerationRequest(id: stream, adapter: nil, prompt: [5, 6, 7], maxTokens: 400)
        request.sampling.temperature = 0
        request.ignoresEndTokens = true
        #expect(both.harness.outcomes[stream] == (try Harness.alone(request, contextLength: 8192)))
    }

    /// Nobody waits for a token: every step takes what it can, from the first.
    @Test func aloneAPromptTakesWholeSteps() throws {
        let run = try PacedRun()
        let first = run.harness.submit(PacedRun.prompt(700))
        run.harness.submit(PacedRun.prompt(300), maxTokens: 0)
        run.prefill(first)
        #expect(run.steps.map(\.rows) == [256, 256, 256])
    }

    /// Where nothing is known yet, chunks begin small and grow, at most to twice what was measured.
    @Test func chunksGrowFromNothing() throws {
        let run = try PacedRun { _, _ in 1 }
        run.harness.submit([5], maxTokens: 40)
        run.step()
        let long = run.harness.submit(PacedRun.prompt(1500))
        run.prefill(long)
        #expect(run.steps[1].rows == 9)
        for (index, step) in run.steps.enumerated().dropFirst(2) { #expect(step.rows <= 2 * run.steps[..<index].map(\.rows).max()!) }
        // Everything is fast here, so whole steps are reached, and soon.
        #expect(run.steps[2...6].last!.rows >= 72 && run.steps[7].rows == 256)
    }

    /// Streams that need more than the interval by themselves leave prompts their part of the time.
    @Test func aPromptEndsBesideStreamsSlowerThanTheInterval() throws {
        let run = try PacedRun(interval: 20) { _, load in max(46, 10 * Double(load.rows)) }
        let stream = run.harness.submit([5], maxTokens: 1000)
        for _ in 0..<10 { run.step() }
        let start = run.milliseconds
        let long = run.harness.submit(PacedRun.prompt(300))
        run.prefill(long)
        #expect(run.gaps(of: stream, since: start - 1).max()! < 1.4 * 4 * 46)
        #expect(run.milliseconds - start < 1.5 * 3000)
    }

    /// Three prompts beside a stream: the oldest goes first, and no step is longer for their number.
    @Test func severalPromptsTakeTurnsOldestFirst() throws {
        let run = try PacedRun()
        let stream = run.harness.submit([5], maxTokens: 1000)
        for _ in 0..<10 { run.step() }
        let start = run.milliseconds
        let prompts = (0..<3).map { _ in run.harness.submit(PacedRun.prompt(400), maxTokens: 200) }
        for id in prompts { run.prefill(id) }
        let firsts = prompts.map { run.tokenTimes[$0]![0] }
        #expect(firsts == firsts.sorted() && firsts[1] - firsts[0] > 3000)
        #expect(run.gaps(of: stream, since: start - 1).max()! < 1.3 * 250)
    }

    /// A machine that is three times slower for a while: chunks follow it down and up again. A single hiccup changes little.
    @Test func chunksFollowTheMachine() throws {
        let run = try PacedRun { step, load in
            let time = max(46, 10 * Double(load.rows))
            return step == 40 ? 60 * time : (100..<200).contains(step) ? 3 * time : time
        }
        run.harness.submit([5], maxTokens: 2000)
        run.step()
        run.harness.submit(PacedRun.prompt(8000), maxTokens: 1)
        for _ in 0..<330 { run.step() }
        #expect(run.steps[41..<46].allSatisfy { $0.rows >= 16 })
        #expect(run.steps[48..<100].allSatisfy { (0.8 * 250...1.2 * 250).contains($0.milliseconds) })
        #expect(run.steps[115..<200].allSatisfy { $0.milliseconds < 1.3 * 250 })
        #expect(run.steps[300].milliseconds > 0.7 * 250)
    }

    /// Idle time between two requests is no step's time.
    @Test func idleTimeIsNotLearned() throws {
        let run = try PacedRun()
        for _ in 0..<30 {
            let id = run.harness.submit([5, 6], maxTokens: 3)
            run.run { run.harness.outcomes[id]!.isOver }
            run.harness.now += 3_600_000_000_000
        }
        var load = StepLoad()
        load.add(rows: 1, after: 3)
        #expect((44e6...49e6).contains(run.harness.engine.pacer.times.nanoseconds(of: load)))
    }
}

@Suite struct StepTimeModelTests {
    private static func load(rows: Int, context: Int = 0) -> StepLoad {
        var load = StepLoad()
        load.add(rows: rows, after: context)
        return load
    }

    /// Times within a few per cent, between sizes that were seen, though no one line goes through them.
    @Test func learnsWhatStepsTake() {
        var model = StepTimeModel()
        #expect(model.nanoseconds(of: Self.load(rows: 4)) == 0)
        func time(_ load: StepLoad) -> Double { max(46e6, 10e6 * Double(load.rows)) + 400 * Double(load.attended) }
        var random = RandomSource(seed: 7)
        for _ in 0..<300 {
            let load = Self.load(rows: 1 << Int.random(in: 0...8, using: &random) + Int.random(in: 0...3, using: &random), context: Int.random(in: 0...2000, using: &random))
            model.observe(load, nanoseconds: UInt64(time(load)))
        }
        for rows in [1, 2, 17, 24, 70, 140, 257] {
            for context in [0, 700, 1900] {
                let load = Self.load(rows: rows, context: context)
                let error = model.nanoseconds(of: load) / time(load)
                #expect((0.8...1.25).contains(error), "\(rows) rows after \(context): \(error)")
            }
        }
    }


    /// A step that takes no time, or the same load again and again, leaves a sensible prediction.
    @Test func survivesDegenerateObservations() {
        var model = StepTimeModel()
        for _ in 0..<1000 { model.observe(Self.load(rows: 1), nanoseconds: 0) }
        #expect(model.nanoseconds(of: Self.load(rows: 100_000)).isFinite)
        for _ in 0..<1000 { model.observe(Self.load(rows: 1, context: 1 << 20), nanoseconds: .max / 2) }
        let time = model.nanoseconds(of: Self.load(rows: 64, context: 1 << 24))
        #expect(time.isFinite && time >= 0)
    }
}
