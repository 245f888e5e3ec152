// From a configuration to a model that answers: checkpoint, tokenizer, memory budget, pool, engine, adapters.
//
// Runs once, on a thread of its own, while the loop already answers health checks. Everything that can be wrong with the files is found
// here and named; nothing is left to be discovered by the first request.

import BerthCore
import BerthEngine
import BerthHTTP
import BerthKernels
import BerthMemory
import BerthModels
import BerthStore
import BerthText
import Glibc
import Logging

/// Why the daemon cannot start, as a sentence for the operator.
public struct AssemblyError: Error, Sendable, CustomStringConvertible {
    public let description: String
    init(_ description: String) { self.description = description }
}

/// The real parts, for `Daemon.run`.
public let assembleModel: Assemble = { configuration, context in try Assembly.build(configuration, context) }

private enum Assembly {
    /// Loads the model and starts its engine. Blocks for as long as that takes.
    static func build(_ configuration: Configuration, _ context: AssemblyContext) throws -> ModelService {
        let logger = context.logger
        guard let directory = configuration.model else { throw AssemblyError("no model is given: use --model DIR") }
        let checkpoint = try Checkpoint(directory: directory)
        let modelConfiguration = try ModelConfiguration(checkpoint)
        for warning in checkpoint.warnings + modelConfiguration.warnings { logger.warning("checkpoint: \(warning)") }
        let tokenizer = try Tokenizer(directory: directory)
        let text = CheckpointText(tokenizer, logger: logger)
        try checkVocabulary(tokenizer, modelConfiguration, logger)
        let endTokens = endTokens(tokenizer, modelConfiguration, logger)

        let maxRunning = min(configuration.maxRunning ?? 64, configuration.maxBatchTokens ?? .max)
        let threads = configuration.threads ?? Machine.physicalCores
        let memoryPlanner = MemoryPlanner(modelConfiguration, format: configuration.weights, kv: configuration.kv)
        let group = ControlGroup(root: configuration.kernelRoot)
        let (total, warning) = MemoryGovernor.bounded(configuration.memory ?? Machine.defaultMemory, group: group.limit)
        if let warning { logger.warning("\(warning)") }
        let budget = try MemoryBudget(
            total: total,
            MemoryBudget.Needs(
                vocabulary: modelConfiguration.vocabularySize, tokenizerTokens: tokenizer.vocabularySize, threads: threads,
                maxRows: configuration.maxBatchTokens,
                amounts: .init(experts: configuration.expertMemory, kv: configuration.kvMemory, adapters: configuration.adapterMemory)
            ) { maxRows, pagesExperts in
                memoryPlanner.plan(maxRows: maxRows, maxLogitRows: maxRunning, pagesExperts: pagesExperts)
            })
        let maxRows = budget.maxRows
        for line in budget.lines { logger.info("\(line)") }
        if configuration.recordRouting != nil, !budget.pagesExperts { logger.warning("--record-routing has no effect: no experts are paged") }
        for warning in budget.warnings { logger.warning("\(warning)") }

        context.progress("preparing weights")
        let compute = try Compute(threads: threads)
        let model = try Model(
            checkpoint: checkpoint, configuration: modelConfiguration, format: configuration.weights, kv: configuration.kv, compute: compute, maxRows: maxRows, maxLogitRows: maxRunning,
            contextLimit: configuration.contextLength, cache: weightCache(configuration, context),
            experts: budget.pagesExperts ? .paged(Machine.expertReadMode(configuration, budget)) : .resident)
        report(model.weightOrigin, logger)
        let contextLength = model.contextLength
        // Addresses for all that the limit could ever be: they cost nothing.
        let pool = try Pool(bytes: budget.pool, pageBytes: budget.pageBytes, reserving: Machine.physicalMemory)
        let mostPoolBytes = pool.capacity * pool.pageBytes
        for (use, share) in budget.shares { pool.setShare(share, for: use) }
        let paging = try model.expertImage.map { image in
            logger.info("experts are read \(image.mode == .direct ? "past the page cache (direct)" : "through the page cache")")
            return ExpertPaging(image, options: try ExpertOptions(configuration, image, logger))
        }
        let catalog = model.catalog
        let planner = model.adapterPlanner

        var engineConfiguration = EngineConfiguration()
        engineConfiguration.stepTokens = maxRows
        engineConfiguration.tokenInterval = UInt64(configuration.tokenInterval) * 1_000_000
        engineConfiguration.stepLogits = maxRunning
        engineConfiguration.runningRequests = maxRunning
        engineConfiguration.cachesPrefixes = configuration.prefixCache != .off
        engineConfiguration.sharesPrefixes = configuration.prefixCache == .shared
        logger.info("\(modelConfiguration.family) model, weights \(configuration.weights.rawValue), keys and values \(model.kvLayout.element.rawValue), \(compute.kernelName) kernels on \(compute.threads) threads")
        let host = EngineHost(
            model: model, pool: pool, experts: paging, endTokens: endTokens, tokenizer: tokenizer, configuration: engineConfiguration,
            deliver: context.deliver)

        let registryFile = configuration.stateDirectory.map {
            AdapterRegistryFile(directory: $0, formerDirectory: configuration.cacheDirectory, model: directory)
        }
        let inspection = AdapterInspection(cacheDirectory: configuration.cacheDirectory, model: directory) {
            tokenizer.differences(ofFolder: $0, ownFolder: directory)
        }
        let adapters = AdapterRegistrar(
            host: host, catalog: catalog, planner: planner, baseName: configuration.baseName, directory: configuration.adapters,
            registryFile: registryFile, inspection: inspection, logger: logger)
        context.progress("registering adapters")
        try adapters.registerAll()

        let openEnded = Shared(budget.openEndedTokens)
        let description = ModelDescription(
            name: configuration.baseName, contextLength: contextLength, openEnded: openEnded, vocabularySize: modelConfiguration.vocabularySize,
            defaults: SamplingFields(modelConfiguration.generationDefaults), created: Machine.wallSeconds)
        let governor = MemoryGovernor(
            host: host, budget: budget, configured: configuration.memory, group: group, mostPoolBytes: mostPoolBytes, openEnded: openEnded, logger: logger)
        return ModelService(description: description, text: text, generation: EngineService(host), adapters: adapters, memory: governor)
    }

