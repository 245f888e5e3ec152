// Which adapters there are: found in the configured directory at start, loaded and unloaded by administrators later.
//
// Reading and checking an adapter's files happens on queues of this registrar's own, so that neither the loop nor the engine waits for a
// disk. The engine is only told of adapters that passed; from then on it reads their weights when a request needs them. What administrators
// did is written down before it is reported as done. How files become entries, and what happens when they change, is in
// `AdapterRegistrar+Files.swift`.

import BerthCore
import BerthEngine
import BerthHTTP
import BerthModels
import BerthStore
import Dispatch
import Glibc
import Logging
import OrderedCollections
import Synchronization

/// Thread-safe: the table is behind a mutex, changes are made on one serial queue.
final class AdapterRegistrar: AdapterService {
    enum Origin: Sendable, Hashable {
        /// A folder of the adapters directory: goes when the folder goes.
        case directory
        /// Loaded over the admin socket: stays until it is unloaded there.
        case administrator
    }

    struct Entry: Sendable {
        var origin: Origin
        /// The folder as it was given.
        var path: String
        /// Of the files that were looked at last; nil where one was missing.
        var stamp: AdapterStamp?
        var created: Int
        /// What it takes in memory.
        var bytes = 0
        /// Empty where its files were refused.
        var ranks: [Int] = []
        var warnings: [String] = []
        var isRefused = false
    }

    /// Registered without having been read whole.
    struct Uninspected: Sendable {
        var checkpoint: AdapterCheckpoint
        var plan: AdapterPlan
    }

    struct State: Sendable {
        var entries: OrderedDictionary<AdapterName, Entry> = [:]
        var written = AdapterRegistryFile.Contents()
        /// The registry's file could be neither read nor set aside, and is left alone.
        var isRegistryLost = false
        var uninspected: OrderedDictionary<AdapterName, Uninspected> = [:]
        /// What the last look at the directory had to say.
        var notes: Set<String> = []
        /// Since the daemon is ready; before, nothing is read that need not be.
        var mayInspect = false

        func audience(of name: AdapterName) -> AdapterAudience { written.audiences[name] ?? .unsaid }
    }

    let host: EngineHost
    let catalog: ModuleCatalog
    let planner: @Sendable (AdapterCheckpoint) -> AdapterPlan
    let baseName: String
    let directory: String?
    let registryFile: AdapterRegistryFile?
    let inspection: AdapterInspection
    let logger: Logger
    let queue = DispatchQueue(label: "berth.adapters")
    /// Reads adapters whole, one after the other, when nobody waits for it.
    let inspectionQueue = DispatchQueue(label: "berth.adapters.inspection", qos: .utility)
    let state = Mutex(State())

    init(
        host: EngineHost, catalog: ModuleCatalog, planner: @escaping @Sendable (AdapterCheckpoint) -> AdapterPlan, baseName: String,
        directory: String?, registryFile: AdapterRegistryFile?, inspection: AdapterInspection, logger: Logger
    ) {
        self.host = host
        self.catalog = catalog
        self.planner = planner
        self.baseName = baseName
        self.directory = directory
        self.registryFile = registryFile
        self.inspection = inspection
        self.logger = logger
    }

    // MARK: AdapterService

    func audience(of name: AdapterName) -> AdapterAudience? { state.withLock { $0.entries[name] == nil ? nil : $0.audience(of: name) } }

    func registered() -> [(name: AdapterName, created: Int, audience: AdapterAudience)] {
        state.withLock { state in state.entries.filter { !$0.value.isRefused }.map { ($0.key, $0.value.created, state.audience(of: $0.key)) } }
    }

    func statuses(reply: @escaping @Sendable ([AdapterListing]) -> Void) {
        let isAccepted = host.perform(.listAdapters) { [self] answer in
            guard case .adapters(let list) = answer else { return reply([]) }
            reply(list.map(status))
        }
        if !isAccepted { reply([]) }
    }

