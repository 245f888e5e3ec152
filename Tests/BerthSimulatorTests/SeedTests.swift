import BerthCore
import BerthEngine
import BerthKernels
import Glibc
import Testing

@testable import BerthSimulator

@Suite struct SeedTests {
    /// No promise is broken over many seeds. `BERTH_SIMULATION_SEEDS` says how many, `BERTH_SIMULATION_FIRST` from where on.
    @Test func manySeedsKeepEveryPromise() async {
        let first = Self.number("BERTH_SIMULATION_FIRST") ?? 1, count = Self.number("BERTH_SIMULATION_SEEDS") ?? 5_000
        let start = ContinuousClock.now
        let result = await SeedSweep.run(first..<first + count, workers: 2)
        print("seeds \(first)..<\(first + count): \(result.requests) requests, \(result.tokens) tokens, \(result.preemptions) preemptions, \(result.leftSteps) steps left, \(result.memoryMoves) moves of memory in \(ContinuousClock.now - start)")
        #expect(result.runs == Int(count))
        // What is to be proved has happened.
        if count >= 1000 { #expect(result.preemptions > 0 && result.leftSteps > 0 && result.memoryMoves > 0) }
        for (seed, violation) in result.violations { Issue.record("\(violation)\n\(SeedSweep.command(seed: seed))") }
    }

    private static func number(_ name: String) -> UInt64? { getenv(name).flatMap { UInt64(String(cString: $0)) } }

    /// A seed comes to the same decisions each time, down to every event and its time.
    @Test(arguments: 1...40 as ClosedRange<UInt64>)
    func seedsReplay(seed: UInt64) throws {
        let compute = try Compute(kernels: .scalar, threads: 1)
        let reports = try (0..<2).map { _ in try Simulation(SeedSweep.scenario(seed: seed), seed: seed, compute: compute).run() }
        #expect(reports[0].digest == reports[1].digest && reports[0].counters == reports[1].counters, "seed \(seed)")
    }
}
