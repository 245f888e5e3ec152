// Questions of capacity whose answers are known, or known to be bounded.

import BerthCore
import BerthModels
import Testing

@testable import BerthSimulator

@Suite struct CapacityTests {
    private static let dense: JSON = [
        "architectures": ["LlamaForCausalLM"], "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 4, "num_attention_heads": 4, "vocab_size": 1000,
    ]
    private static let mixture: JSON = [
        "architectures": ["Qwen3MoeForCausalLM"], "hidden_size": 64, "moe_intermediate_size": 64, "num_hidden_layers": 8, "num_attention_heads": 4, "num_key_value_heads": 4,
        "head_dim": 16, "num_experts": 32, "num_experts_per_tok": 4, "vocab_size": 1000,
    ]

    private static func shape(_ config: JSON) throws -> ModelShape { ModelShape(try ModelConfiguration(config: config), format: .int8) }

    /// Every step takes 10 ms, whatever is in it; four requests run at a time.
    private static func question(_ config: JSON = dense) throws -> CapacityQuestion {
        var question = CapacityQuestion(shape: try shape(config))
        var costs = StepCosts()
        (costs.passes, costs.logits) = (CostTable([.init(rows: 1, nanoseconds: 10e6), .init(rows: 512, nanoseconds: 10e6)]), CostTable([.init(rows: 1, nanoseconds: 0)]))
        for price in [\StepCosts.attendedByPrompt, \.attendedByStream, \.sequence, \.adapter, \.adapterRow, \.step, \.request] { costs[keyPath: price] = 0 }
        (costs.expert, costs.expertRow) = (20_000, 1000)
        (question.costs, question.contextLength, question.running, question.tenants) = (costs, 512, 4, 2)
        (question.prompt, question.output) = (.fixed(16), .fixed(11))
        (question.objective.firstToken, question.objective.gap) = (0.5, 0.1)
        question.played = 300
        return question
    }

    private static func offer(pages: Int, disk: Double, expertPages: Int? = nil) -> MachineOffer {
        MachineOffer(memory: pages << 20, layout: PoolLayout(pages: pages, pageBytes: 1 << 20, blockTokens: 16, stepTokens: 512, expertPages: expertPages), disk: disk)
    }

    /// Adapters of a page, which is a MiB.
    private static func adapters() throws -> CapacityQuestion {
        var question = try question()
        (question.adapters, question.rank, question.zipf, question.played) = (150, 1, 0.8, 120)
        return question
    }

    /// Four streams of eleven steps of 10 ms: 4 / 0.11 s.
    @Test func theSearchFindsWhatIsKnown() throws {
        var question = try Self.question()
        question.rate = 100
        let answer = try CapacitySearch(question).answer(Self.offer(pages: 200, disk: 1e9))
        #expect((0.85...1.1).contains(answer.rate / 36.4), "\(answer.rate)")
        // By arithmetic, four streams of ten steps each, beside their prompts.
        #expect(abs(answer.bounds.weights - 40) < 0.1 && answer.bounds.disk == .infinity && answer.bounds.least == answer.bounds.weights)
        #expect(answer.machines == Int((100 / answer.rate).rounded(.up)) && answer.played == answer.machines)
        #expect(answer.outcome.meets(question.objective) && answer.use.weightSeconds / answer.use.seconds > 0.8)
        func gain(_ resource: CapacityGain.Resource) throws -> Double { try CapacitySearch(question).gain(of: answer, twice: resource, doubled: answer.offer.layout).factor }
        #expect(try gain(.bandwidth) > 1.7 && abs(gain(.disk) - 1) < 0.06)
    }

    /// Where even a lonely request is late, no number of machines helps.
    @Test func whatCannotBeIsSaid() throws {
        var question = try Self.question()
        question.objective.gap = 0.005
        let answer = try CapacitySearch(question).answer(Self.offer(pages: 200, disk: 1e9))
        #expect(answer.machines == nil && answer.rate == 0)
    }

    /// What was played never exceeds what arithmetic says, whichever resource binds, and comes near it where there is only that one.
    @Test(arguments: [0.0, 0.5, 0.9]) func boundsHold(consistency: Double) throws {
        var question = try Self.question(Self.mixture)
        (question.objective.firstToken, question.objective.gap, question.played) = (2, 0.5, 60)
        var offer = Self.offer(pages: 8 * 32 * 2 / 3 + 40, disk: 1e9, expertPages: 2)
        offer.consistency = consistency
        let answer = try CapacitySearch(question).carried(offer, LoadShare(popularity: []))
        #expect(answer.bounds.disk < answer.bounds.weights && answer.bounds.disk < answer.bounds.arithmetic)
        #expect(answer.rate > 0.1 * answer.bounds.least && answer.requestsPerSecond <= answer.bounds.least, "\(answer.requestsPerSecond) of \(answer.bounds)")
    }

    @Test func boundsHoldForAdapters() throws {
        let question = try Self.adapters()
        for pages in [40, 80, 120] {
            let answer = try CapacitySearch(question).carried(Self.offer(pages: pages, disk: 5e6), LoadShare(popularity: question.popularity))
            #expect(answer.rate > 0 && answer.requestsPerSecond <= answer.bounds.least, "\(pages): \(answer.requestsPerSecond) of \(answer.bounds)")
        }
    }

