// Small runs with random everything: what the proofs are made over.
//
// Each is a storm of its own: a pool that is mostly too small, a few tenants of different kinds, adapters that change, disks that are slow or fail, clients that go away.

import BerthCore
import BerthEngine
import BerthMemory

extension Scenario {
    /// The scenario of a seed: about `requests` requests.
    public static func random(seed: UInt64, requests: Int = 16) -> Scenario {
        var random = RandomSource(seed: mix(seed ^ 0x5CE7A810))
        var scenario = Scenario()
        scenario.machine = .random(&random)
        scenario.meanOutput = Double.random(in: 3...40, using: &random)
        if Int.random(in: 0..<4, using: &random) > 0 { scenario.adapters = AdapterPopulation(count: Int.random(in: 1...6, using: &random), pages: 1...Int.random(in: 1...4, using: &random)) }
        if Int.random(in: 0..<5, using: &random) == 0 { scenario.addExperts(&random) }
        // Ten steps or a thousand: from a crowd to a trickle.
        scenario.seconds = scenario.machine.costs.passes.nanoseconds(rows: 1) / 1e9 * [10, 100, 1000].randomElement(using: &random)!
        scenario.machine.configuration.admissionRule = AdmissionRule.allCases.randomElement(using: &random)!
        let tenants = Int.random(in: 1...3, using: &random)
        for index in 0..<tenants { scenario.tenants.append(.random(index, of: tenants, requests: requests, scenario, &random)) }
        if Bool.random(using: &random) {
            scenario.faults.reloadSeconds = scenario.seconds / Double.random(in: 1...8, using: &random)
            scenario.faults.removalChance = [0, 0.3].randomElement(using: &random)!
        }
        if Int.random(in: 0..<6, using: &random) == 0 { scenario.faults.pinSeconds = scenario.seconds / 4 }
        scenario.drawPriorities(seed: seed)
        scenario.moveMemory(&random)
        return scenario
    }

    /// Tenants that all have more to do than there are places, for long enough that unequal shares add up: `requests` of each.
    public static func flood(seed: UInt64, requests: Int = 120) -> Scenario {
        var random = RandomSource(seed: mix(seed ^ 0xF100D))
        var scenario = Scenario()
        scenario.machine = .random(&random)
        scenario.machine.pages = Int.random(in: 10...14, using: &random)
        scenario.machine.configuration.runningRequests = Int.random(in: 2...5, using: &random)
        scenario.machine.configuration.stepLogits = 16
        scenario.machine.configuration.queuedRequests = Limits.queuedRequests
        scenario.seconds = 1e6
        let areOpposite = Bool.random(using: &random)
        for index in 0..<Int.random(in: 2...3, using: &random) {
            let depth = scenario.machine.configuration.runningRequests + Int.random(in: 1...12, using: &random)
            var load = TenantLoad(TenantName("t\(index)")!, .clients(count: depth, thinking: 0))
            load.mostRequests = requests
            // A latecomer has no claim to what it did not ask for.
            if index > 0, Bool.random(using: &random) { load.begins = Double.random(in: 5...40, using: &random) }
            load.policy.weight = [1, 1, 2, 3].randomElement(using: &random)!
            load.prompt = .uniform(1...Int.random(in: 4...50, using: &random))
            load.output = .uniform(1...Int.random(in: 4...50, using: &random))
            // Some requests that take most of the pool, among many that take little.
            if Bool.random(using: &random) { load.prompt = .skewed(median: 8, most: 150) }
            // What the first asks for in prompts the others do in outputs: both are service.
            if areOpposite { (load.prompt, load.output) = index == 0 ? (.uniform(40...80), .uniform(1...4)) : (.uniform(1...4), .uniform(20...40)) }
            load.endsAtEndToken = Bool.random(using: &random)
            load.cancelShare = [0, 0.1].randomElement(using: &random)!
            scenario.tenants.append(load)
        }
        scenario.drawPriorities(seed: seed)
        // These go on for long after `seconds` would have ended in a storm.
        scenario.moveMemory(&random, every: 20)
        return scenario
    }

