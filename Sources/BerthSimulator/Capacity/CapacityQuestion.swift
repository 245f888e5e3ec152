// What somebody wants to know: how many machines, of how much memory, for a model and a load.

import BerthCore
import BerthEngine

/// The load, the model and what steps of it cost. What may be bought is in `MachineOffer`. A pure value.
public struct CapacityQuestion: Sendable {
    public var shape: ModelShape
    /// On the machines that may be bought.
    public var costs = StepCosts()
    public var contextLength = 4096
    /// Requests of one step, at most.
    public var running = 64

    /// Requests per second, of tenants who ask alike.
    public var rate = 1.0
    public var tenants = 4
    public var prompt = Lengths.skewed(median: 200, most: 2048)
    public var output = Lengths.skewed(median: 100, most: 2048)
    /// Adapters of this rank, asked for by Zipf's law with this exponent.
    public var adapters = 0
    public var rank = 16
    public var zipf = 1.0

    public var objective = ServiceObjective()
    public var seed: UInt64 = 1
    /// Requests that a machine is played for, at least; at high rates as many as come in `longRun` times the time to the first token, so that a queue that
    /// grows is seen.
    public var played = 200
    /// A greatest rate is found to this part of it.
    public var tolerance = 0.05
    /// Of a mixture, layers that are played for all, about: see `PlayedLayers`.
    public var playedLayers = 4

    public init(shape: ModelShape) { self.shape = shape }

    public var popularity: [Double] { ZipfChoice.weights(count: adapters, exponent: zipf) }
}

/// A machine that may be bought, and what it meets.
public struct MachineOffer: Sendable, Equatable {
    public var memory: Int
    public var layout: PoolLayout
    /// Bytes per second of the disk.
    public var disk: Double
    /// Where the model is a mixture: the chance of a choice to be one of the topic's experts.
    public var consistency = 0.0
    public var router = RequestRouter.turn

    public init(memory: Int, layout: PoolLayout, disk: Double) {
        self.memory = memory
        self.layout = layout
        self.disk = disk
    }
}

/// Layers of a mixture that are played for all of them. Layers are alike, so that a few stand for all: each of their experts is as large, as slow to read and as long
/// to compute as those of the layers that it stands for, and in a cache there is room for the same part of them.
/// Pages are larger, too, where there are very many: a page is then several of the daemon's.
struct PlayedLayers: Equatable {
    let layers: Int
    let expertPages: Int
    let layout: PoolLayout
    /// Layers for each that is played.
    let scale: Double

    /// As few as possible from `few` on, among those whose experts are whole pages up to 1 %, else those that are next to it.
    init(_ experts: ModelShape.Experts, pages: Int, _ layout: PoolLayout, few: Int) {
        let together = layout.pages > Self.manyPages ? max(1, Self.largeBlock / layout.blockTokens) : 1
        self.layout = PoolLayout(
            pages: layout.pages / together, pageBytes: layout.pageBytes * together, blockTokens: layout.blockTokens * together, stepTokens: layout.stepTokens)
        let all = experts.layers, total = Double(pages * all) / Double(together)
        func rounded(_ layers: Int) -> Int { max(1, Int((total / Double(layers)).rounded())) }
        func error(_ layers: Int) -> Double { abs(Double(layers * rounded(layers)) / total - 1) }
        let candidates = Array(min(few, all)...min(2 * few, all))
        layers = candidates.first { error($0) <= 0.01 } ?? candidates.min { error($0) < error($1) }!
        expertPages = rounded(layers)
        scale = Double(all) / Double(layers)
    }

    private static let (manyPages, largeBlock) = (4096, SimulatedMachine.mostBlockTokens)
}

extension CapacityQuestion {
    private static let foresight = 0.8

    func routing(_ offer: MachineOffer) -> (routing: ExpertRouting, played: PlayedLayers)? {
        guard let experts = shape.experts, let pages = offer.layout.expertPages else { return nil }
        let played = PlayedLayers(experts, pages: pages, offer.layout, few: playedLayers)
        var routing = ExpertRouting()
        (routing.layers, routing.experts, routing.chosen) = (played.layers, experts.count, experts.chosen)
        (routing.consistency, routing.foresight) = (offer.consistency, Self.foresight)
        // A sixth of a layer's experts, as those of our bench trace.
        routing.topicExperts = max(experts.chosen, experts.count / 6)
        return (routing, played)
    }

