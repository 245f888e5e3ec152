// `berth-bench record`: some workloads against a running daemon, written down so that the simulator can serve them again.

import ArgumentParser
import BerthClient
import BerthCore
import BerthEngine
import BerthKernels
import BerthModels
import BerthSimulator
import BerthStore

struct RecordCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "record", abstract: "Record workloads against a running daemon, for compare.",
        discussion: """
            What the daemon does not tell must be said as it was said to the daemon: the checkpoint, --weights, --kv, --max-running and --max-batch-tokens. \
            The adapters that it has are asked for by Zipf's law. With --rates there is one workload for each of these rates, of --lengths, instead of those that are made for the machine. Before the first and after each the daemon's pace is measured with a few steps of known rows. See Scripts/compare, which calibrates, starts a daemon, records and compares.
            """)

    @Argument(help: "The daemon's checkpoint.") var directory: String
    @Option(help: "Its weights: f32, bf16, int8, int4.") var weights = WeightFormat.bf16
    @Option(help: "Its keys and values: f32, f16, int8.") var kv: KVElement?
    @Option(help: "Its requests in one step.") var maxRunning = 64
    @Option(help: "Its rows in one step.") var maxBatchTokens = 512
    @Option(help: "The daemon's inference socket.") var socket: String = BerthClient.defaultSocketPath
    @Option(help: "The daemon's admin socket.") var adminSocket: String = BerthAdmin.defaultSocketPath
    @Option(help: "Costs as calibrate writes them, which say how much load there should be.") var costs: String
    @Option(help: "Workloads, comma-separated: \(ComparedWorkloads.names.joined(separator: ", ")); without it all that the daemon can serve.") var only: String?
    @Option(help: "Instead of these workloads: so many requests per second that come by themselves, comma-separated.") var rates: String?
    @Option(help: "With --rates: tokens of a prompt and of an output, in the middle; as capacity has them.") var lengths = "200,100"
    @Option(help: "Scales the number of requests.") var size = 1.0
    @Option(help: "Seed of prompts and arrivals.") var seed: UInt64 = 1
    @Option(help: "Write the recordings into this file.") var output: String

    func validate() throws {
        guard (1...4096).contains(maxRunning), (1...1 << 16).contains(maxBatchTokens), size > 0, size <= 100 else { throw ValidationError("counts must be positive") }
        if let rates, Self.rates(rates) == nil { throw ValidationError("--rates are numbers above 0, comma-separated") }
        guard counts(lengths, upTo: 1 << 20)?.count == 2 else { throw ValidationError("--lengths are two numbers of tokens") }
        if let unknown = wanted?.first(where: { !ComparedWorkloads.names.contains($0) }) { throw ValidationError("there is no workload \(unknown)") }
    }

    private static func rates(_ list: String) -> [Double]? {
        commaSeparated(list) { Double($0).flatMap { $0 > 0 && $0 < 1e6 ? $0 : nil } }
    }

    private var wanted: [String]? { only.map { $0.split(separator: ",").map(String.init) } }

    func run() async throws {
        let client = BerthClient(socketPath: socket)
        let models = try await client.models()
        let (machine, adapters) = try await machine(models)
        guard let word = try await client.tokenize("a", addsSpecialTokens: false).last else { throw BenchError("the daemon has no token for 'a'") }
        let recorder = LoadRecorder(client: client, adapters: adapters, word: word)
        var recordings = Recordings(machine: machine, workloads: []), round = 0
        /// How fast the daemon goes just now.
        func gauge() async throws {
            for gauge in gauges(on: machine, round: round, seed: seed) { recordings.workloads.append(try await recorder.run(gauge)) }
            round += 1
        }
        try await gauge()
        var costs = try StepCosts(json: TextFile.json(costs))
        costs.pace = try Pace(recordings.workloads, on: machine, costs: costs)
        var workloads = ComparedWorkloads(machine: machine, costs: costs)
        (workloads.size, workloads.seed) = (size, seed)
        let tokens = counts(lengths, upTo: 1 << 20)!
        let plans = try rates.flatMap(Self.rates).map { $0.enumerated().map { workloads.plan($0, rate: $1, prompt: tokens[0], output: tokens[1]) } }
            ?? workloads.plans().filter { wanted?.contains($0.name) ?? true }
        for plan in plans {
            recordings.workloads.append(try await recorder.run(plan))
            try await gauge()
        }
        try TextFile.write(recordings.json.text + "\n", to: output)
    }

    /// The daemon as it says it is, and its adapters' names.
    private func machine(_ models: [ModelInfo]) async throws -> (RecordedMachine, [String]) {
        let admin = BerthAdmin(socketPath: adminSocket)
        let pool = try await admin.pool()
        guard let pages = pool["pages"]?.int, let pageBytes = pool["page_bytes"]?.int, pageBytes > 0, let context = models.compactMap(\.contextLength).min() else {
            throw BenchError("the daemon does not tell its pool and its context")
        }
        let configuration = try ModelConfiguration(Checkpoint(directory: directory))
        let plan = MemoryPlanner(configuration, format: weights, kv: kv).plan(maxRows: maxBatchTokens)
        let sizes = (try await admin.adapters()["adapters"]?.array ?? []).compactMap { entry in
            entry["name"]?.string.flatMap { name in entry["bytes"]?.int.map { (name, ($0 + pageBytes - 1) / pageBytes) } }
        }
        let machine = RecordedMachine(
            pages: pages, pageBytes: pageBytes, blockTokens: plan.blockTokens, contextLength: context, running: min(maxRunning, maxBatchTokens),
            stepTokens: maxBatchTokens, adapterPages: sizes.map(\.1))
        return (machine, sizes.map(\.0))
    }
}

extension KVElement: ExpressibleByArgument {}