    /// A tenant with about as many streams as there are places, and others who ask for little now and then: steps are left for them.
    static func crowd(seed: UInt64) -> Scenario {
        var random = RandomSource(seed: mix(seed ^ 0xC503D))
        var scenario = Scenario()
        scenario.machine = .random(&random)
        scenario.machine.pages = Int.random(in: 30...80, using: &random)
        scenario.machine.stepPieces = [4, 8, 16].randomElement(using: &random)!
        scenario.machine.configuration.runningRequests = Int.random(in: 9...16, using: &random)
        scenario.machine.configuration.stepLogits = 16
        scenario.machine.configuration.stepTokens = Int.random(in: 32...96, using: &random)
        scenario.machine.configuration.queuedRequests = Limits.queuedRequests
        scenario.machine.configuration.admissionRule = AdmissionRule.allCases.randomElement(using: &random)!
        if Bool.random(using: &random) {
            // Weights that take long to read, so that another pass is dear.
            scenario.machine.costs.passes = CostTable([.init(rows: 1, nanoseconds: 80e6), .init(rows: 16, nanoseconds: 230e6), .init(rows: 96, nanoseconds: 1.03e9)])
        }
        scenario.seconds = scenario.machine.costs.passes.nanoseconds(rows: 16) / 1e9 * Double.random(in: 30...80, using: &random)
        var many = TenantLoad(TenantName("t0")!, .clients(count: scenario.machine.configuration.runningRequests + Int.random(in: -1...4, using: &random), thinking: 0))
        many.mostRequests = 48
        (many.prompt, many.output) = (.uniform(1...20), .uniform(10...60))
        many.endsAtEndToken = Bool.random(using: &random)
        many.cancelShare = [0, 0.1].randomElement(using: &random)!
        many.cancelSeconds = scenario.seconds / 10
        scenario.tenants = [many]
        for index in 1...Int.random(in: 1...3, using: &random) {
            var few = TenantLoad(TenantName("t\(index)")!, .poisson(rate: Double.random(in: 4...40, using: &random) / scenario.seconds))
            (few.prompt, few.output) = (.uniform(1...scenario.machine.configuration.stepTokens / 3), .uniform(1...Int.random(in: 1...12, using: &random)))
            few.mostRequests = 40
            few.policy.weight = [1, 1, 2].randomElement(using: &random)!
            few.cancelShare = [0, 0.2].randomElement(using: &random)!
            few.cancelSeconds = scenario.seconds / 50
            // One that asks again at once: as much as may be had of the others' steps.
            if Bool.random(using: &random) {
                (few.arrivals, few.mostRequests, few.cancelShare) = (.clients(count: 1, thinking: 0), 60, 0)
                (few.prompt, few.output) = (.uniform(1...8), .fixed(1))
            }
            // One that may have so few running that its newcomers must wait though there is room for them.
            if Int.random(in: 0..<3, using: &random) == 0 { few.policy.maxRunning = 1 }
            scenario.tenants.append(few)
        }
        if Bool.random(using: &random) {
            scenario.adapters = AdapterPopulation(count: 3, pages: 1...2)
            for index in scenario.tenants.indices { (scenario.tenants[index].adapterShare, scenario.tenants[index].adapters) = (0.5, 0..<3) }
            scenario.faults.reloadSeconds = scenario.seconds / 4
        }
        scenario.moveMemory(&random)
        scenario.drawPriorities(seed: seed)
        return scenario
    }

    /// A tenant whose requests take most of the pool, beside others with a few small streams that come again at once: what these leave free never comes to what it wants, and none of
    /// them holds enough to have to make way. So it gets its pages only where they are kept for it until there are as many.
    static func largeAmongSmall(seed: UInt64) -> Scenario {
        var random = RandomSource(seed: mix(seed ^ 0x1A26E))
        var scenario = Scenario()
        scenario.machine = .random(&random)
        scenario.machine.pages = Int.random(in: 15...17, using: &random)
        scenario.machine.configuration.runningRequests = 16
        scenario.machine.configuration.stepLogits = 16
        scenario.machine.configuration.stepTokens = Int.random(in: 16...96, using: &random)
        scenario.machine.configuration.queuedRequests = Limits.queuedRequests
        scenario.machine.configuration.admissionRule = AdmissionRule.allCases.randomElement(using: &random)!
        scenario.seconds = 1e6
        var large = TenantLoad(TenantName("t0")!, .clients(count: 1, thinking: 0))
        (large.prompt, large.output, large.mostRequests) = (.uniform(165...180), .uniform(1...20), 12)
        scenario.tenants = [large]
        let others = Int.random(in: 1...3, using: &random)
        for index in 1...others {
            var small = TenantLoad(TenantName("t\(index)")!, .clients(count: others == 1 ? 5 : 6 / others, thinking: 0))
            (small.prompt, small.output) = (.uniform(6...20), .uniform(12...28))
            (small.endsAtEndToken, small.mostRequests) = (false, 240 / others)
            scenario.tenants.append(small)
        }
        return scenario
    }

    /// In some of the runs the pool's limit moves, in some the machine gets short of memory.
    private mutating func moveMemory(_ random: inout RandomSource, every seconds: Double? = nil) {
        if Int.random(in: 0..<3, using: &random) == 0 {
            faults.limitSeconds = seconds ?? self.seconds / Double.random(in: 1...8, using: &random)
            let least = max(leastPages, machine.pages / 3)
            faults.limitPages = least...max(least, machine.pages * 3 / 2)
        }
        if Int.random(in: 0..<3, using: &random) == 0 { faults.pressureSeconds = seconds.map { $0 / 4 } ?? self.seconds / Double.random(in: 4...32, using: &random) }
    }

    /// In half of the runs some tenants' requests are not all as urgent. Drawn from a source of its own: everything else is as without.
    private mutating func drawPriorities(seed: UInt64) {
        var random = RandomSource(seed: mix(seed ^ 0x9210_2171))
        guard Bool.random(using: &random) else { return }
        machine.configuration.overtakings = [1, 2, 3, Limits.overtakings].randomElement(using: &random)!
        for index in tenants.indices { tenants[index].priorities = [[0], [0, 1], [0, 0, 0, 5], [-1, 5, 5, 5], [-1000, -1, 0, 1, 1000]].randomElement(using: &random)! }
    }

