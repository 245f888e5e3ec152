// The one pool: every page that KV blocks, adapters and experts live in.
//
// The life of a page: `reserve` takes it from the free set and gives it to a lease; somebody fills it (a disk reader through
// a window, a step through `address(of:)`); `publish` says that it may be read; `release` ends the lease and frees it.
// KV blocks are filled and read by the same thread in the same step, so their lease is published at once.
// A page is in exactly one state at any time, and `checkInvariants` proves it.
//
// The pool knows nothing of values, recency or requests. When it has no room it says so, and the engine decides who leaves.
//
// How many pages may be leased is a limit that moves while the pool is at work. It is a number and no place: any page may be leased as long as not too
// many are, so that nothing has to be copied when the limit falls. The arena has addresses up to `capacity`, which cost nothing; the books cover the
// pages below the highest limit so far. Memory follows: a page that is taken anew above the limit, or above what is not withheld of it, is paid for by
// giving a free one back, and what stays over a limit that fell goes back with `trim`, piece by piece, since that takes time.
//
// Owned by the engine thread. Disk readers write through the addresses of pages that are reserved for them, and touch nothing else.

import BerthCore
import Glibc

public final class Pool {
    public let pageBytes: Int
    /// The limit: pages that may be leased.
    public private(set) var pageCount: Int
    /// The most that the limit can be.
    public let capacity: Int
    /// Pages of the limit that classes which are read again may not take now, and that free memory does not stay in.
    public private(set) var withheldPages = 0
    private let arena: Arena
    private var free: FreePages
    /// Free pages whose memory has not been given back.
    private var warm: FreePages
    private var slots: [Slot] = []
    private var unusedSlots: [Int32] = []
    /// The lease slot that owns a page, or -1. Redundant with the slots' page lists: the proof compares the two.
    private var owners: [Int32] = []
    private var states: [PageState] = []
    private var leased = Array(repeating: 0, count: PageClass.allCases.count)
    private var shares = Array(repeating: PoolShare(), count: PageClass.allCases.count)
    private var mappings = 0

    private struct Slot {
        var pages: [PageIndex] = []
        var use = PageClass.kv
        var state = PageState.free
        /// Nil until asked for. `runs` counts its kernel mappings: 0 where the pages are neighbours and the arena itself is the window.
        var window: (base: UnsafeMutableRawPointer, bytes: Int, runs: Int)?
        var isLive: Bool { state != .free }
    }

    /// A pool of as many pages as fit in `bytes`, whose limit can rise to as many as fit in `reserving`, if the system has addresses for them.
    /// `pageBytes` must be a multiple of the system's page size.
    public init(bytes: Int, pageBytes: Int, reserving: Int = 0) throws(PoolError) {
        let systemPage = sysconf(Int32(_SC_PAGESIZE))
        guard pageBytes > 0, pageBytes % systemPage == 0 else {
            throw PoolError(.invalidSize, "a page of \(pageBytes) bytes is no multiple of the system's \(systemPage)")
        }
        guard bytes >= pageBytes else {
            throw PoolError(.invalidSize, "a pool of \(ByteSize(bytes: bytes)) holds no page of \(ByteSize(bytes: pageBytes))")
        }
        guard bytes / pageBytes <= Int(Int32.max) else { throw PoolError(.invalidSize, "a pool of \(bytes / pageBytes) pages has too many to number") }
        self.pageBytes = pageBytes
        pageCount = bytes / pageBytes
        let most = min(max(bytes, reserving) / pageBytes, Int(Int32.max))
        if most > pageCount, let large = try? Arena(bytes: most * pageBytes) {
            arena = large
            capacity = most
        } else {
            arena = try Arena(bytes: pageCount * pageBytes)
            capacity = pageCount
        }
        free = FreePages(pageCount: pageCount)
        warm = free
        growBooks()
    }

    deinit {
        for slot in slots {
            if let window = slot.window, window.runs > 0 { arena.unmapWindow(window.base, bytes: window.bytes) }
        }
    }

    /// Pages that may be leased and are not.
    public var freePageCount: Int { max(0, pageCount - leasedPages) }

