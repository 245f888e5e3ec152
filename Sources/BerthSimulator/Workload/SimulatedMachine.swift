// The machine of a simulation: its memory, its costs, its disk.

import BerthEngine
import BerthMemory

public struct SimulatedMachine: Sendable {
    /// The pool's pages, and the bytes that one has on that machine. The arena has 4 KiB for each, whatever it stands for.
    public var pages = 64
    public var pageBytes = 1 << 20
    /// Tokens whose keys and values a page holds.
    public var blockTokens = 16
    public var contextLength = 240
    public var configuration = EngineConfiguration()
    public var costs = StepCosts()
    public var disk = DiskProfile()
    /// Threads that read adapters.
    public var adapterReaders = 2
    /// Pages of one expert, where the model has them; and the most that all of them may take.
    public var expertPages = 1
    public var mostExpertPages = Int.max
    /// Pieces of a step between which the engine looks whether somebody has come for whom the step is left. With experts there is one for each layer.
    public var stepPieces = 8

    public init() {}

    /// Of a page: their records must fit one of the arena's.
    public static let mostBlockTokens = 48

    /// What experts may have of the pool, as the daemon has it: at least what a step of one row needs.
    func expertShare(_ routing: ExpertRouting?) -> PoolShare {
        guard let routing else { return PoolShare() }
        let least = ExpertSupply.leastResident(chosen: routing.chosen, count: routing.layers * routing.experts) * expertPages
        return PoolShare(floorPages: least, ceilingPages: max(least, mostExpertPages))
    }
}

/// The adapters that there are. Each has its own size, by its number and the seed.
public struct AdapterPopulation: Sendable {
    public var count = 0
    public var pages = 1...1

    public init(count: Int = 0, pages: ClosedRange<Int> = 1...1) {
        self.count = count
        self.pages = pages
    }
}

/// What goes wrong, beside what the disk does.
public struct Faults: Sendable {
    /// Seconds between two changes of some adapter's files, on average; 0 is never. A part of them removes the adapter instead, and brings it back later.
    public var reloadSeconds = 0.0
    public var removalChance = 0.0
    /// Seconds between two pinnings or unpinnings of the first adapter, on average; 0 is never.
    public var pinSeconds = 0.0
    /// Seconds between two moves of the pool's limit, on average; 0 is never. Each is to as many pages of these, the one as likely as the other.
    public var limitSeconds = 0.0
    public var limitPages = 1...1
    /// Seconds between two words on how short of memory the machine is, on average; 0 is never.
    public var pressureSeconds = 0.0

    public init() {}
}

/// All that a run depends on beside its seed.
public struct Scenario: Sendable {
    public var machine = SimulatedMachine()
    public var adapters = AdapterPopulation()
    /// Where a model has experts on disk.
    public var routing: ExpertRouting?
    /// Tokens of an output before its end token, on average.
    public var meanOutput = 24.0
    public var tenants: [TenantLoad] = []
    /// Requests of the first tenant, beside those of its load.
    public var recording: Recording?
    public var faults = Faults()
    /// For so long new requests come.
    public var seconds = 10.0

    public init() {}

    /// The most that the pool's limit may become.
    var mostPages: Int { faults.limitSeconds > 0 ? max(machine.pages, faults.limitPages.upperBound) : machine.pages }

    /// Tokens that running requests can have at a time.
    var heldTokens: Int { min(mostPages * machine.blockTokens, machine.configuration.runningRequests * machine.contextLength) }

    /// What the pool keeps for requests and experts beside what is pinned.
    var leastPages: Int { machine.expertShare(routing).floorPages + Self.leastRequestPages }
    private static let leastRequestPages = 2
}
