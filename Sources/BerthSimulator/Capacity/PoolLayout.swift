// How a machine's memory is divided, by the daemon's own rules.

import BerthCore
import BerthModels

/// The pool of a machine, and what the daemon makes of it.
public struct PoolLayout: Sendable, Equatable {
    public var pages: Int
    public var pageBytes: Int
    public var blockTokens: Int
    /// Rows of one step.
    public var stepTokens: Int
    /// Pages of one expert; nil for dense models.
    public var expertPages: Int?

    /// What the process takes beside model and pool: code, tokenizer, threads, buffers.
    private static let processBytes = 256 << 20
    /// Rows of a step where all weights are in memory, and where experts are read.
    private static let (residentRows, pagedRows) = (512, 4096)
    /// A pool of fewer pages is no service.
    private static let leastPages = 64

    public init(pages: Int, pageBytes: Int, blockTokens: Int, stepTokens: Int, expertPages: Int? = nil) {
        self.pages = pages
        self.pageBytes = pageBytes
        self.blockTokens = blockTokens
        self.stepTokens = stepTokens
        self.expertPages = expertPages
    }

    /// Nil where the model does not run in so much memory. Experts always lie in the pool, all of them where they fit.
    public init?(_ planner: MemoryPlanner, memory: Int) {
        let resident = planner.plan(maxRows: Self.residentRows)
        let isPaged = resident.expert != nil && memory < resident.bytes + resident.bytes / 16
        stepTokens = isPaged ? Self.pagedRows : Self.residentRows
        let plan = planner.plan(maxRows: stepTokens, pagesExperts: resident.expert != nil)
        pageBytes = plan.poolPageBytes(pagesExperts: plan.expert != nil)
        blockTokens = min(plan.blockTokens, SimulatedMachine.mostBlockTokens)
        expertPages = plan.expert?.pages(of: pageBytes)
        pages = (memory - plan.denseBytes - plan.scratchBytes - Self.processBytes) / pageBytes
        guard pages >= Self.leastPages + 2 * (expertPages ?? 0) * (plan.expert?.chosen ?? 0) else { return nil }
    }

    public var bytes: Int { pages * pageBytes }

    func pages(ofBytes bytes: Double) -> Int { max(1, Int((bytes / Double(pageBytes)).rounded(.up))) }
}
