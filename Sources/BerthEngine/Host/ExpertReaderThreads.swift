// Threads that read experts while the engine computes, or waits for them.
//
// Three queues under one lock: what a step waits for comes first, what waves want while no step reads, guesses while nobody does.

import BerthCore
import BerthModels
import BerthStore

/// Reads with a few threads. The memory of a read belongs to its thread until its result has been taken, so the reader is stopped, and its threads
/// joined, before the pool goes away.
public final class ExpertReaderThreads: ExpertReader, @unchecked Sendable {
    // Unchecked: everything mutable is touched under `monitor`, but `threads`, which is written in `init` and read in `stop`, by the host.
    private let monitor = Monitor(conditions: 2)
    /// Conditions of the monitor: there may be something to read; there is a result.
    private static let (work, done) = (0, 1)
    private var queues = ExpertReadUrgency.allCases.map { _ in [ExpertRead]() }
    private var underWay: [ExpertID: ExpertReadUrgency] = [:]
    /// Reads under way, by urgency.
    private var underWayCounts = ExpertReadUrgency.allCases.map { _ in 0 }
    private var holdsWaves = false
    /// The engine waits for a result.
    private var isAwaited = false
    private var finished: [ExpertReadResult] = []
    private var isClosed = false
    private var sums = ExpertReaderAccount()
    private var busySince: UInt64 = 0
    /// Since when so many reads have been under way that the disk has enough to do; nil while it has not.
    private var loadedSince: UInt64?
    private let loadedReads: Int
    /// So much of what was measured of the loaded disk is remembered, before it counts half.
    private static let loadedMemory = 2e9
    private let bytesPerExpert: Int
    private let perform: @Sendable (ExpertRead) -> String?
    private var threads: [Thread] = []

    /// `perform` reads one expert and says what is wrong with it; it runs on the threads. A read that fails is tried a second time.
    public init(threads count: Int = Limits.expertReads, bytesPerExpert: Int, perform: @escaping @Sendable (ExpertRead) -> String?) {
        self.bytesPerExpert = bytesPerExpert
        self.perform = perform
        loadedReads = max(1, count - 1)
        threads = (0..<count).map { _ in Thread(name: "berth-experts") { [unowned self] in self.run() } }
    }

    /// Reads the experts of an image.
    public convenience init(_ image: ExpertImage) {
        self.init(bytesPerExpert: image.bytes) { read in
            do throws(StoreError) {
                try image.read(read.id, into: read.memory)
                return nil
            } catch {
                return error.message
            }
        }
    }

    // MARK: on the engine's thread

    public func begin(_ read: ExpertRead, _ urgency: ExpertReadUrgency) {
        monitor.locked {
            queues[urgency.rawValue].append(read)
            monitor.signal(Self.work)
        }
    }

    public func promote(_ id: ExpertID, to urgency: ExpertReadUrgency) {
        monitor.locked {
            if let read = remove(id, from: ExpertReadUrgency.allCases.filter { $0.rawValue > urgency.rawValue }) {
                queues[urgency.rawValue].append(read)
                monitor.signal(Self.work)
            } else if let before = underWay[id], before.rawValue > urgency.rawValue {
                underWay[id] = urgency
                underWayCounts[before.rawValue] -= 1
                underWayCounts[urgency.rawValue] += 1
            }
        }
    }

    public func cancel(_ id: ExpertID) -> Bool { monitor.locked { remove(id, from: [.wave, .guess]) != nil } }

    public func holdWaves(_ isHeld: Bool) {
        monitor.locked {
            guard holdsWaves != isHeld else { return }
            holdsWaves = isHeld
            if !isHeld { monitor.broadcast(Self.work) }
        }
    }

    /// Takes a read back that has not started. Under the lock.
    private func remove(_ id: ExpertID, from urgencies: [ExpertReadUrgency]) -> ExpertRead? {
        for urgency in urgencies {
            guard let index = queues[urgency.rawValue].firstIndex(where: { $0.id == id }) else { continue }
            return queues[urgency.rawValue].remove(at: index)
        }
        return nil
    }

    public func results(waits: Bool) -> [ExpertReadResult] {
        monitor.locked {
            if waits, finished.isEmpty {
                let start = EngineHost.monotonicNanoseconds()
                isAwaited = true
                if holdsWaves { monitor.broadcast(Self.work) }
                while finished.isEmpty, !isClosed { monitor.wait(Self.done) }
                isAwaited = false
                sums.waitedNanoseconds += EngineHost.monotonicNanoseconds() - start
            }
            defer { finished.removeAll(keepingCapacity: true) }
            return finished
        }
    }

    public var account: ExpertReaderAccount { monitor.locked { sums } }

    /// Finishes the reads that threads are in the middle of, drops the others, and ends the threads.
    public func stop() {
        monitor.locked {
            isClosed = true
            monitor.broadcast(Self.work)
            monitor.broadcast(Self.done)
        }
        for thread in threads { thread.join() }
    }

    // MARK: on the reader's threads

    private func run() {
        while let read = take() {
            var failure = perform(read)
            let isRetry = failure != nil
            if isRetry { failure = perform(read) }
            report(read, failure, isRetry: isRetry)
        }
    }

    private func take() -> ExpertRead? {
        monitor.locked {
            while !isClosed {
                if let urgency = nextUrgency {
                    let read = queues[urgency.rawValue].removeFirst()
                    if underWay.isEmpty { busySince = EngineHost.monotonicNanoseconds() }
                    underWay[read.id] = urgency
                    underWayCounts[urgency.rawValue] += 1
                    if loadedSince == nil, underWay.count >= loadedReads { loadedSince = EngineHost.monotonicNanoseconds() }
                    return read
                }
                monitor.wait(Self.work)
            }
            return nil
        }
    }

    /// Of which queue the next read may start; nil where none may. Under the lock.
    private var nextUrgency: ExpertReadUrgency? {
        for urgency in ExpertReadUrgency.allCases {
            if !queues[urgency.rawValue].isEmpty, urgency != .wave || !holdsWaves { return urgency }
            // What is less urgent waits for those under way.
            if underWayCounts[urgency.rawValue] > 0 { return nil }
        }
        // Nothing else can come: whoever waits, waits for these.
        return isAwaited && underWay.isEmpty && !queues[ExpertReadUrgency.wave.rawValue].isEmpty ? .wave : nil
    }

    /// A read has ended while the disk had enough to do. Under the lock.
    private func measureLoad(_ since: UInt64) {
        let now = EngineHost.monotonicNanoseconds()
        sums.loadedBytes += Double(bytesPerExpert)
        sums.loadedNanoseconds += Double(now - since)
        if sums.loadedNanoseconds > Self.loadedMemory {
            sums.loadedBytes /= 2
            sums.loadedNanoseconds /= 2
        }
        loadedSince = underWay.count + 1 >= loadedReads ? now : nil
    }

    private func report(_ read: ExpertRead, _ failure: String?, isRetry: Bool) {
        monitor.locked {
            // It may have been promoted meanwhile.
            underWayCounts[underWay.removeValue(forKey: read.id)!.rawValue] -= 1
            if underWay.isEmpty { sums.busyNanoseconds += EngineHost.monotonicNanoseconds() - busySince }
            sums.bytes += bytesPerExpert
            if let since = loadedSince { measureLoad(since) }
            if isRetry { sums.retries += 1 }
            finished.append(ExpertReadResult(id: read.id, failure: failure))
            monitor.signal(Self.done)
            if nextUrgency != nil { monitor.broadcast(Self.work) }
        }
    }
}
