// What a step costs beside the model: scheduling, sampling, detokenizing, events. Measured on the engine itself, on one thread and
// without a host, so that nothing else is in it.

import BerthCore
import BerthEngine
import BerthKernels
import BerthMemory
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
        let timed = TimedModel(model)
        let layout = model.kvLayout, pageBytes = (layout.pageBytes + 4095) / 4096 * 4096
        var configuration = EngineConfiguration()
        configuration.stepLogits = max(configuration.stepLogits, result.requests)
        configuration.runningRequests = configuration.stepLogits
        let tokens = plan.prompt + maxTokens
        let pages = result.requests * ((tokens + layout.blockTokens - 1) / layout.blockTokens + 1)
        let engine = Engine(
            model: timed, pool: try Pool(bytes: pages * pageBytes, pageBytes: pageBytes), reader: NoAdapters(), endTokens: [], tokenizer: tokenizer,
            configuration: configuration)
        var random = RandomSource(seed: 1)
        for id in 1...result.requests {
            let prompt = (0..<plan.prompt).map { _ in Int32.random(in: 0..<Int32(model.vocabularySize), using: &random) }
            var request = GenerationRequest(id: RequestID(UInt64(id)), prompt: prompt, maxTokens: maxTokens)
            request.ignoresEndTokens = true
            request.sampling.temperature = plan.temperature
            request.sampling.seed = UInt64(id)
            engine.submit(request, now: 0)
        }
        // Until every prompt is done: from then on each step decodes all requests.
        var now: UInt64 = 0
        while engine.counterSnapshot.promptTokens < result.requests * plan.prompt {
            now += 1
            _ = engine.step(now: now)
        }
        let before = (tokens: engine.counterSnapshot.generatedTokens, forward: timed.forwardSeconds)
        let start = monotonicSeconds()
        for _ in 0..<steps {
            now += 1
            _ = engine.step(now: now)
        }
        result.stepSeconds.append((monotonicSeconds() - start) / Double(steps))
        result.forwardSeconds.append((timed.forwardSeconds - before.forward) / Double(steps))
        result.generatedTokens = engine.counterSnapshot.generatedTokens - before.tokens
    }
}

/// Nobody asks for an adapter here.
final class NoAdapters: AdapterReader {
    var bytesPerSecond: Double? { nil }
    func begin(_ read: AdapterRead) { preconditionFailure("no adapter was registered") }
}