    private mutating func addExperts(_ random: inout RandomSource) {
        var routing = ExpertRouting()
        routing.layers = Int.random(in: 1...3, using: &random)
        routing.experts = Int.random(in: 4...12, using: &random)
        routing.chosen = Int.random(in: 1...2, using: &random)
        self.routing = routing
        machine.expertPages = Int.random(in: 1...2, using: &random)
        let all = routing.layers * routing.experts * machine.expertPages
        machine.pages += max(machine.expertShare(routing).floorPages, all / Int.random(in: 1...4, using: &random))
        if Bool.random(using: &random) { machine.mostExpertPages = max(1, all / 2) }
        // Two steps of the disk for each of the model.
        machine.disk.bytesPerSecond = Double(machine.pageBytes * machine.expertPages) / machine.costs.passes.nanoseconds(rows: 1) * 1e9 * 8
    }
}

extension SimulatedMachine {
    fileprivate static func random(_ random: inout RandomSource) -> SimulatedMachine {
        var machine = SimulatedMachine()
        // From what hardly holds the longest request to what holds most of them.
        machine.pages = Int.random(in: Bool.random(using: &random) ? 10...18 : 18...48, using: &random)
        machine.contextLength = 200
        var configuration = EngineConfiguration()
        configuration.stepTokens = Int.random(in: 4...96, using: &random)
        configuration.runningRequests = Int.random(in: 1...16, using: &random)
        configuration.stepLogits = Int.random(in: 1...16, using: &random)
        configuration.adapterReads = Int.random(in: 1...3, using: &random)
        if Int.random(in: 0..<8, using: &random) == 0 { configuration.queuedRequests = 8 }
        machine.configuration = configuration
        machine.stepPieces = [1, 4, 16].randomElement(using: &random)!
        // Sometimes the disk is much slower than a step, sometimes much faster.
        machine.disk.bytesPerSecond = Double(machine.pageBytes) * [20, 200, 20_000].randomElement(using: &random)!
        machine.disk.errorChance = [0, 0, 0.02, 0.2].randomElement(using: &random)!
        machine.disk.delayChance = [0, 0.1].randomElement(using: &random)!
        machine.disk.delay = 0.5e9
        return machine
    }
}

extension TenantLoad {
    fileprivate static func random(_ index: Int, of tenants: Int, requests: Int, _ scenario: Scenario, _ random: inout RandomSource) -> TenantLoad {
        let rate = Double(requests) / Double(tenants) / scenario.seconds
        let arrivals: [Arrivals] = [
            .poisson(rate: rate), .gamma(rate: rate, shape: 0.2), .onOff(rate: 4 * rate, on: scenario.seconds / 8, off: scenario.seconds / 8 * 3),
            .diurnal(rate: rate, period: scenario.seconds, depth: 0.9), .together(count: requests / tenants), .clients(count: 4, thinking: scenario.seconds / 20),
        ]
        var load = TenantLoad(TenantName("t\(index)")!, arrivals.randomElement(using: &random)!)
        load.mostRequests = requests / tenants * 2
        load.policy.weight = [1, 1, 2].randomElement(using: &random)!
        load.prompt = [.uniform(1...12), .uniform(1...60), .skewed(median: 12, most: 90)].randomElement(using: &random)!
        load.output = [.uniform(1...12), .uniform(1...40), .skewed(median: 10, most: 80)].randomElement(using: &random)!
        load.endsAtEndToken = Bool.random(using: &random)
        if scenario.adapters.count > 0 {
            load.adapterShare = [0, 0.6, 1].randomElement(using: &random)!
            load.adapters = 0..<scenario.adapters.count
            load.zipf = Double.random(in: 0...1.5, using: &random)
        }
        if Int.random(in: 0..<3, using: &random) == 0 { (load.prefixes, load.prefixTokens) = (2, Int.random(in: 8...40, using: &random)) }
        load.bulkShare = [0, 0, 0.4, 1].randomElement(using: &random)!
        load.cancelShare = [0, 0.15].randomElement(using: &random)!
        load.cancelSeconds = scenario.seconds / 10
        load.deadlineShare = [0, 0, 0.3].randomElement(using: &random)!
        load.deadlineSeconds = scenario.seconds * Double.random(in: 0.05...2, using: &random)
        if Int.random(in: 0..<8, using: &random) == 0 { load.policy.firstTokenObjective = UInt64(scenario.seconds * 0.5e9) }
        if Int.random(in: 0..<8, using: &random) == 0 { load.policy.maxRunning = Int.random(in: 1...3, using: &random) }
        if Int.random(in: 0..<8, using: &random) == 0 { load.policy.kv = PoolShare(floorPages: Int.random(in: 0...2, using: &random), ceilingPages: Int.random(in: 4...9, using: &random)) }
        return load
    }
}
