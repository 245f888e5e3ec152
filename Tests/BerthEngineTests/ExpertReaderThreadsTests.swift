// What threads that read experts do in which order.

import BerthModels
import Dispatch
import Synchronization
import Testing

@testable import BerthEngine

@Suite struct ExpertReaderThreadsTests {
    /// A reader whose every read waits for a permit, and writes down when it starts.
    private final class Gate: Sendable {
        let started = Mutex<[Int]>([])
        let permits = DispatchSemaphore(value: 0)
        let starts = DispatchSemaphore(value: 0)
        let failing = Mutex<[Int: Int]>([:])

        func perform(_ read: ExpertRead) -> String? {
            started.withLock { $0.append(read.id.expert) }
            starts.signal()
            permits.wait()
            return failing.withLock { failing in
                guard let left = failing[read.id.expert], left > 0 else { return nil }
                failing[read.id.expert] = left - 1
                return "broken"
            }
        }
    }

    private let memory = UnsafeMutableRawPointer(bitPattern: 4096)!
    private func read(_ expert: Int) -> ExpertRead { ExpertRead(id: ExpertID(layer: 0, expert: expert), memory: memory) }

    private func results(_ reader: ExpertReaderThreads, _ count: Int) -> [ExpertReadResult] {
        var results: [ExpertReadResult] = []
        while results.count < count { results += reader.results(waits: true) }
        return results
    }

    @Test func guessesWaitUntilNobodyElseReads() {
        let gate = Gate()
        let reader = ExpertReaderThreads(threads: 2, bytesPerExpert: 1) { gate.perform($0) }
        reader.begin(read(1), .step)
        gate.starts.wait()
        reader.begin(read(2), .guess)
        reader.begin(read(3), .guess)
        reader.begin(read(4), .step)
        gate.starts.wait()
        // Both threads read what is waited for; a guess that has not started can be taken back.
        #expect(gate.started.withLock { $0 } == [1, 4])
        #expect(reader.cancel(ExpertID(layer: 0, expert: 3)) && !reader.cancel(ExpertID(layer: 0, expert: 1)))
        for _ in 0..<3 { gate.permits.signal() }
        #expect(Set(results(reader, 3).map(\.id.expert)) == [1, 2, 4])
        #expect(gate.started.withLock { $0 }.last == 2)
        #expect(reader.account.bytes == 3)
        reader.stop()
    }

    @Test func aPromotedGuessIsWaitedFor() {
        let gate = Gate()
        let reader = ExpertReaderThreads(threads: 2, bytesPerExpert: 1) { gate.perform($0) }
        reader.begin(read(1), .step)
        gate.starts.wait()
        reader.begin(read(2), .guess)
        reader.promote(ExpertID(layer: 0, expert: 2), to: .step)
        gate.starts.wait()
        #expect(gate.started.withLock { $0 } == [1, 2])
        // Promoted while it is read, it keeps other guesses from starting.
        for _ in 0..<2 { gate.permits.signal() }
        _ = results(reader, 2)
        reader.begin(read(5), .guess)
        gate.starts.wait()
        reader.promote(ExpertID(layer: 0, expert: 5), to: .step)
        reader.begin(read(6), .guess)
        gate.permits.signal()
        gate.starts.wait()
        #expect(results(reader, 1).map(\.id.expert) == [5])
        gate.permits.signal()
        #expect(results(reader, 1).map(\.id.expert) == [6])
        reader.stop()
    }

    @Test func waveReadsAreHeldWhileAStepIsUnderWay() {
        let gate = Gate()
        let reader = ExpertReaderThreads(threads: 2, bytesPerExpert: 1) { gate.perform($0) }
        reader.holdWaves(true)
        reader.begin(read(1), .wave)
        reader.begin(read(2), .step)
        gate.starts.wait()
        reader.begin(read(3), .guess)
        // The guess waits for the step's read, the wave's for the step; what a wave began can be wanted by a step.
        reader.begin(read(4), .wave)
        reader.promote(ExpertID(layer: 0, expert: 4), to: .step)
        gate.starts.wait()
        #expect(gate.started.withLock { $0 } == [2, 4])
        for _ in 0..<3 { gate.permits.signal() }
        #expect(Set(results(reader, 3).map(\.id.expert)) == [2, 3, 4])
        // Nothing else can come: whoever waits must not wait for ever.
        gate.permits.signal()
        #expect(results(reader, 1).map(\.id.expert) == [1])
        reader.begin(read(5), .wave)
        reader.holdWaves(false)
        gate.permits.signal()
        #expect(results(reader, 1).map(\.id.expert) == [5])
        reader.stop()
    }

    /// What a wave wants, and was read on a guess before, does not wait behind all that the wave reads ahead.
    @Test func aWavesWantIsNoGuess() {
        let gate = Gate()
        let reader = ExpertReaderThreads(threads: 1, bytesPerExpert: 1) { gate.perform($0) }
        reader.begin(read(1), .wave)
        gate.starts.wait()
        reader.begin(read(2), .guess)
        reader.promote(ExpertID(layer: 0, expert: 2), to: .wave)
        reader.begin(read(3), .wave)
        for _ in 0..<3 { gate.permits.signal() }
        #expect(Set(results(reader, 3).map(\.id.expert)) == [1, 2, 3] && gate.started.withLock { $0 } == [1, 2, 3])
        reader.stop()
    }

    @Test func aFailedReadIsTriedAgain() {
        let gate = Gate()
        gate.failing.withLock { $0 = [1: 1, 2: 2] }
        let reader = ExpertReaderThreads(threads: 1, bytesPerExpert: 1) { gate.perform($0) }
        reader.begin(read(1), .step)
        reader.begin(read(2), .step)
        for _ in 0..<4 { gate.permits.signal() }
        let failures = Dictionary(uniqueKeysWithValues: results(reader, 2).map { ($0.id.expert, $0.failure) })
        #expect(failures == [1: nil, 2: "broken"])
        #expect(reader.account.retries == 2)
        reader.stop()
    }
}
