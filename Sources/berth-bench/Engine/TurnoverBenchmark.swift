// What it costs to keep prefixes that nobody asks for again: requests come and go, all begin differently, and the pool is always full of what is kept.
//
// Whole runs of a daemon differ by more than this costs. So the engine's own time is measured beside the model's, on the same requests with and without the
// cache, in turn; what the throughput would be follows from both, with the model's time taken as the same.

import BerthCore
import BerthKernels
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
        let engine = try TimedEngine(
            model, tokenizer, running: plan.running, tokens: plan.prompt + plan.generate, poolTimes: plan.poolTimes, cachesPrefixes: cachesPrefixes)
        var coming = plan.requests
        func submit() {
            guard coming > 0 else { return }
            coming -= 1
            engine.submit(prompt: plan.prompt, generate: plan.generate)
        }
        for _ in 0..<plan.running { submit() }
        var run = TurnoverReport.Run()
        let start = monotonicSeconds()
        while engine.hasWork {
            run.steps += 1
            for (_, event) in engine.step() {
                switch event {
                case .finished: submit()
                case .failed(let failure): throw BenchError("a request failed: \(failure)")
                case .prompt, .token: break
                }
            }
        }
        run.seconds = monotonicSeconds() - start
        run.forwardSeconds = engine.forwardSeconds
        let counters = engine.counters
        (run.generatedTokens, run.cachedTokens, run.evictedBlocks) = (counters.generatedTokens, counters.prefixHits, counters.prefixEvictions)
        return run
    }
}
