// `berth-bench calibrate`: the costs of this machine's steps, for `berth-bench simulate --costs`.

import ArgumentParser
import BerthCore
import BerthEngine
import BerthModels
import BerthSimulator
import BerthText

struct CalibrateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "calibrate", abstract: "Measure what steps of a checkpoint take on this machine, for simulate --costs.")

    @OptionGroup var options: ModelOptions
    @Option(help: "Weights: f32, bf16, int8, int4.") var weights = WeightFormat.bf16
    @Option(help: "A directory of adapters, of which the first sixteen are measured, too.") var adapters: String?
    @Option(help: "Rounds; taken are medians.") var rounds = 5
    @Option(help: "Write the costs into this file instead of printing them.") var output: String?

    func validate() throws { guard (1...1000).contains(rounds) else { throw ValidationError("rounds must be between 1 and 1000") } }

    func run() throws {
        let maxRows = EngineConfiguration().stepTokens
        let model = try options.open(weights, options.compute(), maxRows: maxRows, maxLogitRows: Model.defaultLogitRows(maxRows: maxRows))
        let loaded = try adapters.map { try BenchAdapter.load(16, from: $0, model: model) } ?? []
        var calibration = Calibration(model: model, tokenizer: try Tokenizer(directory: options.directory), adapters: loaded)
        calibration.rounds = rounds
        let costs = try calibration.run().json.text
        if let output { try TextFile.write(costs + "\n", to: output) } else { print(costs) }
    }
}
