// Threads that read experts while the engine computes, or waits for them.
//
// Two queues under one lock: what a layer waits for comes first, guesses only while nothing else is queued or under way.

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
    private var demands: [ExpertRead] = []
    private var guesses: [ExpertRead] = []
    /// Reads under way that somebody waits for; the others are guesses.
    private var demandsUnderWay = 0
    private var underWay: [ExpertID: Bool] = [:]
    private var finished: [ExpertReadResult] = []
    private var isClosed = false
    private var sums = ExpertReaderAccount()
    private var busySince: UInt64 = 0
    private let bytesPerExpert: Int
    private let perform: @Sendable (ExpertRead) -> String?
    private var threads: [Thread] = []

    /// `perform` reads one expert and says what is wrong with it; it runs on the threads. A read that fails is tried a second time.
    public init(threads count: Int = Limits.expertReads, bytesPerExpert: Int, perform: @escaping @Sendable (ExpertRead) -> String?) {
        self.bytesPerExpert = bytesPerExpert
        self.perform = perform
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

    public func begin(_ read: ExpertRead, isSpeculative: Bool) {
        monitor.locked {
            if isSpeculative { guesses.append(read) } else { demands.append(read) }
            monitor.signal(Self.work)
        }
    }

    public func promote(_ id: ExpertID) {
        monitor.locked {
            if let index = guesses.firstIndex(where: { $0.id == id }) {
                demands.append(guesses.remove(at: index))
                monitor.signal(Self.work)
            } else if underWay[id] == true {
                underWay[id] = false
                demandsUnderWay += 1
            }
        }
    }

    public func cancel(_ id: ExpertID) -> Bool {
        monitor.locked {
            guard let index = guesses.firstIndex(where: { $0.id == id }) else { return false }
            guesses.remove(at: index)
            return true
        }
    }

    public func results(waits: Bool) -> [ExpertReadResult] {
        monitor.locked {
            if waits, finished.isEmpty {
                let start = EngineHost.monotonicNanoseconds()
                while finished.isEmpty, !isClosed { monitor.wait(Self.done) }
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
        while let (read, isGuess) = take() {
            var failure = perform(read)
            let isRetry = failure != nil
            if isRetry { failure = perform(read) }
            report(read, isGuess: isGuess, failure, isRetry: isRetry)
        }
    }

    private func take() -> (read: ExpertRead, isGuess: Bool)? {
        monitor.locked {
            while !isClosed {
                let isGuess = demands.isEmpty
                if !isGuess || (!guesses.isEmpty && demandsUnderWay == 0) {
                    let read = isGuess ? guesses.removeFirst() : demands.removeFirst()
                    if underWay.isEmpty { busySince = EngineHost.monotonicNanoseconds() }
                    underWay[read.id] = isGuess
                    if !isGuess { demandsUnderWay += 1 }
                    return (read, isGuess)
                }
                monitor.wait(Self.work)
            }
            return nil
        }
    }

    private func report(_ read: ExpertRead, isGuess: Bool, _ failure: String?, isRetry: Bool) {
        monitor.locked {
            // It may have been promoted meanwhile.
            if underWay.removeValue(forKey: read.id) == false { demandsUnderWay -= 1 }
            if underWay.isEmpty { sums.busyNanoseconds += EngineHost.monotonicNanoseconds() - busySince }
            sums.bytes += bytesPerExpert
            if isRetry { sums.retries += 1 }
            finished.append(ExpertReadResult(id: read.id, failure: failure))
            monitor.signal(Self.done)
            if demandsUnderWay == 0, !guesses.isEmpty { monitor.broadcast(Self.work) }
        }
    }
}
