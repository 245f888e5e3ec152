// What a capacity question asks: a machine, its adapters or experts, and who comes.

import ArgumentParser
import BerthCore
import BerthSimulator

extension ByteSize: ExpressibleByArgument {
    public init?(argument: String) { self.init(argument) }
}

struct CapacityOptions: ParsableArguments {
    @Option(help: "Memory of the pool; asking for it plays a machine instead of a random run.") var memory: ByteSize?
    @Option(help: "A page of the pool.") var page = ByteSize(bytes: 1 << 20)
    @Option(help: "Tokens whose keys and values a page holds.") var blockTokens = 32
    @Option(help: "Longest context in tokens.") var context = 4096
    @Option(help: "Costs of steps, as calibrate writes them; without it those of a 1B model at 8 bits on two cores.") var costs: String?
    @Option(help: "Bytes per second of the disk.") var disk = ByteSize(bytes: 1_000_000_000)
    @Option(help: "Adapters.") var adapters = 0
    @Option(help: "Bytes of an adapter.") var adapterSize = ByteSize(bytes: 24 << 20)
    @Option(help: "Exponent of Zipf's law by which adapters are asked for.") var zipf = 1.0
    @Option(help: "Layers with experts on disk, experts of each, and choices of a row: 48x128x8.") var experts: String?
    @Option(help: "Bytes of an expert.") var expertSize = ByteSize(bytes: 8 << 20)
    @Option(help: "Tenants.") var tenants = 4
    @Option(help: "Requests per second of all tenants together.") var rate = 1.0
    @Option(help: "How they come: poisson, bursts, onoff, diurnal, together, clients. The last two take --rate as a number of requests or clients.") var arrivals = "poisson"
    @Option(help: "The first tenant asks for so many times as much as another.") var flood = 1.0
    @Option(help: "Tokens of a prompt, in the middle.") var prompt = 200
    @Option(help: "Tokens of an output, in the middle.") var output = 100
    @Flag(help: "All prompts and outputs have the same length.") var fixed = false
    @Option(help: "For so many seconds requests come.") var seconds = 600.0
    @Option(help: "Requests that run at a time, at most.") var running = 64

    func validate() throws {
        guard page.bytes >= 4096, blockTokens > 0, blockTokens % 16 == 0, blockTokens <= SimulatedMachine.mostBlockTokens, (1...1 << 20).contains(context) else {
            throw ValidationError("pages hold 16 to \(SimulatedMachine.mostBlockTokens) tokens, a multiple of 16, in at least 4K")
        }
        guard adapters >= 0, adapters <= Limits.registeredAdapters, (1...256).contains(tenants), rate > 0, rate < 1e6, flood > 0, seconds > 0, seconds < 1e7, running > 0, running <= 4096, prompt > 0, output > 0, zipf >= 0
        else { throw ValidationError("numbers must be positive, and adapters at most \(Limits.registeredAdapters)") }
        if experts != nil, shape == nil { throw ValidationError("--experts is LAYERSxEXPERTSxCHOSEN, as in 48x128x8") }
        guard arrivals == "clients" || arrivals == "together" || tenantArrivals(rate: 1) != nil else { throw ValidationError("no such arrivals: \(arrivals)") }
        if let memory, memory.bytes < 8 * page.bytes || memory.bytes / page.bytes > 1 << 24 { throw ValidationError("the memory is no sensible number of pages") }
        guard disk.bytes > 0, adapterSize.bytes > 0, expertSize.bytes > 0 else { throw ValidationError("sizes must be positive") }
    }

    private var shape: (layers: Int, experts: Int, chosen: Int)? {
        let parts = (experts ?? "").split(separator: "x").map { Int($0) }
        guard parts.count == 3, let layers = parts[0], let count = parts[1], let chosen = parts[2], (1...Limits.modelLayers).contains(layers),
            (1...Limits.expertsPerLayer).contains(count), (1...min(count, Limits.chosenExperts)).contains(chosen)
        else { return nil }
        return (layers, count, chosen)
    }

    private func tenantArrivals(rate: Double) -> Arrivals? {
        switch arrivals {
        case "poisson": .poisson(rate: rate)
        case "bursts": .gamma(rate: rate, shape: 0.2)
        case "onoff": .onOff(rate: 4 * rate, on: seconds / 40, off: seconds / 40 * 3)
        case "diurnal": .diurnal(rate: rate, period: seconds, depth: 0.8)
        case "together": .together(count: max(1, Int(rate)))
        case "clients": .clients(count: max(1, Int(rate)), thinking: 0)
        default: nil
        }
    }

    /// The scenario on a machine of so much memory.
    func scenario(memory: ByteSize) throws -> Scenario {
        var scenario = Scenario()
        scenario.machine.pageBytes = page.bytes
        scenario.machine.pages = memory.bytes / page.bytes
        scenario.machine.blockTokens = blockTokens
        scenario.machine.contextLength = context
        scenario.machine.disk.bytesPerSecond = Double(disk.bytes)
        scenario.machine.configuration.runningRequests = running
        scenario.machine.configuration.stepLogits = max(running, scenario.machine.configuration.stepLogits)
        if let costs { scenario.machine.costs = try StepCosts(json: TextFile.json(costs)) }
        if adapters > 0 {
            let pages = (adapterSize.bytes + page.bytes - 1) / page.bytes
            scenario.adapters = AdapterPopulation(count: adapters, pages: pages...pages)
        }
        if let shape {
            var routing = ExpertRouting()
            (routing.layers, routing.experts, routing.chosen) = (shape.layers, shape.experts, shape.chosen)
            routing.topicExperts = max(shape.chosen, shape.experts / 6)
            scenario.routing = routing
            scenario.machine.expertPages = (expertSize.bytes + page.bytes - 1) / page.bytes
        }
        scenario.seconds = seconds
        let unit = rate / (flood + Double(tenants - 1))
        for index in 0..<tenants {
            var load = TenantLoad(TenantName("tenant-\(index + 1)")!, tenantArrivals(rate: index == 0 ? unit * flood : unit)!)
            load.prompt = fixed ? .fixed(prompt) : .skewed(median: prompt, most: context / 2)
            load.output = fixed ? .fixed(output) : .skewed(median: output, most: context / 2)
            load.endsAtEndToken = false
            if adapters > 0 { (load.adapterShare, load.adapters, load.zipf) = (1, 0..<adapters, zipf) }
            scenario.tenants.append(load)
        }
        return scenario
    }
}
