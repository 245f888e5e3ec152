// Many runs, each of another seed: the proof that no order of things breaks a promise, as far as the seeds reach.
//
// What the engine proves by itself traps. So that a seed is known then, too, the seeds under way are written out when the process gets the signal.

import BerthCore
import BerthKernels
import Glibc
import Synchronization

/// What came of a sweep.
public struct SweepResult: Sendable {
    public var runs = 0
    public var requests = 0
    public var tokens = 0
    public var preemptions = 0
    public var leftSteps = 0
    public var memoryMoves = 0
    /// The sum of all runs' digests: equal sums are equal decisions, in whatever order the seeds ran.
    public var digest: UInt64 = 0
    /// How many seeds broke what.
    public var broken: [Violation.Property: Int] = [:]
    /// Seeds and what they broke, in order; at most `SeedSweep.mostViolations`.
    public var violations: [(seed: UInt64, violation: Violation)] = []

    mutating func add(_ report: SimulationReport) {
        runs += 1
        requests += report.requests
        tokens += report.outputTokens
        preemptions += report.counters.preemptions
        leftSteps += report.leftSteps
        memoryMoves += report.memoryMoves
        digest &+= report.digest
        guard let violation = report.violation else { return }
        broken[violation.property, default: 0] += 1
        if violations.count < SeedSweep.mostViolations { violations.append((report.seed, violation)) }
    }

    mutating func add(_ other: SweepResult) {
        runs += other.runs
        requests += other.requests
        tokens += other.tokens
        preemptions += other.preemptions
        leftSteps += other.leftSteps
        memoryMoves += other.memoryMoves
        digest &+= other.digest
        broken.merge(other.broken, uniquingKeysWith: +)
        violations = Array((violations + other.violations).sorted { $0.seed < $1.seed }.prefix(SeedSweep.mostViolations))
    }
}

public enum SeedSweep {
    static let mostViolations = 16
    /// One seed in so many is a flood of tenants, and one a tenant with large requests among small ones, which are long runs; or it is a tenant with many streams beside whom others ask for
    /// little. The others are small storms.
    public static let floodSeeds: UInt64 = 200
    public static let crowdSeeds: UInt64 = 20

    /// The run that a seed stands for.
    public static func scenario(seed: UInt64) -> Scenario {
        if seed % floodSeeds == 0 { return .flood(seed: seed) }
        if seed % floodSeeds == floodSeeds / 2 { return .largeAmongSmall(seed: seed) }
        return seed % crowdSeeds == 7 ? .crowd(seed: seed) : .random(seed: seed)
    }

    private static let mostWorkers = 64

    /// How a run of a seed is had again.
    public static func command(seed: UInt64) -> String { "berth-bench simulate --seed \(seed) --trace" }

    /// Runs all seeds on so many threads. `progress` is told now and then, on one of them.
    public static func run(_ seeds: Range<UInt64>, workers: Int, progress: (@Sendable (SweepResult) -> Void)? = nil) async -> SweepResult {
        SeedNote.writeOnTrap()
        let shared = Shared(next: seeds.lowerBound)
        await withTaskGroup(of: Void.self) { group in
            for worker in 0..<min(workers, mostWorkers) {
                group.addTask {
                    let compute = try! Compute(kernels: .scalar, threads: 1)
                    var own = SweepResult()
                    while let seed = shared.takeSeed(below: seeds.upperBound) {
                        SeedNote.begin(seed, worker: worker)
                        own.add(one(seed, compute))
                        guard own.runs >= runsPerReport else { continue }
                        let sum = shared.add(own)
                        progress?(sum)
                        own = SweepResult()
                    }
                    SeedNote.end(worker: worker)
                    _ = shared.add(own)
                }
            }
        }
        return shared.add(SweepResult())
    }

    private static let runsPerReport = 256

    /// What the threads of a sweep have in common.
    private final class Shared: Sendable {
        private let next: Atomic<UInt64>
        private let total = Mutex(SweepResult())

        init(next seed: UInt64) { next = Atomic(seed) }

        func takeSeed(below end: UInt64) -> UInt64? {
            let seed = next.wrappingAdd(1, ordering: .relaxed).oldValue
            return seed < end ? seed : nil
        }

        func add(_ result: SweepResult) -> SweepResult {
            total.withLock { total in
                total.add(result)
                return total
            }
        }
    }

    private static func one(_ seed: UInt64, _ compute: Compute) -> SimulationReport {
        guard let simulation = try? Simulation(scenario(seed: seed), seed: seed, compute: compute) else { preconditionFailure("no memory for a pool") }
        return simulation.run()
    }
}

/// The seeds that are being run, for the signal that ends the process.
public enum SeedNote {
    private static let most = 64
    private nonisolated(unsafe) static let seeds: UnsafeMutablePointer<UInt64> = {
        let seeds = UnsafeMutablePointer<UInt64>.allocate(capacity: most)
        seeds.initialize(repeating: .max, count: most)
        return seeds
    }()
    // Unsafe: every worker writes its own place; the signal's handler reads whatever stands there.

    public static func begin(_ seed: UInt64, worker: Int = 0) { seeds[worker] = seed }
    public static func end(worker: Int = 0) { seeds[worker] = .max }

    /// From now on a trap, or whoever stops the process, says which seeds were under way. With nothing but what a handler may do: digits are made by hand.
    public static func writeOnTrap() {
        _ = seeds
        for number in [SIGILL, SIGTRAP, SIGABRT, SIGSEGV, SIGTERM, SIGINT] {
            signal(number) { number in
                for worker in 0..<SeedNote.most where SeedNote.seeds[worker] != .max {
                    SeedNote.write("ended in a run of: berth-bench simulate --trace --seed ", SeedNote.seeds[worker])
                }
                signal(number, SIG_DFL)
                raise(number)
            }
        }
    }

    private static func write(_ text: StaticString, _ number: UInt64) {
        _ = Glibc.write(2, text.utf8Start, text.utf8CodeUnitCount)
        var rest = number
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 24) { digits in
            var at = 23
            digits[at] = UInt8(ascii: "\n")
            repeat {
                at -= 1
                digits[at] = UInt8(ascii: "0") + UInt8(rest % 10)
                rest /= 10
            } while rest > 0
            _ = Glibc.write(2, digits.baseAddress! + at, 24 - at)
        }
    }
}
