// How `--memory` is divided: what the model must have, what the process takes beside it, and the pool that gets the rest.
//
// A mixture of experts that fits is held whole. One that does not, or whose experts were given a bound, keeps its dense part in memory and pages its
// experts through the pool. What is fixed at start stays so: when `--memory` moves while the daemon runs, the pool takes the difference.

import BerthCore
import BerthEngine
import BerthKernels
import BerthMemory
import BerthModels

struct MemoryBudget: Sendable {
    /// What the pool's classes may take, where that was said.
    struct Amounts: Sendable {
        var experts: PoolAmount?
        var kv: PoolAmount?
        var adapters: PoolAmount?
    }

    /// What the budget depends on.
    struct Needs {
        var vocabulary: Int
        var tokenizerTokens: Int
        var threads: Int
        /// Rows of one step; nil is this budget's choice.
        var maxRows: Int?
        var amounts = Amounts()
        /// The model's part, for steps of so many rows.
        var plan: (_ maxRows: Int, _ pagesExperts: Bool) -> MemoryPlan
    }

    /// Code, stacks, sockets' buffers, bodies under way, the allocator's slack.
    private static let processBytes = 64 << 20
    /// What a thread takes for itself: its kernels' scratch and a row of logits that it samples.
    private static func bytesPerThread(vocabulary: Int) -> Int { Compute.bytesPerThread + vocabulary * 4 }
    /// What the tokenizer's tables take for each token of the vocabulary; measured on vocabularies of 32 and 128 thousand.
    private static let tokenizerBytesPerToken = 256
    /// The pool must let at least this many sequences of one step's tokens run; fewer is no service.
    private static let leastSequences = 2
    /// Rows of one step where weights are in memory. More gain nothing.
    private static let residentRows = 512
    /// Rows of one step where experts are paged, if they take no more than a sixteenth of the memory: a layer's missing experts are read once per step,
    /// so a long prompt should take few.
    private static let pagedRows = [4096, 2048, 1024]
    private static let pagedScratchShare = 16

    private(set) var total: Int
    let weights: Int
    let scratch: Int
    let tokenizer: Int
    let threads: Int
    let process: Int
    private(set) var pool: Int
    /// Of the pool: what requests and experts need at least.
    let leastPool: Int
    let pageBytes: Int
    let blockTokens: Int
    let maxRows: Int
    let pagesExperts: Bool
    /// Bounds of the pool's classes.
    private(set) var shares: [PageClass: PoolShare]
    /// What was asked for and could not be had as it is.
    private(set) var warnings: [String]
    private let amounts: Amounts
    private let expert: ExpertNeeds?

    /// Throws, with the least that would do, where the model does not fit.
    init(total: ByteSize, _ needs: Needs) throws {
        self.total = total.bytes
        amounts = needs.amounts
        let residentRows = needs.maxRows ?? Self.residentRows
        let resident = needs.plan(residentRows, false)
        tokenizer = needs.tokenizerTokens * Self.tokenizerBytesPerToken
        threads = needs.threads * Self.bytesPerThread(vocabulary: needs.vocabulary)
        process = Self.processBytes + tokenizer + threads
        let isBounded = amounts.experts.map { $0.bytes(of: resident.expertBytes) < resident.expertBytes } ?? false
        let whole = Self.least(resident, fixed: resident.bytes + process, rows: residentRows, pagesExperts: false)
        pagesExperts = resident.expert != nil && (isBounded || total.bytes < whole)
        var rows = residentRows
        if pagesExperts, needs.maxRows == nil {
            rows = Self.pagedRows.first { needs.plan($0, true).scratchBytes <= total.bytes / Self.pagedScratchShare } ?? rows
        }
        maxRows = rows
        let plan = needs.plan(rows, pagesExperts)
        expert = pagesExperts ? plan.expert : nil
        weights = pagesExperts ? plan.denseBytes : plan.weightBytes
        scratch = plan.scratchBytes
        pageBytes = plan.poolPageBytes(pagesExperts: pagesExperts)
        blockTokens = plan.blockTokens
        let fixed = weights + scratch + process
        leastPool = Self.least(plan, fixed: fixed, rows: rows, pagesExperts: pagesExperts) - fixed
        (pool, shares, warnings) = (0, [:], [])
        try divide(total)
    }

    /// The least that does, rounded up to the next MiB, so that the number can be given back as it is.
    var least: ByteSize { ByteSize(bytes: (fixed + leastPool + (1 << 20) - 1) / (1 << 20) * (1 << 20)) }

    /// What is there beside the pool.
    var fixed: Int { weights + scratch + process }

    /// The same model in another total. Throws, with the least that would do, where that is too little.
    func moved(to total: ByteSize) throws -> MemoryBudget {
        var budget = self
        try budget.divide(total)
        return budget
    }