    func load(
        _ name: AdapterName, path: String, pinned: Bool, audience: AdapterAudience?, quotas: [TenantName: AdapterQuota],
        reply: @escaping @Sendable (Result<AdapterListing, APIError>) -> Void
    ) {
        answer(reply) { [self] () throws(APIError) in
            guard !reservedNames.contains(name.text) else {
                throw APIError(.badRequest, "'\(name)' is the base model's name.", parameter: "lora_name")
            }
            guard state.withLock({ $0.entries[name] != nil || $0.entries.count < Limits.registeredAdapters }) else {
                throw APIError(.tooManyRequests, "There are already \(Limits.registeredAdapters) adapters.", code: "too_many_adapters")
            }
            let checkpoint: AdapterCheckpoint
            let plan: AdapterPlan
            let warnings: [String]
            do throws(AdapterRejection) {
                checkpoint = try AdapterCheckpoint(directory: path, base: catalog)
                plan = planner(checkpoint)
                // An adapter that an administrator waits for is looked at entirely now.
                warnings = checkpoint.warnings + (try inspection.inspect(checkpoint, plan, given: path))
            } catch {
                throw APIError(.unprocessableContent, error.message, type: "adapter_rejected", parameter: error.subject, code: "adapter_rejected")
            }
            let audience = audience ?? state.withLock { $0.audience(of: name) }
            try check(quotas, name, audience, bytes: plan.bytes)
            try perform(.register(name, AdapterSource(checkpoint, plan: plan)))
            state.withLock { state in
                state.entries[name] = Entry(
                    origin: .administrator, path: path, stamp: checkpoint.stamp, created: Machine.wallSeconds, bytes: plan.bytes, ranks: checkpoint.ranks,
                    warnings: warnings)
                state.uninspected.removeValue(forKey: name)
                // From the first moment: nobody else sees it in between.
                state.written.audiences[name] = audience == .unsaid ? nil : audience
            }
            try remember { contents in
                contents.loaded[name] = path
                contents.unloaded.remove(name)
            }
            if pinned { try pin(name, true) } else { pinAgain(name) }
            logger.info("adapter \(name) loaded: \(checkpoint.modules.count) modules")
            for warning in warnings { logger.warning("adapter \(name): \(warning)") }
            saveInspections()
            return try current(name)
        }
    }

    func unload(_ name: AdapterName, reply: @escaping @Sendable (Result<AdapterListing, APIError>) -> Void) {
        answer(reply) { [self] () throws(APIError) in
            var status = try current(name)
            try perform(.unregister(name))
            forget(name)
            // Only what the directory would bring back needs to be kept away.
            let isInDirectory = directory.map { !name.text.contains("/") && access("\($0)/\(name)", F_OK) == 0 } ?? false
            try remember { contents in
                contents.loaded.removeValue(forKey: name)
                contents.pinned.remove(name)
                contents.audiences.removeValue(forKey: name)
                if isInDirectory { contents.unloaded.insert(name) }
            }
            logger.info("adapter \(name) unloaded")
            status.state = "unloaded"
            return status
        }
    }

    func setPinned(_ name: AdapterName, _ pinned: Bool, reply: @escaping @Sendable (Result<AdapterListing, APIError>) -> Void) {
        answer(reply) { [self] () throws(APIError) in
            try pin(name, pinned)
            return try current(name)
        }
    }

    // MARK: plumbing

    /// The base model has these.
    var reservedNames: Set<String> { [baseName, Preparation.baseAlias] }

    private func pin(_ name: AdapterName, _ isPinned: Bool) throws(APIError) {
        try perform(.pin(name, isPinned))
        try remember { contents in
            if isPinned { contents.pinned.insert(name) } else { contents.pinned.remove(name) }
        }
    }

    /// Whether the tenants that an adapter is for may have another one.
    private func check(_ quotas: [TenantName: AdapterQuota], _ name: AdapterName, _ audience: AdapterAudience, bytes: Int) throws(APIError) {
        guard case .only(let tenants) = audience else { return }
        for tenant in tenants.sorted() {
            guard let quota = quotas[tenant] else { continue }
            let others = state.withLock { state in
                state.entries.filter { other, _ in
                    if other != name, case .only(let owners) = state.audience(of: other) { owners.contains(tenant) } else { false }
                }.values.map(\.bytes)
            }
            if let most = quota.count, others.count >= most {
                throw .limited(.maxAdapters, "\(others.count) adapters are loaded for tenant \(tenant), of \(most).", retryAfterSeconds: 60)
            }
            let sum = others.reduce(bytes, +)
            if let most = quota.bytes, sum > most {
                throw .limited(
                    .adapterBytes, "The adapters of tenant \(tenant) would take \(ByteSize(bytes: sum)), of \(ByteSize(bytes: most)).", retryAfterSeconds: 60)
            }
        }
    }

