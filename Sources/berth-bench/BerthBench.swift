// Benchmarks: kernels and models against the machine's limits, quantised weights against exact ones, the engine by itself, and the whole daemon
// over its socket; and a long wear of it.

import ArgumentParser

@main
struct BerthBench: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "berth-bench", abstract: "Measure Berth against the machine's limits and against other servers.",
        subcommands: [
            KernelsCommand.self, ModelCommand.self, DivergenceCommand.self, StepsCommand.self, TurnoverCommand.self, ReplayCommand.self, EconomyCommand.self,
            WaveCommand.self, SimulateCommand.self, CapacityCommand.self, CalibrateCommand.self, RecordCommand.self, CompareCommand.self, LoadCommand.self, ProbeCommand.self, ChurnCommand.self,
        ])
}