    public var leasedPages: Int { owners.count - free.count }

    /// Pages that are leased, or kept for the floor of a class that holds fewer.
    public var claimedPages: Int {
        PageClass.allCases.reduce(leasedPages) { $0 + max(0, shares[$1.rawValue].floorPages - leased[$1.rawValue]) }
    }

    /// Claimed pages that the limit, which fell, does not allow: who holds pages beyond a floor has to release some.
    public var excessPages: Int { max(0, claimedPages - pageCount) }

    /// Pages of a class that are leased.
    public func pageCount(of use: PageClass) -> Int { leased[use.rawValue] }

    /// Bounds what a class may hold. Leases that exceed a new ceiling stay until they are released.
    public func setShare(_ share: PoolShare, for use: PageClass) {
        precondition(share.floorPages >= 0 && share.ceilingPages >= share.floorPages)
        shares[use.rawValue] = share
    }

    /// How many pages a class could be given now, with respect to ceilings and to the floors of the others.
    public func room(for use: PageClass) -> Int { max(0, min(sharedRoom(for: use), ceilingRoom(for: use))) }

    /// Free pages less those that are kept for the floors of other classes; negative where floors were raised over what is free, or the limit fell below
    /// what is leased. What is withheld is not there for a class that is read again, but for its floor; the floors of others take nothing of the rest,
    /// for they are kept from the whole.
    public func sharedRoom(for use: PageClass) -> Int {
        var room = pageCount - leasedPages
        for other in PageClass.allCases where other != use {
            room -= max(0, shares[other.rawValue].floorPages - leased[other.rawValue])
        }
        guard withheldPages > 0, use.isReadAgain else { return room }
        return min(room, max(allowance - leasedPages, shares[use.rawValue].floorPages - leased[use.rawValue]))
    }

    /// Pages to a class's ceiling; negative where it is above one that was lowered.
    public func ceilingRoom(for use: PageClass) -> Int { shares[use.rawValue].ceilingPages - leased[use.rawValue] }

    /// Pages that a class holds beyond its floor: what its leaving can give to others.
    public func pagesAboveFloor(of use: PageClass) -> Int { max(0, leased[use.rawValue] - shares[use.rawValue].floorPages) }

    public func share(of use: PageClass) -> PoolShare { shares[use.rawValue] }

    // MARK: the limit

    /// Moves the limit. Leases that exceed a lower one stay until they are released, and there is no room meanwhile.
    public func setLimit(_ pages: Int) {
        precondition(pages > 0 && pages <= capacity, "a limit of \(pages) pages for a pool of up to \(capacity)")
        pageCount = pages
        withheldPages = min(withheldPages, pages)
        growBooks()
    }

    /// Keeps so many pages of the limit from classes that are read again; what they hold already stays until it is released.
    public func withhold(_ pages: Int) {
        precondition(pages >= 0 && pages <= pageCount)
        withheldPages = pages
    }

    /// Pages that have been used since their memory was last given back: what the arena takes of the machine's memory, at most.
    public var touchedPages: Int { leasedPages + warm.count }

    /// Leased pages beyond what is not withheld: who holds pages for later has to release some.
    public var overdrawnPages: Int { max(0, leasedPages - allowance) }

    /// Free pages whose memory is more than the limit allows, or more than is not withheld.
    public var surplusPages: Int { min(warm.count, max(0, touchedPages - allowance)) }

    /// Gives the memory of surplus pages back to the machine, of `most` at most.
    public func trim(most: Int) { giveBackWarm(min(most, surplusPages)) }

    /// Gives the memory of free pages back to the machine, of `most` at most. For a pool that has been idle. False where there is no more.
    @discardableResult
    public func giveFreeMemoryBack(most: Int = .max) -> Bool {
        giveBackWarm(min(most, warm.count))
        return warm.count > 0
    }

    // MARK: leases

