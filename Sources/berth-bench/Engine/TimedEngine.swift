// An engine without a host, over a model that notes its time: what is left of a step is the engine's own.

import BerthCore
import BerthEngine
import BerthMemory
import BerthModels
import BerthText

/// One thread's. Its clock counts steps.
final class TimedEngine {
    private let model: TimedModel
    private let engine: Engine
    private var random = RandomSource(seed: 1)
    private var submitted: UInt64 = 0
    private var now: UInt64 = 0

    /// - Parameters:
    ///   - running: requests that run at once.
    ///   - tokens: of a request, the prompt's and those that it generates.
    ///   - poolTimes: the pool has room for so many times what runs.
    init(_ model: Model, _ tokenizer: Tokenizer, running: Int, tokens: Int, poolTimes: Int = 1, cachesPrefixes: Bool = true) throws {
        self.model = TimedModel(model)
        let layout = model.kvLayout, pageBytes = (layout.pageBytes + 4095) / 4096 * 4096
        var configuration = EngineConfiguration()
        configuration.runningRequests = running
        configuration.stepLogits = max(configuration.stepLogits, running)
        configuration.cachesPrefixes = cachesPrefixes
        let pages = running * ((tokens + layout.blockTokens - 1) / layout.blockTokens + 1) * poolTimes
        engine = Engine(
            model: self.model, pool: try Pool(bytes: pages * pageBytes, pageBytes: pageBytes), reader: NoAdapters(), endTokens: [], tokenizer: tokenizer,
            configuration: configuration)
    }

    var counters: EngineCounters { engine.counterSnapshot }
    var hasWork: Bool { engine.hasWork }
    /// What the model has taken so far.
    var forwardSeconds: Double { model.forwardSeconds }

    /// A prompt of so many random tokens, that generates as many as it may.
    func submit(prompt: Int, generate: Int, temperature: Float = 0) {
        submitted += 1
        let tokens = (0..<prompt).map { _ in Int32.random(in: 0..<Int32(model.vocabularySize), using: &random) }
        var request = GenerationRequest(id: RequestID(submitted), prompt: tokens, maxTokens: generate)
        request.ignoresEndTokens = true
        request.sampling.temperature = temperature
        request.sampling.seed = submitted
        engine.submit(request, now: 0)
    }

    func step() -> [(RequestID, GenerationEvent)] {
        now += 1
        return engine.step(now: now)
    }
}

/// Nobody asks for an adapter here.
final class NoAdapters: AdapterReader {
    var bytesPerSecond: Double? { nil }
    func begin(_ read: AdapterRead) { preconditionFailure("no adapter was registered") }
}
