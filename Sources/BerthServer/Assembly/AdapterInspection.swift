// What only reading an adapter whole can show: numbers that cannot be computed with, and a tokenizer of its own.
//
// Reading takes as long as the disk does, so it is not part of starting. What has passed is remembered in the cache directory, by the identity of every
// file that was looked at: at the next start only what is new is read. A hint, which may be lost: then everything is read again.

import BerthCore
import BerthModels
import BerthStore
import OrderedCollections
import Synchronization

/// Thread-safe. Blocks while it reads.
final class AdapterInspection: Sendable {
    private struct Memory: Sendable {
        /// By key: the warnings that were found.
        var passed: [String: [String]] = [:]
        /// Keys that this life has asked for: the others' adapters are gone.
        var wanted: Set<String> = []
        var isChanged = false
    }

    private let file: StateFile?
    /// Says what an adapter's folder has of its own, beside the adapter.
    private let compareText: @Sendable (_ directory: String) -> [String]
    /// Changes with the base's own tokenizer.
    private let baseVersion: String
    private let memory: Mutex<Memory>
    /// One writer at a time, or an older list could replace a newer one.
    private let writing = Mutex(())

    static let textFiles = ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "chat_template.jinja"]

    /// `model` is the checkpoint's directory.
    init(cacheDirectory: String?, model: String, compareText: @escaping @Sendable (_ directory: String) -> [String]) {
        file = cacheDirectory.map {
            StateFile(directory: $0, name: "adapters-checked-\(Digest.label(of: model)).json", limit: Limits.adapterRegistryBytes, isDurable: false)
        }
        self.compareText = compareText
        baseVersion = Self.version(of: model)
        var memory = Memory()
        if let bytes = try? file?.read(), let members = (try? JSON(parsing: bytes))?.object {
            for (key, warnings) in members { memory.passed[key] = (warnings.array ?? []).compactMap(\.string) }
        }
        self.memory = Mutex(memory)
    }

    private static func version(of directory: String) -> String {
        textFiles.map { AdapterStamp.version(ofFile: "\(directory)/\($0)") }.joined(separator: " ")
    }

    /// Where text files may lie: PEFT puts an adapter with a name one folder further down, and trainers leave the tokenizer above it.
    private func textDirectories(_ checkpoint: AdapterCheckpoint, _ given: String) -> [String] {
        checkpoint.directory == given ? [given] : [given, checkpoint.directory]
    }

    private func key(_ checkpoint: AdapterCheckpoint, _ plan: AdapterPlan, _ given: String) -> String {
        let versions = textDirectories(checkpoint, given).map(Self.version)
        return Digest.label(of: "1 \(checkpoint.digest) \(plan.element.rawValue) \(baseVersion) \(versions)")
    }

    /// The warnings about an adapter that has passed in this or an earlier life; nil where it has to be read.
    func remembered(_ checkpoint: AdapterCheckpoint, _ plan: AdapterPlan, given: String) -> [String]? {
        let key = key(checkpoint, plan, given)
        return memory.withLock { memory in
            memory.wanted.insert(key)
            return memory.passed[key]
        }
    }

    /// Reads everything; returns what the operator should know.
    func inspect(_ checkpoint: AdapterCheckpoint, _ plan: AdapterPlan, given: String) throws(AdapterRejection) -> [String] {
        let key = key(checkpoint, plan, given)
        try plan.check()
        let warnings = Array(OrderedSet(textDirectories(checkpoint, given).flatMap(compareText)))
        memory.withLock { memory in
            memory.wanted.insert(key)
            memory.passed[key] = warnings
            memory.isChanged = true
        }
        return warnings
    }

    /// Writes down what has passed, for the next life.
    func save() throws(StoreError) {
        try writing.withLock { _ in Result { () throws(StoreError) in try write() } }.get()
    }

    private func write() throws(StoreError) {
        guard let file else { return }
        let passed: [String: [String]]? = memory.withLock { memory in
            guard memory.isChanged else { return nil }
            memory.isChanged = false
            return memory.passed.filter { memory.wanted.contains($0.key) }
        }
        guard let passed else { return }
        let members = passed.sorted { $0.key < $1.key }.map { ($0.key, JSON.array($0.value.map(JSON.string))) }
        try file.write(JSON.object(OrderedDictionary(uniqueKeysWithValues: members)).utf8)
    }
}
