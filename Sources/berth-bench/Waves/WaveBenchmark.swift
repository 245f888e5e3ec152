// A load of bulk requests, run to its end in an engine of its own for every size of wave.
//
// Every run gets the same requests, and must give the same tokens: a size that changed one would be a fault of the engine, not a measurement.

import BerthCore
import BerthEngine
import BerthKernels
import BerthMemory
import BerthModels
import BerthText

struct WaveBenchmark {
    /// What a run asks of the engine.
    enum Size: Equatable {
        case chosen
        case forced(WaveSizes)
        /// Ordinary steps: nothing is a wave.
        case plain

        init?(_ text: String) {
            switch text {
            case "chosen": self = .chosen
            case "plain": self = .plain
            default:
                let numbers = text.split(separator: ":", omittingEmptySubsequences: false).map { Int($0) }
                guard (1...3).contains(numbers.count), numbers.allSatisfy({ $0.map { (1...1 << 16).contains($0) } ?? false }) else { return nil }
                var sizes = WaveSizes()
                sizes.requests = numbers[0]
                if numbers.count > 1 { sizes.rows = numbers[1] }
                if numbers.count > 2 { sizes.partRows = numbers[2] }
                self = .forced(sizes)
            }
        }

        var name: String {
            switch self {
            case .chosen: "chosen"
            case .plain: "plain"
            case .forced(let sizes): [sizes.requests, sizes.rows, sizes.partRows].compactMap { $0.map(String.init) }.joined(separator: ":")
            }
        }
    }

    struct Plan {
        var requests = 96
        var prompt = 32...128
        var common = 0
        var generate = 24
        var poolBytes = 4 << 30
        var expertPercent = 25
        var rounds = 1
        var seed: UInt64 = 1
    }

    /// Rows of an ordinary step, and how many requests run in one.
    private static let (stepRows, stepRequests) = (1024, 64)

    let tokenizer: Tokenizer
    let plan: Plan
    /// A model with experts on disk, for steps of so many rows and rows of logits.
    let open: (_ maxRows: Int, _ maxLogitRows: Int) throws -> Model

    func run(_ sizes: [Size]) throws -> WaveReport {
        var report = WaveReport(results: sizes.map { WaveReport.Result(size: $0.name) })
        var expected: [RequestID: [Int32]]?
        for _ in 0..<plan.rounds {
            for (index, size) in sizes.enumerated() {
                let (run, tokens) = try measure(size)
                guard expected == nil || expected == tokens else { throw BenchError("waves of size \(size.name) give other tokens than \(sizes[0].name)") }
                expected = tokens
                report.results[index].runs.append(run)
            }
        }
        return report
    }

    private func measure(_ size: Size) throws -> (WaveReport.Run, [RequestID: [Int32]]) {
        let model = try open(Self.stepRows, Self.stepRequests)
        guard let image = model.expertImage else { throw BenchError("the model has no experts") }
        guard plan.common + plan.prompt.upperBound + plan.generate <= model.contextLength else { throw BenchError("the model's context has only \(model.contextLength) tokens") }
        let vocabulary = Int32(model.vocabularySize)
        let pageBytes = MemoryPlan.pageBytes(block: model.kvLayout.pageBytes, expert: image.bytes)
        let pool = try Pool(bytes: plan.poolBytes / pageBytes * pageBytes, pageBytes: pageBytes)
        let count = image.layers.count * image.expertsPerLayer
        let resident = max(ExpertSupply.leastResident(chosen: image.chosen, count: count), count * plan.expertPercent / 100)
        let pagesPerExpert = (image.bytes + pageBytes - 1) / pageBytes
        guard resident * pagesPerExpert <= pool.pageCount else { throw BenchError("the pool has no room for \(resident) experts") }
        pool.setShare(PoolShare(ceilingPages: resident * pagesPerExpert), for: .expert)
        var configuration = EngineConfiguration()
        (configuration.stepTokens, configuration.stepLogits, configuration.runningRequests) = (Self.stepRows, Self.stepRequests, Self.stepRequests)
        if case .forced(let sizes) = size { configuration.waveSizes = sizes }

        let reader = ExpertReaderThreads(image)
        let engine = Engine(
            model: model, pool: pool, reader: NoAdapters(), experts: ExpertSupply(image, reader: reader), endTokens: [], configuration: configuration
        ) { [tokenizer] _ in tokenizer.detokenizer(skipSpecialTokens: true) }
        // A read under way writes into the engine's pages.
        defer { withExtendedLifetime(engine) { reader.stop() } }
        let start = monotonicSeconds()
        for request in requests(vocabulary: vocabulary, isBulk: size != .plain) { engine.submit(request, now: EngineHost.monotonicNanoseconds()) }
        var tokens: [RequestID: [Int32]] = [:]
        while engine.hasWork {
            for (id, event) in engine.step(now: EngineHost.monotonicNanoseconds()) {
                switch event {
                case .token(let token): tokens[id, default: []].append(token.token)
                case .failed(let failure): throw BenchError("a request failed: \(failure)")
                case .prompt, .finished: break
                }
            }
        }
        var run = WaveReport.Run(seconds: monotonicSeconds() - start, generatedTokens: tokens.values.reduce(0) { $0 + $1.count })
        run.bytesRead = reader.account.bytes
        run.waves = engine.waveStatus
        return (run, tokens)
    }

    private func requests(vocabulary: Int32, isBulk: Bool) -> [GenerationRequest] {
        var random = RandomSource(seed: plan.seed)
        func tokens(_ count: Int) -> [Int32] { (0..<count).map { _ in Int32.random(in: 0..<vocabulary, using: &random) } }
        let common = tokens(plan.common)
        return (1...plan.requests).map { number in
            let own = tokens(Int.random(in: plan.prompt, using: &random))
            var request = GenerationRequest(id: RequestID(UInt64(number)), prompt: common + own, maxTokens: plan.generate)
            request.sampling.temperature = 0
            request.ignoresEndTokens = true
            if isBulk { request.serviceClass = .bulk }
            return request
        }
    }
}
