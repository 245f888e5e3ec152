// `berth-bench model`: steps of a real checkpoint, as a percentage of what this machine can do at most.

import ArgumentParser
import BerthCore
import BerthEngine
import BerthKernels
import BerthModels

struct ModelCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "model", abstract: "Prefill, decode and mixed adapters of one model, without a daemon.",
        discussion: """
            With --adapters, every decode of N sequences is measured again with N different adapters, where there are so many, and so is a \
            prefill of N short prompts; "of base" is how fast that is in proportion to the same without adapters. "% limit" is the part of the \
            time that the longer of two would take anyway: the operations at the measured peak, or the bytes at the measured read speed.
            """)

    @OptionGroup var options: ModelOptions
    @Option(help: "Weights: f32, bf16, int8, int4.") var weights = WeightFormat.bf16
    @Option(help: "Rows of the one prompt, comma-separated.") var prefill = "128,512"
    @Option(help: "Sequences that decode at once, comma-separated.") var decode = "1,4,16,32"
    @Option(help: "Tokens before the first decoded one.") var context = 64
    @Option(help: "Decode steps of one measurement.") var steps = 8
    @Option(help: "A directory of adapters.") var adapters: String?
    @Option(help: "Rounds; reported are medians.") var rounds = 3
    @Flag(help: "Tiny sizes, for tests: says whether everything runs, not how fast.") var tiny = false
    @Flag(help: "Print JSON instead of a table.") var json = false

    private static let mostSequences = 512

    func validate() throws {
        guard counts(prefill, upTo: Limits.contextTokens) != nil else { throw ValidationError("no row counts: \(prefill)") }
        guard counts(decode, upTo: Self.mostSequences) != nil else { throw ValidationError("no counts up to \(Self.mostSequences): \(decode)") }
        guard context > 0, steps > 0, rounds > 0 else { throw ValidationError("context, steps and rounds must be positive") }
    }

    private var plan: ModelBenchmark.Plan {
        if tiny { return .tiny }
        var plan = ModelBenchmark.Plan()
        plan.prefill = counts(prefill, upTo: Limits.contextTokens) ?? []
        plan.decode = counts(decode, upTo: Self.mostSequences) ?? []
        (plan.context, plan.steps, plan.rounds) = (context, steps, rounds)
        return plan
    }

    func run() throws {
        let plan = plan, compute = try options.compute()
        // The daemon's batch.
        let maxRows = EngineConfiguration().stepTokens
        let model = try options.open(weights, compute, maxRows: maxRows, maxLogitRows: max(Model.defaultLogitRows(maxRows: maxRows), plan.mostSequences))
        let loaded = try adapters.map { try BenchAdapter.load(plan.mostSequences, from: $0, model: model) } ?? []
        var benchmark = try ModelBenchmark(model: model, adapters: loaded, plan: plan)
        let report = try benchmark.run()
        print(json ? report.json.text : report.table)
    }
}
