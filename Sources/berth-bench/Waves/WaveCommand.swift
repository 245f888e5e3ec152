// `berth-bench waves`: bulk requests through the engine, with wave sizes that the planner chose against others.

import ArgumentParser
import BerthCore
import BerthModels
import BerthText

struct WaveCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "waves", abstract: "Bulk requests in waves of chosen and of other sizes, and without waves.",
        discussion: """
            The engine runs in this process, anew for each measurement, with the experts on disk; sizes take turns in every round, because a disk's speed changes. \
            A size is "chosen", "plain" (an ordinary batch, no waves), or REQUESTS[:ROWS[:PART]].
            """)

    @OptionGroup var options: ModelOptions
    @Option(help: "Weights: f32, bf16, int8, int4.") var weights = WeightFormat.int8
    @Option(help: "Memory of the pool.") var pool = ByteSize(bytes: 4 << 30)
    @Option(help: "Per cent of the experts that may be in memory.") var experts = 25
    @Option(help: "Requests.") var requests = 96
    @Option(help: "Tokens of a prompt: one number, or the least and the most.") var prompt = "32,128"
    @Option(help: "Tokens that all prompts have in common, beside these.") var common = 0
    @Option(help: "Tokens that each request generates.") var generate = 24
    @Option(help: "Sizes, comma-separated.") var sizes = "chosen,16,32,64,96,plain"
    @Option(help: "Rounds; reported are medians.") var rounds = 1
    @Option(help: "Seed of the prompts.") var seed: UInt64 = 1
    @Flag(help: "Print JSON instead of a table.") var json = false

    func validate() throws {
        guard options.cacheDir != nil else { throw ValidationError("experts on disk need --cache-dir") }
        guard (1...100).contains(experts), (1...Limits.queuedRequests).contains(requests), (0...1 << 20).contains(common), (1...1 << 20).contains(generate), (1...1000).contains(rounds)
        else { throw ValidationError("numbers must be positive, and --experts a percentage") }
        guard promptRange != nil else { throw ValidationError("no length of prompts: \(prompt)") }
        _ = try parsedSizes()
    }

    private var promptRange: ClosedRange<Int>? {
        guard let lengths = counts(prompt, upTo: 1 << 20), let first = lengths.first, lengths.count <= 2, first <= lengths[lengths.count - 1] else { return nil }
        return first...lengths[lengths.count - 1]
    }

    private func parsedSizes() throws -> [WaveBenchmark.Size] {
        try sizes.split(separator: ",").map { text in
            guard let size = WaveBenchmark.Size(String(text)) else { throw ValidationError("no size of a wave: \(text)") }
            return size
        }
    }

    func run() throws {
        var plan = WaveBenchmark.Plan()
        (plan.requests, plan.prompt, plan.common, plan.generate) = (requests, promptRange!, common, generate)
        (plan.poolBytes, plan.expertPercent, plan.rounds, plan.seed) = (pool.bytes, experts, rounds, seed)
        let report = try WaveBenchmark(tokenizer: Tokenizer(directory: options.directory), plan: plan) { [options, weights] maxRows, logitRows in
            try options.open(weights, options.compute(), maxRows: maxRows, maxLogitRows: logitRows, experts: .paged(.direct))
        }.run(parsedSizes())
        print(json ? report.json.text : report.table)
    }
}
