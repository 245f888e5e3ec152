// An engine with fakes around it, and what its requests have reported.

import BerthCore
import BerthMemory
import BerthModels
import Testing

@testable import BerthEngine

/// Tokens as text: mostly a letter or two, held back until the next token where a real one would be half a character.
struct FakeDetokenizer: Detokenizer {
    private var held = ""

    static func text(_ token: Int32) -> String {
        switch token % 5 {
        case 0: "ab"
        case 1: "b"
        case 2: String(UnicodeScalar(UInt8(97 + token % 26)))
        case 3: "é"
        default: " c"
        }
    }

    mutating func append(_ token: Int32) -> String {
        held += Self.text(token)
        if token % 7 == 0 { return "" }
        defer { held = "" }
        return held
    }

    mutating func finish() -> String {
        defer { held = "" }
        return held
    }
}

/// Everything one request has reported.
struct Outcome: Equatable {
    var prompt: [TokenLogprob?]?
    var tokens: [Int32] = []
    var logprobs: [TokenLogprob?] = []
    var text = ""
    var usage: Usage?
    @Unequal var cachedTokens = 0
    var finish: FinishReason?
    var failure: GenerationFailure?
    var isOver: Bool { finish != nil || failure != nil }

    mutating func add(_ event: GenerationEvent) {
        #expect(!isOver, "an event after the last")
        switch event {
        case .prompt(let logprobs):
            #expect(prompt == nil && tokens.isEmpty)
            prompt = logprobs
        case .token(let token):
            tokens.append(token.token)
            logprobs.append(token.logprob)
            text += token.text
        case .finished(let reason, let rest, let usage):
            finish = reason
            text += rest
            // What was there depends on who came before.
            self.usage = Usage(promptTokens: usage.promptTokens, completionTokens: usage.completionTokens)
            cachedTokens = usage.cachedTokens
        case .failed(let failure): self.failure = failure
        }
    }
}

/// A value that does not count when its owner is compared.
@propertyWrapper struct Unequal<Value: Sendable>: Equatable, Sendable {
    var wrappedValue: Value
    static func == (left: Self, right: Self) -> Bool { true }
}

extension EngineConfiguration {
    /// For tests that count what others would leave in the cache.
    static var withoutPrefixes: Self {
        var configuration = EngineConfiguration()
        configuration.cachesPrefixes = false
        return configuration
    }
}

final class Harness {
    let pool: Pool
    let reader = FakeReader()
    let engine: Engine
    var now: UInt64 = 0
    /// Proves the sums after every step.
    var isProving = true
    var outcomes: [RequestID: Outcome] = [:]
    /// Pages that are free, and those of the prefix cache that nobody uses.
    var unusedPageCount: Int { pool.freePageCount + engine.prefixes.idleCount }
    private var nextID: UInt64 = 0

    convenience init(pages: Int = 64, reserving: Int = 0, contextLength: Int = 240, configuration: EngineConfiguration = EngineConfiguration()) throws {
        try self.init(FakeModel(contextLength: contextLength), pages: pages, reserving: reserving, configuration: configuration)
    }

    /// `expertPages` is the most that paged experts may take, `reserving` the pages that the pool may grow to.
    init(
        _ model: any CausalModel, pages: Int, reserving: Int = 0, experts: ExpertSupply? = nil, expertPages: Int = .max, configuration: EngineConfiguration = EngineConfiguration()
    ) throws {
        let pageBytes = (model.kvLayout.pageBytes + 4095) / 4096 * 4096
        pool = try Pool(bytes: pages * pageBytes, pageBytes: pageBytes, reserving: reserving * pageBytes)
        pool.setShare(PoolShare(ceilingPages: expertPages), for: .expert)
        engine = Engine(model: model, pool: pool, reader: reader, experts: experts, endTokens: [FakeModel.end], configuration: configuration) { _ in FakeDetokenizer() }
    }

    func register(_ name: String, version: UInt64, pages: Int = 1, failure: String? = nil) throws {
        try engine.registerAdapter(AdapterName(name)!, FakeAdapter.source(version, bytes: pages * 4096, failure: failure))
    }

    /// A request of the next id, changed by `change`, submitted.
    @discardableResult
    func submit(_ prompt: [Int32], maxTokens: Int = 8, adapter: String? = nil, _ change: (inout GenerationRequest) -> Void = { _ in }) -> RequestID {
        nextID += 1
        var request = GenerationRequest(id: RequestID(nextID), adapter: adapter.flatMap { AdapterName($0) }, prompt: prompt, maxTokens: maxTokens)
        request.sampling.temperature = 0
        request.ignoresEndTokens = true
        change(&request)
        submit(request)
        return request.id
    }

    func submit(_ request: GenerationRequest) {
        outcomes[request.id] = Outcome()
        engine.submit(request, now: now)
    }

    func cancel(_ id: RequestID) { engine.cancel(id, now: now) }

    func step() {
        now += 1000
        for (id, event) in engine.step(now: now) { outcomes[id]!.add(event) }
        if isProving { engine.checkInvariants() }
    }

    /// The order in which requests end; steps until all have.
    func ends(of ids: [RequestID]) -> [RequestID] {
        var ended: [RequestID] = []
        while ended.count < ids.count {
            step()
            ended += ids.filter { outcomes[$0]!.isOver && !ended.contains($0) }
        }
        return ended
    }

    /// Steps, completing reads as they come, until nothing is left to do.
    func run(completingReads: Bool = true, limit: Int = 20_000) {
        var steps = 0
        while engine.hasWork || (completingReads && !reader.reads.isEmpty) {
            if completingReads { reader.completeAll(in: engine) }
            step()
            steps += 1
            precondition(steps < limit, "the engine does not come to an end")
        }
    }

    /// The same request, alone, with everything resident in a large pool.
    static func alone(_ request: GenerationRequest, adapter: (version: UInt64, pages: Int)? = nil, contextLength: Int = 240) throws -> Outcome {
        let harness = try Harness(pages: 256, contextLength: contextLength)
        harness.isProving = false
        var request = request
        request.serviceClass = .interactive
        if let adapter { try harness.register(request.adapter!.text, version: adapter.version, pages: adapter.pages) }
        harness.submit(request)
        harness.run()
        return harness.outcomes[request.id]!
    }
}
