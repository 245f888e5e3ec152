// The options of a question of capacity, and the plan that they make.

import ArgumentParser
import BerthCore
import BerthModels
import BerthSimulator

/// A question, and all machines that it is asked of.
struct CapacityPlan: Sendable {
    var name: String
    var question: CapacityQuestion
    var offers: [MachineOffer]
    let planner: MemoryPlanner
    /// Where the costs come from, for people; nil where they were measured on this model and machine.
    var extrapolation: String?
    /// Memories in which the model does not run.
    var tooSmall: [ByteSize]

    func layout(_ memory: Int) -> PoolLayout? { PoolLayout(planner, memory: memory) }
}

struct CapacityQuestionOptions: ParsableArguments {
    @Argument(help: "adapters (10,000 on an 8B model), mixture (235B, 22B active), or a directory with your model's config.json. The first two set all of the following options.")
    var model: String
    @Option(help: "Weights: f32, bf16, int8, int4.") var weights: WeightFormat?
    @Option(help: "Costs of steps, as calibrate writes them; without it those of a 1B model at 8 bits on two cores.") var costs: String?
    @Option(help: "The model that --costs were measured on, a directory, where it is another one.") var costsOf: String?
    @Option(help: "The weights that --costs were measured with, where they are others.") var costsWeights: WeightFormat?
    @Option(help: "A machine's memory, comma-separated: 32G,64G.") var memory: String?
    @Option(help: "GB/s of its disk, comma-separated: 3,7.") var disks: String?
    @Option(help: "GB/s at which it reads weights; without it as the costs' machine.") var bandwidth: Double?
    @Option(help: "Thousands of millions of operations per second that its passes reach; without it as the costs' machine.") var operations: Double?
    @Option(help: "Requests per second to carry.") var rate: Double?
    @Option(help: "Tenants, who ask alike.") var tenants = 4
    @Option(help: "Adapters.") var adapters: Int?
    @Option(help: "Rank of an adapter, on all linear modules.") var rank = 16
    @Option(help: "Exponent of Zipf's law by which adapters are asked for.") var zipf = 1.0
    @Option(help: "How machines share adapters: turn (each is asked for all), affinity (each for its own); comma-separated.") var router = "turn,affinity"
    @Option(help: "Chances that a token chooses among the experts that its topic prefers, comma-separated: 0.3 is erratic, 0.6 as our bench trace, 0.9 steady.") var consistency: String?
    @Option(help: "Tokens of a prompt, in the middle.") var prompt: Int?
    @Option(help: "Tokens of an output, in the middle.") var output: Int?
    @Option(help: "Seconds to the first token.") var firstToken: Double?
    @Option(help: "Per cent of the requests that must have theirs in time.") var requestsInTime = 90.0
    @Option(help: "Seconds between two tokens.") var betweenTokens: Double?
    @Option(help: "Per cent of the tokens that must follow in time.") var tokensInTime: Double?
    @Option(help: "Requests of a step, at most.") var running = 64
    @Option(help: "Requests that a machine is played for: more is slower and less by chance.") var played: Int?
    @Option(help: "The seed.") var seed: UInt64 = 1

    private var preset: CapacityPreset { CapacityPreset.all.first { $0.name == model } ?? .own }

    private static func list<Value>(_ text: String, _ read: (String) -> Value?) -> [Value]? {
        commaSeparated(text, read).flatMap { $0.count <= 16 ? $0 : nil }
    }

    private static func numbers(_ text: String, in range: ClosedRange<Double>) -> [Double]? { list(text) { Double($0).flatMap { range.contains($0) ? $0 : nil } } }

    private var memories: [ByteSize]? { Self.list(memory ?? preset.memory) { ByteSize($0).flatMap { (1 << 20...1 << 44).contains($0.bytes) ? $0 : nil } } }
    private var diskSpeeds: [Double]? { Self.numbers(disks ?? preset.disks, in: 0.001...1000) }
    private var consistencies: [Double]? { Self.numbers(consistency ?? preset.routing, in: 0...1) }
    private var routers: [RequestRouter]? { Self.list(router) { RequestRouter(rawValue: $0) } }

    func validate() throws {
        guard memories != nil else { throw ValidationError("--memory is a list of up to 16 sizes, as in 32G,64G") }
        guard diskSpeeds != nil else { throw ValidationError("--disks is a list of up to 16 speeds in GB/s, as in 0.5,3") }
        guard consistencies != nil else { throw ValidationError("--consistency is a list of chances from 0 to 1") }
        guard routers != nil else { throw ValidationError("--router is turn, affinity or both") }
        guard (rate ?? 1) > 0, (rate ?? 1) < 1e6, (bandwidth ?? 1) > 0, (operations ?? 1) > 0, (firstToken ?? 1) > 0, (firstToken ?? 1) < 1e6, (betweenTokens ?? 1) > 0, (betweenTokens ?? 1) < 1e6
        else { throw ValidationError("rates, speeds and times must be above 0") }
        guard (0...100).contains(requestsInTime), (0...100).contains(tokensInTime ?? 99), (1...256).contains(tenants), (1...4096).contains(running) else {
            throw ValidationError("per cents are up to 100, tenants up to 256, --running up to 4096")
        }
        guard (0...Limits.registeredAdapters).contains(adapters ?? 0), (1...Limits.adapterRank).contains(rank), (0...10).contains(zipf) else {
            throw ValidationError("adapters are up to \(Limits.registeredAdapters), of ranks up to \(Limits.adapterRank)")
        }
        guard (1...1 << 20).contains(prompt ?? 1), (1...1 << 20).contains(output ?? 1), (10...100_000).contains(played ?? 10) else {
            throw ValidationError("prompts and outputs have tokens, and --played is from 10 to 100000")
        }
        if costs == nil, costsOf != nil || costsWeights != nil { throw ValidationError("--costs-of and --costs-weights say something of --costs") }
    }

