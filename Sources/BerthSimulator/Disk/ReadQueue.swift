// Reads that wait for a thread, and those under way, under the virtual clock.
//
// As the daemon's readers do it: so many threads, and what is less urgent starts only while nothing before it waits or is under way.

/// Serves one kind of reads. Times of `run` do not fall.
struct ReadQueue<Read> {
    private struct UnderWay {
        var read: Read
        var urgency: Int
        var passage: SimulatedDisk.Passage
    }

    let threads: Int
    private let disk: SimulatedDisk
    /// By urgency, the most urgent first.
    private var waiting: [[(read: Read, bytes: Double)]]
    private var underWay: [UnderWay] = []
    /// Ended and not taken yet, in the order of their ends.
    private var ended: [(read: Read, fails: Bool)] = []
    /// While at least one was under way.
    private(set) var busyNanoseconds: UInt64 = 0
    /// Reads of this urgency do not start.
    private var held: Int?
    private var now: UInt64 = 0

    init(threads: Int, urgencies: Int = 1, disk: SimulatedDisk) {
        self.threads = threads
        self.disk = disk
        waiting = Array(repeating: [], count: urgencies)
    }

    /// From now on reads of an urgency do not start, or all do.
    mutating func hold(_ urgency: Int?, at time: UInt64) {
        run(until: time)
        held = urgency
        start()
    }

    mutating func add(_ read: Read, bytes: Double, urgency: Int = 0, at time: UInt64) {
        run(until: time)
        waiting[urgency].append((read, bytes))
        start()
    }

    /// What has ended by then can be taken.
    mutating func run(until time: UInt64) {
        while let next = nextEnd, next <= time {
            let index = underWay.firstIndex { $0.passage.end == next }!
            let done = underWay.remove(at: index)
            busyNanoseconds += next - now
            now = next
            ended.append((done.read, done.passage.fails))
            start()
        }
        if !underWay.isEmpty { busyNanoseconds += time - now }
        now = time
    }

    private mutating func start() {
        for urgency in waiting.indices where urgency != held {
            while !waiting[urgency].isEmpty, underWay.count < threads {
                let (read, bytes) = waiting[urgency].removeFirst()
                underWay.append(UnderWay(read: read, urgency: urgency, passage: disk.read(bytes: bytes, at: now)))
            }
            if !waiting[urgency].isEmpty || underWay.contains(where: { $0.urgency <= urgency }) { return }
        }
    }

    /// When the next read under way ends; nil where none is.
    var nextEnd: UInt64? { underWay.lazy.map(\.passage.end).min() }
    var hasEnded: Bool { !ended.isEmpty }
    var isEmpty: Bool { underWay.isEmpty && ended.isEmpty && waiting.allSatisfy(\.isEmpty) }

    mutating func takeEnded() -> [(read: Read, fails: Bool)] {
        defer { ended.removeAll(keepingCapacity: true) }
        return ended
    }

    /// Takes a read back that waits and is less urgent than that; nil where there is none such.
    mutating func takeBack(below urgency: Int = 0, _ matches: (Read) -> Bool) -> (read: Read, bytes: Double)? {
        for urgency in waiting.indices.dropFirst(urgency + 1) {
            if let index = waiting[urgency].firstIndex(where: { matches($0.read) }) { return waiting[urgency].remove(at: index) }
        }
        return nil
    }
}
