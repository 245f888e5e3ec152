// `berth-bench capacity`: how many machines, of how much memory, for a model and a load.

import ArgumentParser
import BerthCore
import BerthModels
import BerthSimulator

struct CapacityCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "capacity", abstract: "How many machines, and of how much memory, carry a load within an objective.",
        discussion: """
            For each memory, disk and way of routing the daemon's engine is played on simulated machines until it is known how many of them carry --rate within the objective: \
            berth-bench capacity adapters --svg report.svg. Costs that were not measured on this model and machine are extrapolated by bytes and operations, and the report \
            says so: give --costs of your machine and model (berth-bench calibrate) to have better ones. What a machine cannot exceed by arithmetic stands beside \
            what was played. The same seed gives the same report.
            """)

    @OptionGroup var options: CapacityQuestionOptions
    @Option(help: "What a machine costs without its memory, in the price of memory; says which answer is cheapest.") var machinePrice = ByteSize(bytes: 256 << 30)
    @Option(help: "Threads to play on.") var threads = 2
    @Option(help: "Draw machines over memory into this file, as SVG.") var svg: String?
    @Flag(help: "Print JSON instead of a table.") var json = false

    func validate() throws { guard (1...64).contains(threads), machinePrice.bytes >= 0 else { throw ValidationError("threads must be between 1 and 64") } }

    func run() async throws {
        let plan = try options.plan()
        let report = try await Self.report(plan, machinePrice: machinePrice.bytes, threads: threads)
        if let svg { try TextFile.write(report.svg, to: svg) }
        print(json ? report.json.text : report.text)
    }

    static func report(_ plan: CapacityPlan, machinePrice: Int, threads: Int) async throws -> CapacityReport {
        let answers = try await each(plan.offers, threads: threads) { try CapacitySearch(plan.question).answer($0) }
        var report = CapacityReport(plan: plan, answers: answers, machinePrice: machinePrice)
        if let best = report.cheapest, let doubled = plan.layout(2 * best.offer.memory) {
            report.gains = try await each(CapacityGain.Resource.allCases, threads: threads) {
                try CapacitySearch(plan.question).gain(of: best, twice: $0, doubled: doubled)
            }
        }
        return report
    }

    /// In the order of the inputs, whichever was done first.
    private static func each<Input: Sendable, Output: Sendable>(_ inputs: [Input], threads: Int, _ work: @escaping @Sendable (Input) throws -> Output) async throws -> [Output] {
        let found = try await withThrowingTaskGroup(of: (Int, Output).self) { group in
            var next = 0
            func add() {
                let index = next
                group.addTask { (index, try work(inputs[index])) }
                next += 1
            }
            while next < min(threads, inputs.count) { add() }
            var found: [(Int, Output)] = []
            while let output = try await group.next() {
                found.append(output)
                if next < inputs.count { add() }
            }
            return found
        }
        return found.sorted { $0.0 < $1.0 }.map(\.1)
    }
}
