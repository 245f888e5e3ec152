// What the engine knows of an adapter before it is in memory, and who brings it there.

import BerthModels
import BerthStore

/// A validated adapter that can be read into memory, any number of times.
public struct AdapterSource: Sendable {
    /// The memory that `load` fills. The pool gives whole pages.
    public let bytes: Int
    /// Of the adapter's files: tells one version from another.
    public let digest: String
    /// Module paths that the adapter changes.
    public let modules: [String]
    /// What the operator should know, one sentence each.
    public let warnings: [String]
    /// Reads, checks and packs the weights into `bytes` bytes of memory, which must outlive the result. Runs on a disk-reader
    /// thread. What it throws is reported to the requests that wait, so it must name no path.
    public let load: @Sendable (UnsafeMutableRawPointer) throws -> AdapterWeights

    public init(
        bytes: Int, digest: String, modules: [String] = [], warnings: [String] = [],
        load: @escaping @Sendable (UnsafeMutableRawPointer) throws -> AdapterWeights
    ) {
        precondition(bytes > 0)
        self.bytes = bytes
        self.digest = digest
        self.modules = modules
        self.warnings = warnings
        self.load = load
    }
}

extension AdapterSource {
    /// An adapter of the file system, as the model has planned it.
    public init(_ checkpoint: AdapterCheckpoint, plan: AdapterPlan) {
        self.init(bytes: plan.bytes, digest: checkpoint.digest, modules: checkpoint.modules.map(\.path), warnings: checkpoint.warnings) { memory in
            try plan.load(into: memory)
        }
    }
}

/// Names one read of an adapter. Never used twice in the life of an engine.
public struct AdapterReadTicket: Sendable, Hashable {
    public let rawValue: UInt64
}

/// One adapter to be read into pages that the engine holds for it until the read is reported.
public struct AdapterRead: @unchecked Sendable {
    // Unchecked for the pointer: the engine has leased its pages to this read, and nobody else looks at them until it is reported.
    public let ticket: AdapterReadTicket
    public let source: AdapterSource
    public let memory: UnsafeMutableRawPointer

    /// Reads now, on the calling thread.
    public func perform() -> Result<AdapterWeights, GenerationFailure> {
        do {
            return .success(try source.load(memory))
        } catch let rejection as AdapterRejection {
            // Its description names the path; its message does not.
            return .failure(GenerationFailure(.adapterRejected, rejection.message))
        } catch {
            return .failure(GenerationFailure(.adapterRejected, "\(error)"))
        }
    }
}

/// Whoever reads adapters: a thread in the daemon, a script in tests and simulations.
///
/// `begin` returns at once. Every read that was begun is reported exactly once with `Engine.adapterRead`, later, on the engine's thread.
public protocol AdapterReader: AnyObject {
    func begin(_ read: AdapterRead)
    /// How fast reads have been of late, packing included; nil before the first.
    var bytesPerSecond: Double? { get }
}
