// Benchmarks: the kernels against the machine's limits, and the whole daemon over its socket.

import ArgumentParser

@main
struct BerthBench: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "berth-bench", abstract: "Measure Berth against the machine's limits and against other servers.",
        subcommands: [KernelsCommand.self, LoadCommand.self])
}
