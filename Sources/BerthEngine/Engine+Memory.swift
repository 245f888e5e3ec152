// A pool whose size changes while it is at work.
//
// Two numbers come from outside. The *limit* is what administrators allow: where it falls, the economy lets go what is worth least, then waves and
// the least urgent requests give up their pages and wait, and whoever still fits comes to its end with the tokens that it would have had. What is
// *withheld* answers to the machine's need: adapters, experts and cached prefixes behave as if the pool were so much smaller and free memory goes back, but
// no request is disturbed, and where one could not run at all, what is withheld is lent to it until the next word from outside. The machine is helped by pages
// that it gets back and not by those that it never gave: all that has not been touched is withheld from the first word on, and step by step a part of what has.
//
// Books change at once; memory goes back to the kernel in pieces between steps, for it takes milliseconds.

import BerthCore
import BerthMemory

/// How large the pool may be.
public struct PoolLimit: Sendable, Equatable {
    public var pages: Int
    /// What requests and experts need at least, beside pinned adapters.
    public var leastPages: Int
    public var shares: [PageClass: PoolShare]

    public init(pages: Int, leastPages: Int, shares: [PageClass: PoolShare] = [:]) {
        self.pages = pages
        self.leastPages = leastPages
        self.shares = shares
    }
}

/// How short of memory the machine is. From the first word of it to the one that it is over.
struct MemoryPressure {
    /// So many parts of the whole have to do with less.
    var parts: Int
    var whole: Int
    /// Pages that had memory when it began. What is withheld is counted from them throughout: what has gone back since is a part of it already.
    let touchedPages: Int

    /// Of the pool, one part in so many is there even where it had less: a pool that has hardly been used still serves adapters side by side.
    private static let least = 16

    /// What may have memory, of a pool of so many pages.
    func allowance(of pages: Int) -> Int { max(min(touchedPages, pages) * (whole - parts) / whole, pages / Self.least) }
}

extension Engine {
    /// Moves the pool's limit, of which there must be enough for pinned adapters.
    public func setLimit(_ limit: PoolLimit) throws(GenerationFailure) {
        guard limit.pages <= pool.capacity else {
            throw GenerationFailure(.overloaded, "the pool can have \(pool.capacity) pages at most, not \(limit.pages)")
        }
        let least = registry.pinnedPages + limit.leastPages
        guard limit.pages >= least else {
            throw GenerationFailure(
                .overloaded, "pinned adapters take \(ByteSize(bytes: registry.pinnedPages * pool.pageBytes)) and requests need \(ByteSize(bytes: limit.leastPages * pool.pageBytes)); "
                    + "the pool would have \(ByteSize(bytes: limit.pages * pool.pageBytes))")
        }
        finishStepUnderWay()
        pool.setLimit(limit.pages)
        for (use, share) in limit.shares { pool.setShare(share, for: use) }
        withholdForPressure()
        settleMemory()
        stir()
    }

    /// The machine is short of memory: of what the pool had touched when it began to be, so many parts of `whole` are kept from what can be read again, and
    /// all that it had not, until told otherwise. With no parts it is over, and the pool is whole.
    public func withhold(parts: Int, of whole: Int) {
        precondition(whole > 0 && (0...whole).contains(parts))
        finishStepUnderWay()
        pressure = parts == 0 ? nil : MemoryPressure(parts: parts, whole: whole, touchedPages: pressure?.touchedPages ?? pool.touchedPages)
        withholdForPressure()
        settleMemory()
        stir()
    }

    private func withholdForPressure() { pool.withhold(pressure.map { pool.pageCount - $0.allowance(of: pool.pageCount) } ?? 0) }

    /// Nothing runs and nothing is read, so that nobody would ever make room: what is withheld, or kept for the next wave, is there for who asks. False
    /// where nothing is.
    func givesLastReserves() -> Bool {
        guard running.isEmpty, bulk.isEmpty, registry.readsInFlight == 0, pool.withheldPages > 0 || waves.memory != nil else { return false }
        pool.withhold(0)
        dropWaveMemory()
        return true
    }

    /// There is memory to give back.
    var hasMemoryWork: Bool { pool.surplusPages > 0 }

    /// Brings leases and memory nearer to the limit. Between steps.
    func settleMemory() {
        if pool.withheldPages > 0 { _ = economy.fit(cause: .pressure) { pool.overdrawnPages == 0 } }
        if pool.excessPages > 0 { makeLeasesFit() }
        pool.trim(most: piece)
    }

    /// The pool has had nothing to do for a while: gives a piece of its free memory back. False where there is no more.
    public func rest() -> Bool { pool.giveFreeMemoryBack(most: piece) }

    /// Pages whose memory is given back at a time.
    private var piece: Int { max(1, Limits.memoryPieceBytes / pool.pageBytes) }

    /// What is left afterwards are adapters on their way: the ends of their reads lead here again.
    private func makeLeasesFit() {
        while !economy.fit(cause: .limit, until: { pool.excessPages == 0 }) {
            if experts?.finishReads() == true { continue }
            if let other = whoGivesUpBulk() {
                preempt(other)
            } else if waves.memory != nil || waves.current != nil {
                dropWaveMemory()
            } else if let other = whoGivesUp() ?? running.youngest {
                preempt(other)
            } else {
                return
            }
        }
    }
}
