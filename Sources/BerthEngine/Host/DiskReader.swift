// Threads that read adapters while the engine computes.

import BerthModels

/// Performs reads in order on a few threads and reports each. At most `Limits.adapterReads` wait here: the engine asks for no more.
///
/// The memory of a read belongs to its thread until it is reported. So a reader is stopped, and its threads joined, before the
/// pool goes away.
final class DiskReader: AdapterReader, @unchecked Sendable {
    // Unchecked: `threads` is written in `init` and read in `stop`, by the host; the rest is immutable.
    private let reads = BlockingQueue<AdapterRead>()
    private var threads: [Thread] = []
    private let speed = ReadSpeed()

    /// `report` is called on the reader's threads.
    init(threads count: Int, report: @escaping @Sendable (AdapterReadTicket, Result<AdapterWeights, GenerationFailure>) -> Void) {
        let (reads, speed) = (reads, speed)
        threads = (0..<count).map { _ in
            Thread(name: "berth-reader") {
                while let read = reads.takeOne() {
                    let start = EngineHost.monotonicNanoseconds()
                    let result = read.perform()
                    if case .success = result { speed.took(EngineHost.monotonicNanoseconds() - start, bytes: read.source.bytes) }
                    report(read.ticket, result)
                }
            }
        }
    }

    func begin(_ read: AdapterRead) { reads.put(read) }

    var bytesPerSecond: Double? { speed.bytesPerSecond }

    /// Finishes the reads that threads are in the middle of, drops the others, and ends the threads.
    func stop() {
        reads.close()
        for thread in threads { thread.join() }
    }
}
