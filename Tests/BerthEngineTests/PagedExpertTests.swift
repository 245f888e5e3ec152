// Experts that come from disk compute what experts in memory compute, bit for bit, whatever the disk does.

import BerthCore
import BerthKernels
import BerthMemory
import BerthModels
import BerthStore
import Foundation
import Testing

@testable import BerthEngine

@Suite struct PagedExpertTests {
    /// A tiny mixture in memory, and the same with its experts on disk.
    final class Pair {
        let resident: Model, paged: Model
        /// Nil where the fixture has no adapters.
        let source: AdapterSource?
        let pageBytes: Int
        let folder: String

        init(_ fixture: String, _ format: WeightFormat) throws {
            let directory = RealModelTests.fixtures + "/" + fixture
            let folder = NSTemporaryDirectory() + "berth-experts-\(UUID().uuidString)"
            self.folder = folder
            func model(_ experts: ExpertPlacement) throws -> Model {
                try Model(
                    checkpoint: Checkpoint(directory: directory), format: format, compute: Compute(threads: 2), maxRows: 64, maxLogitRows: 16,
                    cache: WeightCache(ImageCache(directory: folder)), experts: experts)
            }
            resident = try model(.resident)
            paged = try model(.paged(.direct))
            let adapter = fixture == "qwen2_moe" ? "adapter-0" : "experts"
            if FileManager.default.fileExists(atPath: "\(directory)/adapters") {
                let checkpoint = try AdapterCheckpoint(directory: "\(directory)/adapters/\(adapter)", base: resident.catalog)
                source = AdapterSource(checkpoint, plan: resident.plan(checkpoint))
            } else {
                source = nil
            }
            pageBytes = (paged.kvLayout.pageBytes + 4095) / 4096 * 4096
        }

        deinit { try? FileManager.default.removeItem(atPath: folder) }

        var image: ExpertImage { paged.expertImage! }
        var pagesPerExpert: Int { (image.bytes + pageBytes - 1) / pageBytes }
        var count: Int { image.layers.count * image.expertsPerLayer }

        func alone(_ request: GenerationRequest) throws -> Outcome {
            let harness = try Harness(resident, pages: 200)
            harness.isProving = false
            try register(in: harness)
            harness.submit(request)
            harness.run()
            return harness.outcomes[request.id]!
        }

        /// An engine on the paged model whose experts may take `percent` of all, or the least.
        func harness(_ reader: FakeExpertReader, percent: Int, pages: Int, reserving: Int = 0, options: ExpertOptions = ExpertOptions(), _ configuration: EngineConfiguration) throws -> Harness {
            let experts = max(ExpertSupply.leastResident(chosen: image.chosen, count: count), count * percent / 100)
            let harness = try Harness(
                paged, pages: pages + experts * pagesPerExpert, reserving: reserving, experts: ExpertSupply(image, reader: reader, options: options),
                expertPages: experts * pagesPerExpert, configuration: configuration)
            try register(in: harness)
            return harness
        }

        private func register(in harness: Harness) throws {
            guard let source else { return }
            for name in ["one", "two"] { try harness.engine.registerAdapter(AdapterName(name)!, source) }
        }

        func requests(_ count: UInt64, seed: UInt64) -> [GenerationRequest] {
            randomRequests(
                count, seed: seed, vocabulary: resident.vocabularySize, adapters: source == nil ? [] : [nil, AdapterName("one"), AdapterName("two")],
                maxTokens: 1...20)
        }
    }

    static var narrow: EngineConfiguration {
        var configuration = EngineConfiguration()
        configuration.stepTokens = 60
        configuration.stepLogits = 8
        return configuration
    }

    /// Submits requests over a number of steps and runs them to their ends.
    func storm(_ requests: [GenerationRequest], on harness: Harness) {
        for request in requests {
            harness.submit(request)
            if request.id.rawValue % 2 == 0 { harness.step() }
            if request.id.rawValue % 5 == 0 { harness.reader.completeAll(in: harness.engine) }
        }
        harness.run()
    }