    /// Requests of a trial that come, on average; and late ones from which on it does not meet the objective however many come, by three deviations.
    private func expected(rate: Double) -> Double { max(Double(played), Self.longRun * objective.firstToken * rate) }
    func mostLate(rate: Double) -> Double { (1 - objective.requests) * (expected(rate: rate) + 3 * expected(rate: rate).squareRoot()) }

    /// One machine with its share of the load, from a moment on at which it has in memory what it will mostly have. Returns that moment, in seconds.
    func scenario(_ offer: MachineOffer, _ share: LoadShare, rate: Double) -> (scenario: Scenario, begins: Double) {
        var scenario = Scenario()
        var machine = SimulatedMachine()
        (machine.pages, machine.pageBytes, machine.blockTokens) = (offer.layout.pages, offer.layout.pageBytes, offer.layout.blockTokens)
        (machine.contextLength, machine.costs) = (contextLength, costs)
        machine.disk.bytesPerSecond = offer.disk
        machine.configuration.runningRequests = running
        machine.configuration.stepTokens = offer.layout.stepTokens
        machine.configuration.stepLogits = max(running, machine.configuration.stepLogits)
        machine.configuration.tokenInterval = UInt64(Self.intervalShare * objective.gap * 1e9)
        if let (routing, played) = routing(offer) {
            scenario.routing = routing
            machine.expertPages = played.expertPages
            (machine.pages, machine.pageBytes, machine.blockTokens) = (played.layout.pages, played.layout.pageBytes, played.layout.blockTokens)
            machine.costs.expert *= played.scale
            machine.costs.expertRow *= played.scale
        }
        var load = TenantLoad(TenantName("tenant")!, .poisson(rate: rate / Double(tenants)))
        (load.prompt, load.output, load.endsAtEndToken) = (prompt, output, false)
        if !share.popularity.isEmpty {
            let pages = offer.layout.pages(ofBytes: shape.adapterBytes(rank: rank))
            scenario.adapters = AdapterPopulation(count: share.popularity.count, pages: pages...pages)
            (load.adapterShare, load.adapters, load.popularity) = (1, share.popularity.indices, share.popularity)
        }
        scenario.machine = machine
        let warming = warming(scenario, share)
        load.begins = warming.seconds
        scenario.seconds = warming.seconds + expected(rate: rate) / rate
        for tenant in 0..<tenants {
            load.name = TenantName("tenant-\(tenant + 1)")!
            scenario.tenants.append(load)
        }
        scenario.tenants.append(warming.load)
        return (scenario, warming.seconds)
    }

    static let longRun = 10.0

    /// The daemon's target between two tokens, as a part of the objective: what is over is for steps that take longer than foreseen.
    private static let intervalShare = 0.6

    /// Requests that bring into memory what it will mostly hold: the adapters that are asked for most, in the order of rising popularity, or experts. And
    /// surely enough time for them; that nothing happens in the rest of it costs nothing.
    private func warming(_ scenario: Scenario, _ share: LoadShare) -> (load: TenantLoad, seconds: Double) {
        let machine = scenario.machine, clients = 8
        var load = TenantLoad(TenantName("warming")!, .clients(count: clients, thinking: 0))
        (load.output, load.endsAtEndToken) = (.fixed(4), false)
        let step = machine.costs.passes.nanoseconds(rows: clients) / 1e9 + Double(clients) * (machine.costs.adapter + 16 * machine.costs.adapterRow) / 1e9
        var seconds = 1 + 100 * step
        if !share.popularity.isEmpty {
            let room = machine.pages / scenario.adapters.pages.upperBound
            load.adaptersInTurn = share.popularity.indices.sorted { share.popularity[$0] > share.popularity[$1] }.prefix(max(1, room)).reversed()
            (load.mostRequests, load.prompt, load.output) = (load.adaptersInTurn.count, .fixed(4), .fixed(1))
            let read = Double(scenario.adapters.pages.upperBound * machine.pageBytes) / machine.disk.bytesPerSecond + machine.disk.latency * 2e-9
            seconds += Double(load.mostRequests) * 2 * (read + 2 * step)
        } else {
            (load.mostRequests, load.prompt) = (2 * clients, prompt)
            if let routing = scenario.routing {
                let all = Double(routing.layers * routing.experts)
                let each = Double(machine.expertPages * machine.pageBytes) / machine.disk.bytesPerSecond + machine.costs.expert / 1e9
                seconds += 100 * all * each
            }
        }
        return (load, seconds)
    }
}
