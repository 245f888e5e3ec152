// Who reads experts: threads in the daemon, a script in tests and simulations.
//
// Unlike adapters, experts are waited for in the middle of a step: the engine's thread has nothing else to do then. So a reader does not
// report to the mailbox, but holds its results until the engine takes them.

import BerthModels

/// One expert to be read into pages that the engine holds for it until the result is taken.
public struct ExpertRead: @unchecked Sendable {
    // Unchecked for the pointer: the engine has leased its pages to this read, and nobody else looks at them until it is reported.
    public let id: ExpertID
    public let memory: UnsafeMutableRawPointer

    public init(id: ExpertID, memory: UnsafeMutableRawPointer) {
        self.id = id
        self.memory = memory
    }
}

/// How a read ended.
public struct ExpertReadResult: Sendable {
    public let id: ExpertID
    /// Why the expert is not there; nil where it is. Names no path.
    public let failure: String?

    public init(id: ExpertID, failure: String?) {
        self.id = id
        self.failure = failure
    }
}

/// What a reader has done since its start.
public struct ExpertReaderAccount: Sendable, Equatable {
    public var bytes = 0
    /// Time during which at least one read was under way.
    public var busyNanoseconds: UInt64 = 0
    /// Time that the engine spent waiting for results.
    public var waitedNanoseconds: UInt64 = 0
    /// Bytes and time of late while about as many reads were under way as can be: what the disk gives where it has enough to do.
    public var loadedBytes = 0.0
    public var loadedNanoseconds = 0.0
    /// Reads that were tried again.
    public var retries = 0

    public init() {}

    /// Bytes per nanosecond while reading; nil before there is anything to measure.
    public var speed: Double? { busyNanoseconds > 1_000_000 ? Double(bytes) / Double(busyNanoseconds) : nil }

    /// The same where reads come one after the other without an end, as waves'.
    public var loadedSpeed: Double? { loadedNanoseconds > 1e7 ? loadedBytes / loadedNanoseconds : speed }
}

/// Who a read is for. What comes first is read first; the others start only while nothing before them waits or is under way.
public enum ExpertReadUrgency: Int, Sendable, CaseIterable {
    /// A step waits for it.
    case step
    /// A wave wants it, in this layer or the next.
    case wave
    /// A guess that may prove wrong.
    case guess
}

/// Called by the engine's thread. An expert has at most one read under way.
public protocol ExpertReader: AnyObject {
    /// Returns at once.
    func begin(_ read: ExpertRead, _ urgency: ExpertReadUrgency)
    /// The expert is wanted more urgently than it was. Nothing happens where its read is as urgent already, or is not on its way.
    func promote(_ id: ExpertID, to urgency: ExpertReadUrgency)
    /// While a step is under way, waves' reads do not start: the disk is the step's, also between two of its layers. Unless the engine waits and nothing
    /// else can come.
    func holdWaves(_ isHeld: Bool)
    /// True where the read had not started; it will not be reported. False where it is under way or done.
    func cancel(_ id: ExpertID) -> Bool
    /// Results that are there, each once. Waits for one where `waits`; a read must be under way then.
    func results(waits: Bool) -> [ExpertReadResult]
    var account: ExpertReaderAccount { get }
}
