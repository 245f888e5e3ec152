// One version of one adapter, from registration until its last request has ended.
//
// absent → loading → resident → absent …; a version that was replaced or unregistered is retired, and goes when no request is
// bound to it any more. Requests bind to a version when they are first admitted, so a request that has begun ends on the
// version it began with.

import BerthCore
import BerthMemory
import BerthModels

/// Engine thread only.
final class Adapter {
    enum Residency {
        case absent
        case loading(AdapterReadTicket)
        case resident(AdapterWeights)
    }

    let name: AdapterName
    let source: AdapterSource
    /// Rising with registration: the order in which a batch groups its rows.
    let serial: Int
    let pageCount: Int
    var residency = Residency.absent
    /// Held from the beginning of a read until the adapter leaves.
    var lease: Lease?
    /// Requests that hold this version, running or preempted.
    var boundRequests = 0
    /// Requests in the running set: while there are any, the pages stay.
    var runningRequests = 0
    var isPinned = false
    var isRetired = false
    /// Why the last read failed; nil after one that did not.
    var lastFailure: GenerationFailure?
    var uses = 0
    /// Requests that began with it since it was last read.
    var stayUses = 0
    /// Those of them that could spare a read.
    var reuses: Int { max(0, stayUses - 1) }
    /// A tick of the registry, for eviction: unlike time it never stands still.
    var lastUse: UInt64 = 0
    /// The engine's step of the last use, for its value.
    var lastUseStep = 0
    /// The time of the last use in nanoseconds of the engine's clock, for people.
    var lastUseTime: UInt64 = 0

    init(name: AdapterName, source: AdapterSource, serial: Int, pageBytes: Int) {
        self.name = name
        self.source = source
        self.serial = serial
        pageCount = (source.bytes + pageBytes - 1) / pageBytes
    }

    var weights: AdapterWeights? {
        if case .resident(let weights) = residency { weights } else { nil }
    }

    var isLoading: Bool {
        if case .loading = residency { true } else { false }
    }

    /// May leave memory now.
    var isIdle: Bool { runningRequests == 0 && !isPinned && weights != nil }
}

/// An adapter as operators see it.
public struct AdapterStatus: Sendable, Equatable {
    public enum State: String, Sendable {
        /// Registered; on disk only.
        case absent
        case loading
        case resident
        /// Its files were refused; `reason` says why.
        case rejected
        /// Replaced or unregistered, and still used by requests that began before.
        case retired
    }

    public var name: AdapterName
    public var state: State
    /// Why it was rejected, or why the last read failed.
    public var reason: String?
    /// As it stands in memory when resident.
    public var bytes = 0
    public var pages = 0
    public var digest = ""
    public var modules: [String] = []
    public var warnings: [String] = []
    public var isPinned = false
    /// Requests that were admitted with it.
    public var uses = 0
    public var runningRequests = 0
    /// Engine clock, nanoseconds; 0 where it was never used.
    public var lastUseTime: UInt64 = 0

    init(name: AdapterName, state: State, reason: String? = nil) {
        self.name = name
        self.state = state
        self.reason = reason
    }
}
