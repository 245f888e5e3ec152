// What a step costs beside the model: scheduling, sampling, detokenizing, events. Measured on the engine itself, on one thread and
// without a host, so that nothing else is in it.

import BerthCore
import BerthEngine
import BerthKernels
import BerthModels
import BerthText

struct EngineBenchmark {
    struct Plan {
        /// Requests that decode at once.
        var requests = [1, 16, 64]
        /// Decode steps of one measurement, as far as the model's context goes.
        var steps = 200
        var rounds = 3
        var temperature: Float = 0
        /// Tokens of each prompt.
        var prompt = 8
    }

    let model: Model
    let tokenizer: Tokenizer
    let plan: Plan

    init(model: Model, tokenizer: Tokenizer, plan: Plan) throws {
        guard plan.requests.allSatisfy({ $0 <= min(model.maxRows, model.maxLogitRows) }) else { throw BenchError("so many requests do not fit one step") }
        self.model = model
        self.tokenizer = tokenizer
        self.plan = plan
        guard steps > 0 else { throw BenchError("the model's context of \(model.contextLength) tokens is too short") }
    }

    /// Tokens that the first requests may have before the last one's prompt is done, and one for what comes after.
    private var slack: Int { (plan.requests.max() ?? 0) * plan.prompt / min(EngineConfiguration().stepTokens, model.maxRows) + 3 }
    private var steps: Int { min(plan.steps, model.contextLength - plan.prompt - slack) }
    private var maxTokens: Int { steps + slack }

    func run() throws -> EngineReport {
        var report = EngineReport(results: plan.requests.map { EngineReport.Result(requests: $0, steps: steps) })
        for _ in 0..<plan.rounds {
            for index in plan.requests.indices { try measure(&report.results[index]) }
        }
        return report
    }

    private func measure(_ result: inout EngineReport.Result) throws {
        let engine = try TimedEngine(model, tokenizer, running: result.requests, tokens: plan.prompt + maxTokens)
        for _ in 0..<result.requests { engine.submit(prompt: plan.prompt, generate: maxTokens, temperature: plan.temperature) }
        // Until every prompt is done: from then on each step decodes all requests.
        while engine.counters.promptTokens < result.requests * plan.prompt { _ = engine.step() }
        let before = (tokens: engine.counters.generatedTokens, forward: engine.forwardSeconds)
        let start = monotonicSeconds()
        for _ in 0..<steps { _ = engine.step() }
        result.stepSeconds.append((monotonicSeconds() - start) / Double(steps))
        result.forwardSeconds.append((engine.forwardSeconds - before.forward) / Double(steps))
        result.generatedTokens = engine.counters.generatedTokens - before.tokens
    }
}