    /// At every budget, alone and in a storm of adapters, greedy and sampled, with reads that come late and in any order.
    @Test(arguments: [("qwen2_moe", WeightFormat.bf16), ("mixtral", .int8), ("qwen2_moe_fused", .int4), ("olmoe_clip", .f32)])
    func tokensDoNotDependOnWhereExpertsAre(fixture: String, format: WeightFormat) throws {
        let pair = try Pair(fixture, format)
        let requests = pair.requests(16, seed: 29)
        let alone = try requests.map(pair.alone)
        for percent in [100, 50, 25, 10, 0] {
            for (isAware, prefetches) in [(true, true), (true, false), (false, true)] {
                var options = ExpertOptions()
                if !isAware { options.policy = .fixed(.lru) }
                options.prefetches = prefetches
                let reader = FakeExpertReader(pair.image, seed: UInt64(percent))
                let harness = try pair.harness(reader, percent: percent, pages: 12, options: options, Self.narrow)
                storm(requests, on: harness)
                for (request, alone) in zip(requests, alone) { #expect(harness.outcomes[request.id] == alone, "request \(request.id) at \(percent) %") }
                let cacheIsSmall = ExpertSupply.leastResident(chosen: pair.image.chosen, count: pair.count) < pair.count
                let account = harness.engine.experts!.account
                #expect(account.misses > 0 && account.lostExperts == 0)
                if percent == 0, cacheIsSmall { #expect(account.evictions > 0) }
                #expect(prefetches || account.guesses + account.queueReads == 0)
            }
        }
    }

    /// The same with nobody beside it: one request after another, each to its end.
    @Test(arguments: [("qwen2_moe", WeightFormat.int8), ("mixtral", .bf16)])
    func tokensOfOneStreamDoNotDependOnWhereExpertsAre(fixture: String, format: WeightFormat) throws {
        let pair = try Pair(fixture, format)
        let requests = pair.requests(6, seed: 31)
        let alone = try requests.map(pair.alone)
        #expect(requests.contains { $0.sampling.temperature == 0 } && requests.contains { $0.sampling.temperature > 0 })
        for percent in [100, 50, 25, 10, 0] {
            for prefetches in [true, false] {
                var options = ExpertOptions()
                options.prefetches = prefetches
                let harness = try pair.harness(FakeExpertReader(pair.image, seed: 3), percent: percent, pages: 12, options: options, Self.narrow)
                for (request, alone) in zip(requests, alone) {
                    harness.submit(request)
                    harness.run()
                    #expect(harness.outcomes[request.id] == alone, "request \(request.id) at \(percent) %")
                }
            }
        }
    }

    /// What cannot be read ends the requests whose rows chose it, and nobody else notices.
    @Test(arguments: [UInt64(3), 4, 5]) func readErrorsHarmOnlyWhoChose(seed: UInt64) throws {
        let pair = try Pair("qwen2_moe", .bf16)
        let requests = pair.requests(12, seed: seed).map { request in
            var request = request
            request.prompt = Array(request.prompt.prefix(3))
            request.maxTokens = 4
            return request
        }
        let alone = try requests.map(pair.alone)
        let reader = FakeExpertReader(pair.image, seed: seed)
        var random = RandomSource(seed: seed)
        let layer = pair.image.layers.randomElement(using: &random)!
        reader.broken = [ExpertID(layer: layer, expert: Int.random(in: 0..<pair.image.expertsPerLayer, using: &random))]
        let harness = try pair.harness(reader, percent: 50, pages: 40, Self.narrow)
        storm(requests, on: harness)
        var failed = 0
        for (request, alone) in zip(requests, alone) {
            let outcome = harness.outcomes[request.id]!
            if let failure = outcome.failure {
                failed += 1
                #expect(failure.code == .unreadable && failure.message.contains("of layer \(layer)"), "\(failure)")
                #expect(alone.tokens.starts(with: outcome.tokens), "tokens before the failure are the right ones")
            } else {
                #expect(outcome == alone, "request \(request.id)")
            }
        }
        #expect(failed > 0 && failed < requests.count, "\(failed) of \(requests.count) failed (seed \(seed))")
        // The disk recovers: what failed works.
        reader.broken = []
        for (request, alone) in zip(requests, alone) where harness.outcomes[request.id]!.failure != nil {
            harness.submit(request)
            harness.run()
            #expect(harness.outcomes[request.id] == alone)
        }
    }

    /// An extent that is not what was written is found out by its checksum, and harms those whose rows chose the expert.
    @Test func corruptExtentsHarmOnlyWhoChose() throws {
        let pair = try Pair("qwen2_moe", .bf16)
        let requests = pair.requests(12, seed: 3).map { request in
            var request = request
            request.prompt = Array(request.prompt.prefix(3))
            request.maxTokens = 4
            return request
        }
        let alone = try requests.map(pair.alone)
        let reader = FakeExpertReader(pair.image, seed: 7)
        // One bit in the file, in the middle of an expert that some of the requests choose.
        let id = ExpertID(layer: pair.image.layers[0], expert: 2)
        let memory = UnsafeMutableRawPointer.allocate(byteCount: pair.image.bytes, alignment: 4096)
        defer { memory.deallocate() }
        try pair.image.read(id, into: memory)
        let name = try #require(FileManager.default.contentsOfDirectory(atPath: pair.folder).first { $0.hasSuffix(".image") })
        let file = try #require(FileHandle(forUpdatingAtPath: "\(pair.folder)/\(name)"))
        defer { try? file.close() }
        let contents = try #require(try file.readToEnd())
        let place = try #require(contents.range(of: Data(bytes: memory, count: 512))).lowerBound + 100
        try file.seek(toOffset: UInt64(place))
        try file.write(contentsOf: [contents[place] ^ 4])
        let harness = try pair.harness(reader, percent: 25, pages: 40, Self.narrow)
        storm(requests, on: harness)
        var failed = 0
        for (request, alone) in zip(requests, alone) {
            let outcome = harness.outcomes[request.id]!
            failed += outcome.failure == nil ? 0 : 1
            if let failure = outcome.failure { #expect(failure.code == .unreadable && failure.message.contains("expert 2 of layer \(id.layer)"), "\(failure)") }
            #expect(outcome.failure == nil ? outcome == alone : alone.tokens.starts(with: outcome.tokens), "request \(request.id)")
        }
        #expect(failed > 0 && failed < requests.count, "\(failed) of \(requests.count) failed")
    }

    /// A prompt of many rows passes a layer with fewer slots than it has experts, and reads each missing one once.
    @Test func aPromptReadsEachExpertOncePerLayer() throws {
        let pair = try Pair("qwen2_moe", .bf16)
        let reader = FakeExpertReader(pair.image, seed: 1)
        reader.isPrompt = true
        var options = ExpertOptions()
        options.prefetches = false
        let harness = try pair.harness(reader, percent: 0, pages: 12, options: options, EngineConfiguration())
        let id = harness.submit((0..<60).map { Int32($0 + 3) }, maxTokens: 0)
        harness.run()
        #expect(harness.outcomes[id]!.finish == .length)
        #expect(harness.engine.counterSnapshot.steps == 1)
        #expect(reader.reads.count > pair.image.expertsPerLayer && Set(reader.reads).count == reader.reads.count, "\(reader.reads.count) reads")
    }

    /// An idle engine brings back what was hottest, into free pages only, and gives way to the first request.
    @Test func aRestartBeginsWarm() throws {
        let pair = try Pair("qwen2_moe", .bf16)
        let reader = FakeExpertReader(pair.image, seed: 1)
        var options = ExpertOptions()
        options.popularity = (0..<pair.count).map { Float($0 + 1) / Float(pair.count) }
        let harness = try pair.harness(reader, percent: 50, pages: 12, options: options, Self.narrow)
        #expect(harness.engine.hasWork)
        harness.run()
        let cache = harness.engine.experts!
        #expect(cache.account.warmReads == pair.count / 2 && cache.account.evictions == 0 && !harness.engine.hasWork)
        let request = pair.requests(1, seed: 8)[0]
        harness.submit(request)
        harness.run()
        #expect(try harness.outcomes[request.id] == pair.alone(request))
        #expect(cache.account.hits > 0)
    }
}
