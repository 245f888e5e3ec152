// The daemon that served a recording, as far as the simulator has to know it.

import BerthCore

public struct RecordedMachine: Sendable, Equatable {
    /// The pool.
    public var pages: Int
    public var pageBytes: Int
    public var blockTokens: Int
    public var contextLength: Int
    /// Requests in one step, and rows.
    public var running: Int
    public var stepTokens: Int
    /// By number: the pages that each adapter takes.
    public var adapterPages: [Int]

    public init(pages: Int, pageBytes: Int, blockTokens: Int, contextLength: Int, running: Int, stepTokens: Int, adapterPages: [Int] = []) {
        self.pages = pages
        self.pageBytes = pageBytes
        self.blockTokens = blockTokens
        self.contextLength = contextLength
        self.running = running
        self.stepTokens = stepTokens
        self.adapterPages = adapterPages
    }

    /// The same machine without anybody who asks.
    public func scenario(costs: StepCosts) -> Scenario {
        var scenario = Scenario()
        scenario.machine.pages = pages
        scenario.machine.pageBytes = pageBytes
        scenario.machine.blockTokens = blockTokens
        scenario.machine.contextLength = contextLength
        scenario.machine.configuration.runningRequests = running
        scenario.machine.configuration.stepLogits = running
        scenario.machine.configuration.stepTokens = stepTokens
        scenario.machine.costs = costs
        if let least = adapterPages.min(), let most = adapterPages.max() { scenario.adapters = AdapterPopulation(count: adapterPages.count, pages: least...most) }
        return scenario
    }

    /// What serves a recording again.
    public func scenario(replaying recording: Recording, costs: StepCosts) -> Scenario {
        var scenario = scenario(costs: costs)
        scenario.recording = recording
        scenario.tenants = [TenantLoad(TenantName("recorded")!, .together(count: 0))]
        return scenario
    }
}
