// Experts on the simulated disk. The engine waits for them in the middle of a step, and the clock moves meanwhile.

import BerthCore
import BerthEngine
import BerthKernels
import BerthModels

final class SimulatedExperts: ExpertReader {
    private let clock: VirtualClock
    private let bytes: Int
    private let scale: Double
    private var queue: ReadQueue<ExpertRead>
    private var waited: UInt64 = 0
    private var reads = 0
    private var holdsWaves = false

    /// - Parameters:
    ///   - pages: of one expert.
    ///   - scale: bytes of the simulated machine for each of the arena's.
    init(pages: Int, disk: SimulatedDisk, scale: Double, clock: VirtualClock) {
        self.clock = clock
        self.scale = scale
        bytes = pages * SimulatedAdapters.pageBytes
        queue = ReadQueue(threads: Limits.expertReads, urgencies: ExpertReadUrgency.allCases.count, disk: disk)
    }

    func begin(_ read: ExpertRead, _ urgency: ExpertReadUrgency) {
        queue.add(read, bytes: Double(bytes) * scale, urgency: urgency.rawValue, at: clock.now)
    }

    func promote(_ id: ExpertID, to urgency: ExpertReadUrgency) {
        queue.run(until: clock.now)
        if let taken = queue.takeBack(below: urgency.rawValue, { $0.id == id }) { begin(taken.read, urgency) }
    }

    func holdWaves(_ isHeld: Bool) {
        holdsWaves = isHeld
        queue.hold(isHeld ? ExpertReadUrgency.wave.rawValue : nil, at: clock.now)
    }

    func cancel(_ id: ExpertID) -> Bool {
        queue.run(until: clock.now)
        return queue.takeBack { $0.id == id } != nil
    }

    func results(waits: Bool) -> [ExpertReadResult] {
        queue.run(until: clock.now)
        if waits, !queue.hasEnded {
            // What is held starts where nothing else can come.
            if queue.nextEnd == nil, holdsWaves {
                queue.hold(nil, at: clock.now)
                queue.hold(ExpertReadUrgency.wave.rawValue, at: clock.now)
            }
            guard let end = queue.nextEnd else { preconditionFailure("the engine waits for a read that nobody performs") }
            waited += end - clock.now
            clock.advance(to: end)
            queue.run(until: end)
        }
        return queue.takeEnded().map { read, fails in
            reads += 1
            let stamp = Self.stamp(of: read.id)
            for page in 0..<bytes / SimulatedAdapters.pageBytes {
                // What a torn read leaves must not matter.
                read.memory.storeBytes(of: fails ? .max : mix(stamp &+ UInt64(page)), toByteOffset: page * SimulatedAdapters.pageBytes, as: UInt64.self)
            }
            return ExpertReadResult(id: read.id, failure: fails ? "input/output error" : nil)
        }
    }

    var account: ExpertReaderAccount {
        var account = ExpertReaderAccount()
        account.bytes = reads * bytes
        account.busyNanoseconds = queue.busyNanoseconds
        account.waitedNanoseconds = waited
        return account
    }

    // MARK: the model

    static func stamp(of id: ExpertID) -> UInt64 { mix(UInt64(id.layer) << 32 | UInt64(id.expert) ^ 0xE4BE) }

    /// An object of the real class, which the model looks through at the memory behind it.
    static func expert(at memory: UnsafeRawPointer) -> Expert {
        let matrix = PackedMatrix(outputs: 1, inputs: 1, format: .f32, memory: memory)
        return Expert(gateUp: matrix, down: matrix)
    }

    /// What the first page of an expert says, and with it another one's: the same for all pages where the expert is whole.
    static func stamp(in expert: Expert, of id: ExpertID, pages: Int, look: Int) -> UInt64 {
        let (stamp, page) = (stamp(of: id), look % pages)
        let found = expert.gateUp.memory.load(fromByteOffset: page * SimulatedAdapters.pageBytes, as: UInt64.self)
        return found == mix(stamp &+ UInt64(page)) ? stamp : found
    }
}