    private mutating func divide(_ total: ByteSize) throws {
        guard total.bytes >= fixed + leastPool else {
            let experts = pagesExperts ? ", the experts of a row among them" : ""
            throw AssemblyError(
                "the model does not fit into \(total): it needs \(ByteSize(bytes: weights)) for weights, \(ByteSize(bytes: scratch)) for activations, "
                    + "\(ByteSize(bytes: process)) for the process and at least \(ByteSize(bytes: leastPool)) for the pool\(experts); the least is --memory \(least.bytes >> 20)M")
        }
        self.total = total.bytes
        pool = (total.bytes - fixed) / pageBytes * pageBytes
        (shares, warnings) = Self.shares(amounts, pages: pool / pageBytes, pageBytes: pageBytes, expert: expert)
    }

    /// The pool's part for the engine.
    var poolLimit: PoolLimit { PoolLimit(pages: pool / pageBytes, leastPages: leastPool / pageBytes, shares: shares) }

    /// What a request that says nothing of its length may grow to: three quarters of the pool, since adapters need their part.
    var openEndedTokens: Int { pool / pageBytes * blockTokens / 4 * 3 }

    /// The least memory with which a model can serve.
    private static func least(_ plan: MemoryPlan, fixed: Int, rows: Int, pagesExperts: Bool) -> Int {
        let pageBytes = plan.poolPageBytes(pagesExperts: pagesExperts)
        // Where experts are paged, rows of a step are many for the prompts' sake; sequences of ordinary steps must fit.
        let tokens = pagesExperts ? min(rows, residentRows) : rows
        var pages = leastSequences * ((tokens + plan.blockTokens - 1) / plan.blockTokens + 1)
        if pagesExperts, let expert = plan.expert {
            pages += ExpertSupply.leastResident(chosen: expert.chosen, count: expert.count) * expert.pages(of: pageBytes)
        }
        return fixed + pages * pageBytes
    }

    private static func shares(_ amounts: Amounts, pages: Int, pageBytes: Int, expert: ExpertNeeds?) -> ([PageClass: PoolShare], [String]) {
        var shares: [PageClass: PoolShare] = [:]
        var warnings: [String] = []
        if let expert {
            let pagesPerExpert = expert.pages(of: pageBytes)
            let least = ExpertSupply.leastResident(chosen: expert.chosen, count: expert.count)
            var share = PoolShare(floorPages: least * pagesPerExpert)
            if let wanted = amounts.experts {
                let count = wanted.bytes(of: expert.bytes * expert.count) / expert.bytes
                if count < least {
                    warnings.append("--expert-memory \(wanted) holds \(count) experts, and a step of one row needs \(least): it gets those")
                }
                share.ceilingPages = max(count, least) * pagesPerExpert
            }
            shares[.expert] = share
        } else if let wanted = amounts.experts {
            warnings.append("--expert-memory \(wanted) has no effect: this model's weights are held in memory whole")
        }
        for (use, wanted, name) in [(PageClass.kv, amounts.kv, "kv-memory"), (.adapter, amounts.adapters, "adapter-memory")] {
            guard let wanted else { continue }
            let ceiling = wanted.bytes(of: pages * pageBytes) / pageBytes
            if ceiling < 1 { warnings.append("--\(name) \(wanted) is less than a page of \(ByteSize(bytes: pageBytes)): it gets one") }
            shares[use] = PoolShare(ceilingPages: max(1, ceiling))
        }
        return (shares, warnings)
    }

    /// What all paged experts take on disk.
    var expertFileBytes: Int { expert.map { $0.bytes * $0.count } ?? 0 }

    /// The plan, for the log.
    var lines: [String] {
        let tokens = pool / pageBytes * blockTokens
        var lines = [
            "memory \(ByteSize(bytes: total)): weights \(ByteSize(bytes: weights)), activations \(ByteSize(bytes: scratch)), "
                + "process \(ByteSize(bytes: process)) (tokenizer \(ByteSize(bytes: tokenizer)), threads \(ByteSize(bytes: threads)), the rest \(ByteSize(bytes: Self.processBytes))), "
                + "pool \(ByteSize(bytes: pool)); the least is \(least)",
            "pool: \(pool / pageBytes) pages of \(ByteSize(bytes: pageBytes)), each the KV of \(blockTokens) tokens (\(tokens) in all), shared with adapters\(expert == nil ? "" : " and experts")",
        ]
        if let expert {
            let ceiling = min(pool / pageBytes, shares[.expert]?.ceilingPages ?? .max)
            let most = min(expert.count, ceiling / expert.pages(of: pageBytes))
            lines.append(
                "experts: \(expert.count) of \(ByteSize(bytes: expert.bytes)) on disk, at most \(most) (\(most * 100 / expert.count) %) in the pool at a time; steps of up to \(maxRows) tokens")
        }
        return lines
    }
}
