// `berth-bench simulate`: the engine on machines that are not there.

import ArgumentParser
import BerthCore
import BerthKernels
import BerthSimulator
import Glibc

struct SimulateCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "simulate", abstract: "Prove the engine's promises over many seeds, play one of them, or ask what a machine can do.",
        discussion: """
            With --seeds so many small random runs are checked, from --seed on; a run that breaks a promise is named with the command that plays it again. \
            With --memory a machine is played, with as many adapters, experts and tenants as the other options say: \
            berth-bench simulate --memory 16G --adapters 10000 --rate 2 --svg report.svg. Otherwise the one small run of --seed is played. With --trace a run is told line by line.
            """)

    @Option(help: "The seed of the run, or the first of several.") var seed: UInt64 = 1
    @Option(help: "Check so many seeds.") var seeds: UInt64?
    @Option(help: "Threads for the check.") var threads = 2
    @OptionGroup var capacity: CapacityOptions
    @Flag(help: "Tell the run line by line.") var trace = false
    @Option(help: "Draw the machine's run into this file, as SVG.") var svg: String?
    @Flag(help: "Print JSON instead of a table.") var json = false

    func validate() throws {
        guard (1...64).contains(threads) else { throw ValidationError("threads must be between 1 and 64") }
        if let seeds, seeds == 0 || seeds > UInt64.max - seed { throw ValidationError("there are no such seeds") }
        if seeds != nil, capacity.memory != nil { throw ValidationError("--seeds checks small runs, --memory plays a machine: not both") }
    }

    func run() async throws {
        if let seeds { return try await check(seed..<seed + seeds) }
        let report = try capacity.memory.map { try play(capacity.scenario(memory: $0), samples: 200) } ?? play(SeedSweep.scenario(seed: seed), samples: 0)
        if let svg { try TextFile.write(report.svg(pages: capacity.memory.map { $0.bytes / capacity.page.bytes } ?? 1), to: svg) }
        print(json ? report.json.text : report.table)
        if let violation = report.violation {
            print(violation)
            throw ExitCode.failure
        }
    }

    private func check(_ seeds: Range<UInt64>) async throws {
        let start = monotonicSeconds()
        let result = await SeedSweep.run(seeds, workers: threads)
        let seconds = monotonicSeconds() - start
        print(
            "seeds \(seeds.lowerBound) to \(seeds.upperBound - 1): \(result.requests) requests, \(result.tokens) tokens, \(result.preemptions) preemptions, "
                + "\(result.leftSteps) steps left, \(result.memoryMoves) moves of memory in \(fixed(seconds, 1)) s, \(fixed(Double(result.runs) / seconds, 0)) runs/s; decisions \(String(result.digest, radix: 16))")
        for (seed, violation) in result.violations { print("\(violation)\n    \(SeedSweep.command(seed: seed))") }
        for (property, count) in result.broken.sorted(by: { $0.key.rawValue < $1.key.rawValue }) { print("\(property.rawValue) is broken by \(count) of \(result.runs) seeds") }
        if !result.violations.isEmpty { throw ExitCode.failure }
    }

    private func play(_ scenario: Scenario, samples: Int) throws -> SimulationReport {
        SeedNote.writeOnTrap()
        SeedNote.begin(seed)
        let compute = try Compute(kernels: .scalar, threads: 1)
        let tell: ((String) -> Void)? = trace ? { Self.tell($0) } : nil
        let simulation = try Simulation(scenario, seed: seed, compute: compute, trace: tell)
        simulation.samples = samples
        // Proofs look at every page: on a large machine now and then is enough.
        if samples > 0 { simulation.proofSteps = 512 }
        return simulation.run()
    }

    /// What was told before a trap must be there after it.
    private static func tell(_ line: String) {
        print(line)
        fflush(nil)
    }
}