    func plan() throws -> CapacityPlan {
        let preset = preset, format = weights ?? preset.weights
        let configuration = try preset.config.map { try ModelConfiguration(config: $0) } ?? Self.configuration(model)
        let shape = ModelShape(configuration, format: format), planner = MemoryPlanner(configuration, format: format)
        var question = CapacityQuestion(shape: shape)
        question.contextLength = min(4096, configuration.contextLength)
        (question.running, question.tenants, question.rate) = (running, tenants, rate ?? preset.rate)
        (question.prompt, question.output) = (lengths(prompt ?? preset.prompt, question), lengths(output ?? preset.output, question))
        (question.adapters, question.rank, question.zipf) = (adapters ?? preset.adapters, rank, zipf)
        (question.objective.firstToken, question.objective.requests) = (firstToken ?? preset.firstToken, requestsInTime / 100)
        (question.objective.gap, question.objective.tokens) = (betweenTokens ?? preset.gap, (tokensInTime ?? preset.tokensInTime) / 100)
        (question.seed, question.played) = (seed, played ?? preset.played)
        guard question.adapters == 0 || shape.experts == nil else { throw BenchError("adapters on mixtures are not played here") }
        let extrapolation = try setCosts(&question, preset)
        let sizes = memories!.sorted().map { (memory: $0, layout: PoolLayout(planner, memory: $0.bytes)) }
        return CapacityPlan(
            name: preset.config == nil ? model : preset.name, question: question, offers: sizes.flatMap { offers(question, $0.memory, $0.layout) }, planner: planner,
            extrapolation: extrapolation, tooSmall: sizes.filter { $0.layout == nil }.map(\.memory))
    }

    private func lengths(_ median: Int, _ question: CapacityQuestion) -> Lengths { .skewed(median: median, most: question.contextLength / 2) }

    private static func configuration(_ directory: String) throws -> ModelConfiguration { try ModelConfiguration(config: TextFile.json(directory + "/config.json")) }

    /// Every disk with every router or, for a mixture, every consistency.
    private func offers(_ question: CapacityQuestion, _ memory: ByteSize, _ layout: PoolLayout?) -> [MachineOffer] {
        guard let layout else { return [] }
        return diskSpeeds!.flatMap { disk in
            let offer = MachineOffer(memory: memory.bytes, layout: layout, disk: disk * 1e9)
            if question.shape.experts != nil {
                return consistencies!.map { consistency in
                    var offer = offer
                    offer.consistency = consistency
                    return offer
                }
            }
            return (question.adapters > 0 ? routers! : [.turn]).map { router in
                var offer = offer
                offer.router = router
                return offer
            }
        }
    }

    /// Returns what people should know of them.
    private func setCosts(_ question: inout CapacityQuestion, _ preset: CapacityPreset) throws -> String? {
        let measured = try costs.map { try StepCosts(json: TextFile.json($0)) } ?? StepCosts()
        let shape: ModelShape
        if costs == nil {
            shape = ModelShape(try ModelConfiguration(config: CapacityPreset.standardCosts), format: .int8)
        } else if let costsOf {
            shape = ModelShape(try Self.configuration(costsOf), format: costsWeights ?? question.shape.format)
        } else {
            guard preset.config == nil else { throw BenchError("which model were --costs measured on? Say it with --costs-of") }
            shape = ModelShape(try Self.configuration(model), format: costsWeights ?? question.shape.format)
        }
        guard shape.experts == nil else { throw BenchError("costs that were measured on a mixture do not tell its experts from the rest: calibrate a dense model") }
        let speeds = measured.speeds(of: shape)
        let speedUp = SpeedUp(bandwidth: bandwidth.or(preset.bandwidth, 1e9, speeds.bytes), operations: operations.or(preset.operations, 1e9, speeds.operations))
        question.costs = measured.extrapolated(from: shape, to: question.shape, rank: rank, speedUp)
        guard shape != question.shape || speedUp != SpeedUp() || question.adapters > 0 && rank != StepCosts.measuredRank else { return costs == nil ? "those of a 1B model on two cores" : nil }
        return "extrapolated from \(costs ?? "a 1B model on two cores") (\(giga(shape.layerWeights))G weights in its layers, \(shape.format.rawValue), read at \(giga(speeds.bytes)) GB/s, "
            + "\(giga(speeds.operations)) Gop/s) to a machine that reads weights at \(giga(speeds.bytes * speedUp.bandwidth)) GB/s and does \(giga(speeds.operations * speedUp.operations)) Gop/s"
    }
}

extension Double? {
    /// This or another number of a unit, as a multiple of what was measured; 1 where there is neither.
    fileprivate func or(_ other: Double?, _ unit: Double, _ measured: Double) -> Double { (self ?? other).map { $0 * unit / measured } ?? 1 }
}
