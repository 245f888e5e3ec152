// Which adapters there are: found in the configured directory at start, loaded and unloaded by administrators later.
//
// Reading and checking an adapter's files happens on a queue of this registrar's own, so that neither the loop nor the engine waits for a
// disk. The engine is only told of adapters that passed; from then on it reads their weights when a request needs them. What administrators
// did is written down before it is reported as done.

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
    private struct Entry: Sendable {
        var created: Int
        /// Nil where its files were refused.
        var ranks: [Int]?
    }

    private struct State: Sendable {
        var entries: OrderedDictionary<AdapterName, Entry> = [:]
        var written = AdapterRegistryFile.Contents()
    }

    private let host: EngineHost
    private let catalog: ModuleCatalog
    private let planner: @Sendable (AdapterCheckpoint) -> AdapterPlan
    private let baseName: String
    private let directory: String?
    private let registryFile: AdapterRegistryFile?
    private let logger: Logger
    private let queue = DispatchQueue(label: "berth.adapters")
    private let state = Mutex(State())

    init(
        host: EngineHost, catalog: ModuleCatalog, planner: @escaping @Sendable (AdapterCheckpoint) -> AdapterPlan, baseName: String,
        directory: String?, registryFile: AdapterRegistryFile?, logger: Logger
    ) {
        self.host = host
        self.catalog = catalog
        self.planner = planner
        self.baseName = baseName
        self.directory = directory
        self.registryFile = registryFile
        self.logger = logger
    }

    // MARK: at start

    /// Registers what the configured directory holds and what administrators loaded in earlier lives. A bad adapter is logged and its name kept with
    /// the reason; it stops nobody else.
    /// - Throws: where the directory cannot be read.
    func registerAll() throws {
        if let registryFile {
            do {
                let written = try registryFile.read()
                state.withLock { $0.written = written }
            } catch {
                logger.error("adapters loaded earlier are lost: \(error)")
            }
        }
        let count = try registerDirectory()
        for (name, path) in state.withLock({ $0.written.loaded }) {
            guard let name = AdapterName(name) else { continue }
            register(name, path: path)
        }
        let total = state.withLock { $0.entries.count { $0.value.ranks != nil } }
        if directory != nil || total > 0 { logger.info("\(total) adapters registered, \(count) of them found in the adapters directory") }
    }

    /// Registers the adapters of the configured directory that are not registered yet; returns how many are good.
    @discardableResult
    private func registerDirectory() throws -> Int {
        guard let directory else { return 0 }
        var count = 0
        for folder in try Self.folders(of: directory) {
            guard let name = AdapterName(folder), name.text != baseName, name.text != "base" else {
                logger.warning("adapter folder \(folder) is left out: its name cannot be a model's")
                continue
            }
            let (isKnown, isUnwanted) = state.withLock { ($0.entries[name] != nil, $0.written.unloaded.contains(folder)) }
            if isKnown || isUnwanted || state.withLock({ $0.written.loaded[folder] != nil }) { continue }
            if register(name, path: "\(directory)/\(folder)") { count += 1 }
        }
        return count
    }

    /// True where the adapter is good.
    @discardableResult
    private func register(_ name: AdapterName, path: String) -> Bool {
        do {
            let checkpoint = try AdapterCheckpoint(directory: path, base: catalog)
            for warning in checkpoint.warnings { logger.warning("adapter \(name): \(warning)") }
            if case .failed(let failure) = ask(.register(name, AdapterSource(checkpoint, plan: planner(checkpoint)))) {
                throw AdapterRejection("adapter", failure.message)
            }
            state.withLock { $0.entries[name] = Entry(created: Machine.wallSeconds, ranks: checkpoint.ranks) }
            return true
        } catch {
            logger.warning("adapter \(name) is refused: \(error)")
            let reason = (error as? AdapterRejection)?.message ?? "\(error)"
            _ = ask(.reject(name, reason: reason))
            state.withLock { $0.entries[name] = Entry(created: Machine.wallSeconds, ranks: nil) }
            return false
        }
    }

    /// Folders of `directory` that hold an adapter, in the order of their names.
    private static func folders(of directory: String) throws -> [String] {
        guard let listing = opendir(directory) else { throw AssemblyError("adapters directory \(directory): \(String(cString: strerror(errno)))") }
        defer { closedir(listing) }
        var folders: [String] = []
        while let entry = readdir(listing) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: MemoryLayout.size(ofValue: entry.pointee.d_name)) { String(cString: $0) }
            }
            if !name.hasPrefix("."), access("\(directory)/\(name)/\(AdapterCheckpoint.configurationName)", F_OK) == 0 { folders.append(name) }
        }
        return folders.sorted()
    }

    // MARK: AdapterService

    func contains(_ name: AdapterName) -> Bool { state.withLock { $0.entries[name] != nil } }

    func registered() -> [(name: AdapterName, created: Int)] {
        state.withLock { $0.entries.filter { $0.value.ranks != nil }.map { ($0.key, $0.value.created) } }
    }

    func statuses(reply: @escaping @Sendable ([AdapterListing]) -> Void) {
        let isAccepted = host.perform(.listAdapters) { [self] answer in
            guard case .adapters(let list) = answer else { return reply([]) }
            reply(list.map(status))
        }
        if !isAccepted { reply([]) }
    }

    func load(_ name: AdapterName, path: String, pinned: Bool, reply: @escaping @Sendable (Result<AdapterListing, APIError>) -> Void) {
        answer(reply) { [self] () throws(APIError) in
            guard name.text != baseName, name.text != "base" else {
                throw APIError(.badRequest, "'\(name)' is the base model's name.", parameter: "lora_name")
            }
            guard state.withLock({ $0.entries[name] != nil || $0.entries.count < Limits.registeredAdapters }) else {
                throw APIError(.tooManyRequests, "There are already \(Limits.registeredAdapters) adapters.", code: "too_many_adapters")
            }
            let checkpoint: AdapterCheckpoint
            do throws(AdapterRejection) {
                checkpoint = try AdapterCheckpoint(directory: path, base: catalog)
                // Registered adapters are read when first used; one that an administrator waits for is looked at entirely now.
                try planner(checkpoint).check()
            } catch {
                throw APIError(.unprocessableContent, error.message, type: "adapter_rejected", parameter: error.subject, code: "adapter_rejected")
            }
            for warning in checkpoint.warnings { logger.warning("adapter \(name): \(warning)") }
            try perform(.register(name, AdapterSource(checkpoint, plan: planner(checkpoint))))
            if pinned { try perform(.pin(name, true)) }
            state.withLock { $0.entries[name] = Entry(created: Machine.wallSeconds, ranks: checkpoint.ranks) }
            try remember { contents in
                contents.loaded[name.text] = path
                contents.unloaded.remove(name.text)
            }
            logger.info("adapter \(name) loaded: \(checkpoint.modules.count) modules")
            return try current(name)
        }
    }

    func unload(_ name: AdapterName, reply: @escaping @Sendable (Result<AdapterListing, APIError>) -> Void) {
        answer(reply) { [self] () throws(APIError) in
            var status = try current(name)
            try perform(.unregister(name))
            _ = state.withLock { $0.entries.removeValue(forKey: name) }
            try remember { contents in
                contents.loaded.removeValue(forKey: name.text)
                contents.unloaded.insert(name.text)
            }
            logger.info("adapter \(name) unloaded")
            status.state = "unloaded"
            return status
        }
    }

    func setPinned(_ name: AdapterName, _ pinned: Bool, reply: @escaping @Sendable (Result<AdapterListing, APIError>) -> Void) {
        answer(reply) { [self] () throws(APIError) in
            try perform(.pin(name, pinned))
            return try current(name)
        }
    }

    func rescan(reply: @escaping @Sendable (Bool) -> Void) {
        queue.async { [self] in
            do {
                try registerDirectory()
                reply(true)
            } catch {
                logger.error("\(error)")
                reply(false)
            }
        }
    }

    // MARK: plumbing

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
        let ranks = state.withLock { $0.entries[adapter.name]?.ranks } ?? []
        return AdapterListing(
            name: adapter.name, state: adapter.state == .absent ? "registered" : adapter.state.rawValue, bytes: adapter.bytes,
            digest: adapter.digest, modules: adapter.modules.count, ranks: ranks, uses: adapter.uses, isPinned: adapter.isPinned, reason: adapter.reason,
            warnings: adapter.warnings)
    }

    /// Asks the engine and waits for its answer, which comes between two steps. Never called on the loop's or the engine's thread.
    private func ask(_ command: EngineCommand) -> EngineReply {
        let answer = Answer()
        guard host.perform(command, reply: { answer.give($0) }) else {
            return .failed(GenerationFailure(.overloaded, "the engine does not take commands now"))
        }
        return answer.wait()
    }

    private func perform(_ command: EngineCommand) throws(APIError) {
        if case .failed(let failure) = ask(command) {
            let status: Int = failure.code == .unknownAdapter ? 404 : failure.code == .overloaded ? 503 : 422
            throw APIError(.init(code: status), failure.message, type: "adapter_rejected", code: failure.code.rawValue)
        }
    }

    private func remember(_ change: (inout AdapterRegistryFile.Contents) -> Void) throws(APIError) {
        guard let registryFile else { return }
        let contents = state.withLock { state in
            change(&state.written)
            return state.written
        }
        do {
            try registryFile.write(contents)
        } catch {
            logger.error("\(error)")
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
