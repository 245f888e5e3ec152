// `berth-bench turnover`: what a prefix cache costs that never hits.

import ArgumentParser
import BerthCore
import BerthModels
import BerthText

struct TurnoverCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "turnover", abstract: "What a prefix cache costs that never hits: requests that all begin differently come and go.")

    @OptionGroup var options: ModelOptions
    @Option(help: "Weights: f32, bf16, int8, int4.") var weights = WeightFormat.bf16
    @Option(help: "Requests that run at once.") var running = 16
    @Option(help: "Requests of one measurement.") var requests = 64
    @Option(help: "Tokens of each prompt.") var prompt = 100
    @Option(help: "Tokens that each request generates.") var generate = 48
    @Option(help: "Rounds; reported are medians.") var rounds = 3
    @Flag(help: "Print JSON instead of a table.") var json = false

    private static let most = 1 << 16

    func validate() throws {
        guard [running, requests, prompt, generate, rounds].allSatisfy({ (1...Self.most).contains($0) }) else {
            throw ValidationError("numbers must be in 1...\(Self.most)")
        }
    }

    func run() throws {
        var plan = TurnoverBenchmark.Plan()
        (plan.running, plan.requests, plan.prompt, plan.generate, plan.rounds) = (running, requests, prompt, generate, rounds)
        let report = try TurnoverBenchmark(model: options.open(weights, running: running), tokenizer: Tokenizer(directory: options.directory), plan: plan).run()
        print(json ? report.json.text : report.table)
    }
}