    /// The engine keeps a pin from version to version, but neither through a refusal nor through a restart.
    func pinAgain(_ name: AdapterName) {
        guard state.withLock({ $0.written.pinned.contains(name) }), case .failed(let failure) = ask(.pin(name, true)) else { return }
        logger.warning("adapter \(name) cannot be pinned again: \(failure.message)")
    }

    func forget(_ name: AdapterName) {
        state.withLock { state in
            state.entries.removeValue(forKey: name)
            state.uninspected.removeValue(forKey: name)
        }
    }

    /// Makes a change on the registrar's queue and reports how it went.
    private func answer(
        _ reply: @escaping @Sendable (Result<AdapterListing, APIError>) -> Void,
        _ change: @escaping @Sendable () throws(APIError) -> AdapterListing
    ) {
        queue.async { reply(Result(catching: change)) }
    }

    private func current(_ name: AdapterName) throws(APIError) -> AdapterListing {
        guard case .adapters(let list) = ask(.listAdapters), let found = list.first(where: { $0.name == name && $0.state != .retired }) else {
            throw APIError(.notFound, "There is no adapter '\(name)'.", parameter: "lora_name", code: "model_not_found")
        }
        return status(found)
    }

    private func status(_ adapter: AdapterStatus) -> AdapterListing {
        let entry = adapter.state == .retired ? nil : state.withLock { $0.entries[adapter.name] }
        return AdapterListing(
            name: adapter.name, state: adapter.state == .absent ? "registered" : adapter.state.rawValue, bytes: adapter.bytes,
            digest: adapter.digest, modules: adapter.modules.count, ranks: entry?.ranks ?? [], uses: adapter.uses, isPinned: adapter.isPinned,
            audience: adapter.state == .retired ? .unsaid : state.withLock { $0.audience(of: adapter.name) }, reason: adapter.reason, warnings: entry?.warnings ?? adapter.warnings)
    }

    /// Asks the engine and waits for its answer, which comes between two steps. Never called on the loop's or the engine's thread.
    func ask(_ command: EngineCommand) -> EngineReply {
        let answer = Answer()
        // A queue of commands that is full is so for a few steps: no reason to refuse an adapter.
        for _ in 0..<100 {
            if host.perform(command, reply: { answer.give($0) }) { return answer.wait() }
            usleep(10_000)
        }
        return .failed(GenerationFailure(.overloaded, "the engine does not take commands now"))
    }

    private func perform(_ command: EngineCommand) throws(APIError) {
        if case .failed(let failure) = ask(command) {
            let status: Int = failure.code == .unknownAdapter ? 404 : failure.code == .overloaded ? 503 : 422
            throw APIError(.init(code: status), failure.message, type: "adapter_rejected", code: failure.code.rawValue)
        }
    }

    private func remember(_ change: (inout AdapterRegistryFile.Contents) -> Void) throws(APIError) {
        let (contents, isLost) = state.withLock { state in
            change(&state.written)
            return (state.written, state.isRegistryLost)
        }
        guard let registryFile else { return }
        do {
            guard !isLost else { throw AssemblyError("\(registryFile.path) could not be read and is left alone") }
            try registryFile.write(contents)
        } catch {
            logger.error("what administrators load and unload cannot be written down: \(error)")
            throw APIError(
                .internalServerError, "The change is in force, but could not be written down and will be lost at the next restart.",
                type: "server_error", code: "not_durable")
        }
    }
}

/// A reply on its way from one thread to another.
private final class Answer: Sendable {
    private let reply = Mutex<EngineReply?>(nil)
    private let isGiven = DispatchSemaphore(value: 0)

    func give(_ reply: EngineReply) {
        self.reply.withLock { $0 = reply }
        isGiven.signal()
    }

    func wait() -> EngineReply {
        isGiven.wait()
        return reply.withLock { $0! }
    }
}