    /// Added tokens may lie beyond the embeddings (checkpoints name padding that nobody trained): a prompt that contains one is refused. A vocabulary
    /// that does is another model's.
    private static func checkVocabulary(_ tokenizer: Tokenizer, _ configuration: ModelConfiguration, _ logger: Logger) throws {
        let size = configuration.vocabularySize
        guard tokenizer.modelVocabularySize <= size else {
            throw AssemblyError("the tokenizer has \(tokenizer.modelVocabularySize) tokens and the model only \(size)")
        }
        let beyond = tokenizer.addedTokens(from: Int32(size))
        guard !beyond.isEmpty else { return }
        let names = beyond.prefix(8).map { "'\($0.text)' (\($0.id))" }.joined(separator: ", ") + (beyond.count > 8 ? " and \(beyond.count - 8) more" : "")
        logger.warning("tokenizer: the model has \(size) embeddings and none for \(names); a prompt that contains such a token is refused")
    }

    /// The tokens that end an answer: what the model's configuration says, and the tokenizer's own end of text, where it is another. Chat models are
    /// trained to end their turn with that one.
    private static func endTokens(_ tokenizer: Tokenizer, _ configuration: ModelConfiguration, _ logger: Logger) -> Set<Int32> {
        guard let end = tokenizer.eosTokenID, let name = tokenizer.eosToken, !configuration.endTokens.contains(end) else { return configuration.endTokens }
        logger.info("'\(name)' (\(end)) ends an answer, too: it is the tokenizer's eos_token, though not the configuration's")
        return configuration.endTokens.union([end])
    }

    /// Packed weights are kept in the cache directory. Without one they are packed at every start, with the same reports.
    private static func weightCache(_ configuration: Configuration, _ context: AssemblyContext) -> WeightCache {
        var cache = WeightCache(ImageCache(directory: configuration.cacheDirectory))
        var reports = PackingReports(intervalNanoseconds: 1_000_000_000)
        cache.progress = { progress in
            if let line = reports.line(progress) { context.progress(line) }
        }
        cache.isCancelled = context.isCancelled
        return cache
    }

    private static func report(_ origin: PreparedImage.Origin?, _ logger: Logger) {
        switch origin {
        case .cached: logger.info("weights come from their prepared image")
        case .packed(nil): logger.info("packed the weights and stored their image")
        case .packed(let reason?): logger.warning("packed the weights anew and stored their image, because \(reason)")
        case .packedInMemory(let reason): logger.warning("packed the weights in memory only, so the next start will pack them again: \(reason)")
        case nil: break
        }
    }
}