    /// More memory never needs more machines, and machines that have their own adapters are never more than such that have all.
    @Test func memoryAndAffinitySaveMachines() throws {
        var question = try Self.adapters()
        question.rate = 50
        var before: [RequestRouter: Int] = [:]
        for pages in [40, 80] {
            var machines: [RequestRouter: Int] = [:]
            for router in RequestRouter.allCases {
                var offer = Self.offer(pages: pages, disk: 5e6)
                offer.router = router
                machines[router] = try #require(CapacitySearch(question).answer(offer).machines)
                #expect(machines[router]! <= before[router] ?? .max, "\(pages) pages, \(router): \(machines[router]!)")
            }
            #expect(machines[.affinity]! <= machines[.turn]!)
            if pages == 40 { #expect(machines[.affinity]! < machines[.turn]!) }
            before = machines
        }
    }

    @Test func aSeedGivesOneAnswer() throws {
        var question = try Self.adapters()
        question.rate = 20
        func text(_ question: CapacityQuestion) throws -> String { "\(try CapacitySearch(question).answer(Self.offer(pages: 80, disk: 5e6)))" }
        let first = try text(question)
        #expect(try text(question) == first)
        question.seed = 2
        #expect(try text(question) != first)
    }

    /// A few layers of a mixture stand for all of them.
    @Test func fewLayersStandForAll() throws {
        var rates: [Double] = []
        for layers in [2, 8] {
            var question = try Self.question(Self.mixture)
            (question.objective.firstToken, question.objective.gap, question.played, question.playedLayers) = (2, 0.5, 60, layers)
            var offer = Self.offer(pages: 220, disk: 1e9, expertPages: 2)
            offer.consistency = 0.6
            rates.append(try CapacitySearch(question).carried(offer, LoadShare(popularity: [])).rate)
        }
        #expect(abs(rates[0] / rates[1] - 1) < 0.2, "\(rates)")
    }

    /// Every machine has the same load, the hottest adapter more than one, and together they have all of it.
    @Test func affinitySharesEvenly() {
        let popularity = ZipfChoice.weights(count: 500, exponent: 1.2)
        let sum = popularity.reduce(0, +)
        for machines in [1, 2, 7, 30] {
            let shares = LoadShare.shares(of: popularity, machines: machines, .affinity)
            #expect(shares.count == machines)
            for share in shares { #expect(abs(share.popularity.reduce(0, +) / sum * Double(machines) - 1) < 1e-9) }
            #expect(shares.reduce(0) { $0 + $1.popularity.count } < 500 + 2 * machines)
            #expect(LoadShare.shares(of: popularity, machines: machines, .turn).allSatisfy { $0.popularity == popularity })
        }
    }

    /// The measured model on the measured machine costs what was measured; twice the weights at the same speeds cost twice as much; twice the speeds half of it.
    @Test func costsAreExtrapolated() throws {
        let shape = try Self.shape(Self.dense), costs = StepCosts()
        #expect(costs.extrapolated(from: shape, to: shape, rank: StepCosts.measuredRank) == costs)
        var large = shape
        (large.layerWeights, large.headWeights) = (2 * shape.layerWeights, 3 * shape.headWeights)
        let twice = costs.extrapolated(from: shape, to: large, rank: 2 * StepCosts.measuredRank)
        for rows in [1, 16, 512] { #expect(abs(twice.passes.nanoseconds(rows: rows) / costs.passes.nanoseconds(rows: rows) - 2) < 1e-9) }
        #expect(abs(twice.logits.nanoseconds(rows: 8) / costs.logits.nanoseconds(rows: 8) - 3) < 1e-9 && twice.adapterRow == 2 * costs.adapterRow && twice.sequence == costs.sequence)
        let fast = costs.extrapolated(from: shape, to: shape, rank: 16, SpeedUp(bandwidth: 4, operations: 2))
        #expect(fast.passes.nanoseconds(rows: 1) == costs.passes.nanoseconds(rows: 1) / 4)
        let sped = costs.sped(SpeedUp(bandwidth: 4, operations: 2))
        #expect(fast.passes == sped.passes && fast.logits == sped.logits && fast.attendedByPrompt == sped.attendedByPrompt && fast.adapter == sped.adapter)
        let (bytes, operations) = fast.speeds(of: shape), measured = costs.speeds(of: shape)
        #expect(abs(bytes / measured.bytes - 4) < 1e-9 && abs(operations / measured.operations - 2) < 1e-9)
        // An expert is read and computed with as the layers are.
        let experts = costs.extrapolated(from: shape, to: try Self.shape(Self.mixture), rank: 16)
        let weights = 3.0 * 64 * 64
        #expect(abs(experts.expert - weights / shape.layerWeights * costs.passes.nanoseconds(rows: 1)) < 1e-6 * experts.expert)
        #expect(abs(experts.expertRow - weights / shape.layerWeights * (costs.passes.nanoseconds(rows: 512) - costs.passes.nanoseconds(rows: 1)) / 511) < 1e-6 * experts.expertRow)
    }

    /// The pool is what the model leaves of a machine's memory; a model that leaves too little does not run there.
    @Test func memoryIsDivided() throws {
        let planner = MemoryPlanner(try ModelConfiguration(config: Self.mixture), format: .int8)
        let layout = try #require(PoolLayout(planner, memory: 1 << 30))
        #expect(layout.bytes < 1 << 30 && layout.bytes > 600 << 20 && layout.expertPages != nil)
        #expect(PoolLayout(planner, memory: 200 << 20) == nil)
    }
}
