// `berth-bench steps`: the engine's own cost per step, which a tiny model shows best.

import ArgumentParser
import BerthCore
import BerthModels
import BerthText

struct StepsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "steps", abstract: "What the engine takes for a step beside the model.")

    @OptionGroup var options: ModelOptions
    @Option(help: "Weights: f32, bf16, int8, int4.") var weights = WeightFormat.bf16
    @Option(help: "Requests that decode at once, comma-separated.") var requests = "1,16,64"
    @Option(help: "Decode steps of one measurement, as far as the context goes.") var steps = 200
    @Option(help: "Sampling temperature; 0 is greedy.") var temperature: Float = 0
    @Option(help: "Rounds; reported are medians.") var rounds = 3
    @Flag(help: "Print JSON instead of a table.") var json = false

    private static let mostRequests = 512

    func validate() throws {
        guard counts(requests, upTo: Self.mostRequests) != nil else { throw ValidationError("no counts up to \(Self.mostRequests): \(requests)") }
        guard steps > 0, rounds > 0, temperature >= 0, temperature.isFinite else { throw ValidationError("steps and rounds must be positive") }
    }

    func run() throws {
        var plan = EngineBenchmark.Plan()
        plan.requests = counts(requests, upTo: Self.mostRequests) ?? []
        (plan.steps, plan.rounds, plan.temperature) = (steps, rounds, temperature)
        let model = try options.open(weights, running: plan.requests.max() ?? 0)
        let report = try EngineBenchmark(model: model, tokenizer: Tokenizer(directory: options.directory), plan: plan).run()
        print(json ? report.json.text : report.table)
    }
}