    /// Leases `count` pages in state reserved; nil, and nothing changed, where there is no room.
    public func reserve(_ count: Int, for use: PageClass) -> Lease? {
        precondition(count > 0)
        guard count <= room(for: use) else { return nil }
        let slot: Int
        if let unused = unusedSlots.popLast() {
            slot = Int(unused)
        } else {
            slot = slots.count
            slots.append(Slot())
        }
        slots[slot].use = use
        slots[slot].state = .reserved
        take(count, into: slot)
        return Lease(slot: slot)
    }

    /// The pages are filled and may be read.
    public func publish(_ lease: borrowing Lease) {
        let slot = live(lease)
        precondition(slots[slot].state == .reserved, "a lease is published once")
        slots[slot].state = .published
        for page in slots[slot].pages { states[page.position] = .published }
    }

    /// Ends a lease and its window, and frees its pages. With `givingMemoryBack`, the machine gets their memory at once.
    public func release(_ lease: consuming Lease, givingMemoryBack: Bool = false) {
        let slot = live(lease)
        _ = lease.dissolve()
        if let window = slots[slot].window, window.runs > 0 {
            arena.unmapWindow(window.base, bytes: window.bytes)
            mappings -= window.runs
        }
        slots[slot].window = nil
        leased[slots[slot].use.rawValue] -= slots[slot].pages.count
        for page in slots[slot].pages {
            owners[page.position] = -1
            states[page.position] = .free
            free.insert(page.position)
        }
        if givingMemoryBack { giveBack(slots[slot].pages) } else { for page in slots[slot].pages { warm.insert(page.position) } }
        slots[slot].pages.removeAll(keepingCapacity: true)
        slots[slot].state = .free
        unusedSlots.append(Int32(slot))
    }

    // MARK: reaching pages

    public func pages(of lease: borrowing Lease) -> [PageIndex] { slots[live(lease)].pages }

    /// The page that was added last.
    public func lastPage(of lease: borrowing Lease) -> PageIndex { slots[live(lease)].pages.last! }

    public func pageCount(of lease: borrowing Lease) -> Int { slots[live(lease)].pages.count }

    public func state(of lease: borrowing Lease) -> PageState { slots[live(lease)].state }

    /// Where a page's `pageBytes` bytes begin. Valid for ever; meaningful while the page is leased.
    public func address(of page: PageIndex) -> UnsafeMutableRawPointer { arena.base + page.position * pageBytes }

    /// The lease's pages as one contiguous range of addresses, in order; valid until the lease is released.
    ///
    /// Costs no mapping where the pages happen to be neighbours. Asked a second time, the same window is returned.
    public func window(of lease: borrowing Lease) throws(PoolError) -> UnsafeMutableRawPointer {
        let slot = live(lease)
        if let window = slots[slot].window { return window.base }
        let runs = runs(of: slots[slot].pages)
        let bytes = slots[slot].pages.count * pageBytes
        if runs.count == 1 {
            slots[slot].window = (arena.base + runs[0].offset, bytes, 0)
            return arena.base + runs[0].offset
        }
        guard mappings + runs.count <= Limits.poolMappings else {
            throw PoolError(.mappingsExhausted, "windows take \(mappings) mappings already and \(runs.count) more exceed the limit of \(Limits.poolMappings)")
        }
        let base = try arena.mapWindow(runs)
        slots[slot].window = (base, bytes, runs.count)
        mappings += runs.count
        return base
    }

    // MARK: accounts

    public var snapshot: PoolSnapshot {
        var snapshot = PoolSnapshot()
        snapshot.pageBytes = pageBytes
        snapshot.pageCount = pageCount
        snapshot.withheld = withheldPages
        snapshot.free = freePageCount
        snapshot.touched = touchedPages
        snapshot.leases = slots.count - unusedSlots.count
        snapshot.mappings = mappings
        for slot in slots where slot.isLive {
            if slot.state == .reserved { snapshot[slot.use].reserved += slot.pages.count } else { snapshot[slot.use].published += slot.pages.count }
        }
        return snapshot
    }

