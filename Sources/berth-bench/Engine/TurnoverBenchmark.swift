// What it costs to keep prefixes that nobody asks for again: requests come and go, all begin differently, and the pool is always full of what is kept.
//
// Whole runs of a daemon differ by more than this costs. So the engine's own time is measured beside the model's, on the same requests with and without the
// cache, in turn; what the throughput would be follows from both, with the model's time taken as the same.

import BerthCore
import BerthEngine
import BerthKernels
import BerthMemory
import BerthModels
import BerthText

struct TurnoverBenchmark {
    struct Plan {
        /// Requests that run at once, and all that come in one measurement.
        var running = 16
        var requests = 64
        /// Tokens of each.
        var prompt = 100
        var generate = 48
        var rounds = 3
        /// The pool has room for so many times what runs: the rest is what is kept.
        var poolTimes = 2
    }

    let model: Model
    let tokenizer: Tokenizer
    let plan: Plan

    init(model: Model, tokenizer: Tokenizer, plan: Plan) throws {
        guard plan.running <= min(model.maxRows, model.maxLogitRows) else { throw BenchError("so many requests do not fit one step") }
        guard plan.prompt + plan.generate <= model.contextLength else { throw BenchError("the model's context has only \(model.contextLength) tokens") }
        (self.model, self.tokenizer, self.plan) = (model, tokenizer, plan)
    }

    func run() throws -> TurnoverReport {
        var report = TurnoverReport()
        for round in 0..<plan.rounds {
            // Nobody is always the first: the machine changes.
            for isOn in round.isMultiple(of: 2) ? [true, false] : [false, true] {
                let measured = try measure(cachesPrefixes: isOn)
                if isOn { report.with.append(measured) } else { report.without.append(measured) }
            }
        }
        return report
    }

    private func measure(cachesPrefixes: Bool) throws -> TurnoverReport.Run {
        let timed = TimedModel(model)
        let layout = model.kvLayout, pageBytes = (layout.pageBytes + 4095) / 4096 * 4096
        var configuration = EngineConfiguration()
        configuration.runningRequests = plan.running
        configuration.stepLogits = max(configuration.stepLogits, plan.running)
        configuration.cachesPrefixes = cachesPrefixes
        let pagesPerRequest = (plan.prompt + plan.generate + layout.blockTokens - 1) / layout.blockTokens + 1
        let engine = Engine(
            model: timed, pool: try Pool(bytes: plan.running * pagesPerRequest * plan.poolTimes * pageBytes, pageBytes: pageBytes), reader: NoAdapters(),
            endTokens: [], tokenizer: tokenizer, configuration: configuration)
        var random = RandomSource(seed: 1)
        var coming = plan.requests
        func submit() {
            guard coming > 0 else { return }
            let prompt = (0..<plan.prompt).map { _ in Int32.random(in: 0..<Int32(model.vocabularySize), using: &random) }
            var request = GenerationRequest(id: RequestID(UInt64(coming)), prompt: prompt, maxTokens: plan.generate)
            (request.ignoresEndTokens, request.sampling.temperature) = (true, 0)
            coming -= 1
            engine.submit(request, now: 0)
        }
        for _ in 0..<plan.running { submit() }
        var run = TurnoverReport.Run()
        var now: UInt64 = 0
        let start = monotonicSeconds()
        while engine.hasWork {
            now += 1
            run.steps += 1
            for (_, event) in engine.step(now: now) {
                switch event {
                case .finished: submit()
                case .failed(let failure): throw BenchError("a request failed: \(failure)")
                case .prompt, .token: break
                }
            }
        }
        run.seconds = monotonicSeconds() - start
        run.forwardSeconds = timed.forwardSeconds
        run.generatedTokens = engine.counterSnapshot.generatedTokens
        (run.cachedTokens, run.evictedBlocks) = (engine.counterSnapshot.prefixHits, engine.counterSnapshot.prefixEvictions)
        return run
    }
}