    /// Proves that every page is in exactly one state and that all sums agree; traps where they do not. O(pages).
    public func checkInvariants() {
        let known = owners.count
        var seen = Array(repeating: false, count: known)
        var byClass = Array(repeating: 0, count: PageClass.allCases.count)
        var mapped = 0
        var live = 0
        for (index, slot) in slots.enumerated() {
            guard slot.isLive else {
                precondition(slot.pages.isEmpty && slot.window == nil, "lease slot \(index) is unused and holds pages or a window")
                continue
            }
            live += 1
            precondition(!slot.pages.isEmpty, "lease \(index) holds no pages")
            byClass[slot.use.rawValue] += slot.pages.count
            mapped += slot.window?.runs ?? 0
            for page in slot.pages {
                precondition(!seen[page.position], "page \(page) is leased twice")
                seen[page.position] = true
                precondition(owners[page.position] == index, "page \(page) of lease \(index) says that it belongs to \(owners[page.position])")
                precondition(states[page.position] == slot.state, "page \(page) is \(states[page.position]), its lease \(slot.state)")
            }
        }
        var freePages = 0
        var warmPages = 0
        for page in 0..<known {
            precondition(free.contains(page) == !seen[page], "page \(page) is leased and free, or neither")
            warmPages += warm.contains(page) ? 1 : 0
            guard !seen[page] else {
                precondition(!warm.contains(page), "page \(page) is leased and counted as free memory")
                continue
            }
            freePages += 1
            precondition(owners[page] == -1 && states[page] == .free, "page \(page) is free and owned")
        }
        precondition(freePages == free.count && freePages + byClass.reduce(0, +) == known, "the states do not add up to the books")
        precondition(warmPages == warm.count)
        precondition(pageCount > 0 && pageCount <= known && known <= capacity && states.count == known && (0...pageCount).contains(withheldPages))
        precondition(byClass == leased, "the classes' sums are \(byClass), accounted as \(leased)")
        precondition(mapped == mappings, "windows take \(mapped) mappings, accounted as \(mappings)")
        precondition(live + unusedSlots.count == slots.count, "lease slots are lost")
    }

    // MARK: inside

    private func live(_ lease: borrowing Lease) -> Int {
        let slot = Int(lease.slot)
        precondition(slot < slots.count && slots[slot].isLive, "a lease of another pool")
        return slot
    }

    private func take(_ count: Int, into slot: Int) {
        let state = slots[slot].state
        leased[slots[slot].use.rawValue] += count
        func own(_ page: Int) {
            owners[page] = Int32(slot)
            states[page] = state
            if warm.contains(page) { warm.remove(page) }
            slots[slot].pages.append(PageIndex(page))
        }
        // KV blocks come from the top and one by one: their kernels go through tables. See FreePages.
        if slots[slot].use == .kv {
            for _ in 0..<count { own(free.takeHighest()) }
        } else {
            for page in free.takeLowest(count) { own(page) }
        }
        // Pages that were taken anew are paid for.
        trim(most: count)
    }

    /// The limit less what is withheld.
    private var allowance: Int { pageCount - withheldPages }

    /// The books cover all pages below the limit.
    private func growBooks() {
        let known = owners.count
        guard pageCount > known else { return }
        owners += Array(repeating: -1, count: pageCount - known)
        states += Array(repeating: .free, count: pageCount - known)
        free.grow(to: pageCount)
        warm.grow(to: pageCount)
        for page in known..<pageCount { free.insert(page) }
    }

    private func giveBackWarm(_ count: Int) {
        if count > 0 { giveBack(warm.takeLowest(count).map(PageIndex.init)) }
    }

    private func giveBack(_ pages: [PageIndex]) {
        for run in runs(of: pages) { arena.giveBack(offset: run.offset, length: run.length) }
    }

    /// Neighbouring pages in the given order, merged, as byte ranges of the arena.
    private func runs(of pages: [PageIndex]) -> [(offset: Int, length: Int)] {
        var runs: [(offset: Int, length: Int)] = []
        for page in pages {
            let offset = page.position * pageBytes
            if let last = runs.last, last.offset + last.length == offset {
                runs[runs.count - 1].length += pageBytes
            } else {
                runs.append((offset, pageBytes))
            }
        }
        return runs
    }
}
