// The pool by example: what each operation promises.

import BerthCore
import BerthMemory
import Testing

extension Pool {
    /// `#require` cannot take a value that cannot be copied.
    func lease(_ count: Int, for use: PageClass) -> Lease {
        guard let lease = reserve(count, for: use) else { preconditionFailure("no room for \(count) pages") }
        return lease
    }
}

@Suite struct PoolTests {
    static let page = 4096

    @Test func refusesSizesThatMakeNoPool() {
        #expect(throws: PoolError.self) { _ = try Pool(bytes: 1 << 20, pageBytes: 1000) }
        #expect(throws: PoolError.self) { _ = try Pool(bytes: 1 << 20, pageBytes: 0) }
        let error = #expect(throws: PoolError.self) { _ = try Pool(bytes: 4095, pageBytes: 4096) }
        #expect(error?.code == .invalidSize)
    }

    @Test func aLeaseGoesThroughItsStates() throws {
        let pool = try Pool(bytes: 10 * Self.page, pageBytes: Self.page)
        let lease = pool.lease(3, for: .adapter)
        #expect(pool.freePageCount == 7)
        #expect(pool.state(of: lease) == .reserved)
        #expect(pool.snapshot.adapter.reserved == 3)
        pool.publish(lease)
        #expect(pool.state(of: lease) == .published)
        #expect(pool.snapshot.adapter.published == 3)
        pool.checkInvariants()
        pool.release(lease)
        #expect(pool.freePageCount == 10)
        #expect(pool.snapshot.leases == 0)
        pool.checkInvariants()
    }

    @Test func aLeaseThatDoesNotFitChangesNothing() throws {
        let pool = try Pool(bytes: 4 * Self.page, pageBytes: Self.page)
        let first = pool.lease(3, for: .kv)
        #expect(Leases.one(pool, .kv, count: 2) == nil)
        #expect(pool.freePageCount == 1 && pool.pageCount(of: .kv) == 3)
        pool.checkInvariants()
        pool.release(first)
    }

    @Test func aWindowShowsScatteredPagesInOrder() throws {
        let pool = try Pool(bytes: 8 * Self.page, pageBytes: Self.page)
        // Every second page stays leased, so that no two free pages are neighbours.
        let leases = try Leases((0..<8).map { _ in try #require(Leases.one(pool, .adapter)) })
        for index in stride(from: 0, to: 8, by: 2) { pool.release(leases.take(index)) }
        let lease = pool.lease(4, for: .adapter)
        let pages = pool.pages(of: lease)
        for (index, page) in pages.enumerated() { pool.address(of: page).storeBytes(of: UInt64(index + 100), as: UInt64.self) }
        let window = try pool.window(of: lease)
        #expect(try pool.window(of: lease) == window)
        #expect(pool.snapshot.mappings == 4)
        for index in 0..<4 { #expect((window + index * Self.page).load(as: UInt64.self) == UInt64(index + 100)) }
        // And the other way: what a reader writes through the window stands in the pages.
        (window + 3 * Self.page + 8).storeBytes(of: 77, as: UInt64.self)
        #expect((pool.address(of: pages[3]) + 8).load(as: UInt64.self) == 77)
        pool.checkInvariants()
        pool.release(lease)
        #expect(pool.snapshot.mappings == 0)
        for index in stride(from: 1, to: 8, by: 2) { pool.release(leases.take(index)) }
    }

    @Test func neighboursNeedNoMapping() throws {
        let pool = try Pool(bytes: 200 * Self.page, pageBytes: Self.page)
        let small = pool.lease(70, for: .adapter)
        let lease = pool.lease(130, for: .expert)
        #expect(try pool.window(of: lease) == pool.address(of: pool.pages(of: lease)[0]))
        #expect(pool.snapshot.mappings == 0)
        pool.release(small)
        pool.release(lease)
    }

    @Test func memoryGivenBackReadsAsZerosAndIsNoLongerTouched() throws {
        let pool = try Pool(bytes: 4 * Self.page, pageBytes: Self.page)
        let lease = pool.lease(4, for: .adapter)
        let base = try pool.window(of: lease)
        for index in 0..<4 { (base + index * Self.page).storeBytes(of: 1, as: UInt64.self) }
        #expect(pool.snapshot.touched == 4)
        pool.release(lease, givingMemoryBack: true)
        #expect(pool.snapshot.touched == 0)
        let again = pool.lease(4, for: .adapter)
        let anew = try pool.window(of: again)
        for index in 0..<4 { #expect((anew + index * Self.page).load(as: UInt64.self) == 0) }
        pool.release(again)
        #expect(pool.snapshot.touched == 4)
        pool.giveFreeMemoryBack()
        #expect(pool.snapshot.touched == 0)
        pool.checkInvariants()
    }

    @Test func floorsAndCeilingsBoundTheClasses() throws {
        let pool = try Pool(bytes: 10 * Self.page, pageBytes: Self.page)
        pool.setShare(PoolShare(floorPages: 4), for: .kv)
        pool.setShare(PoolShare(ceilingPages: 5), for: .adapter)
        #expect(pool.room(for: .adapter) == 5)
        #expect(pool.room(for: .expert) == 6)
        let adapter = pool.lease(5, for: .adapter)
        #expect(pool.room(for: .adapter) == 0)
        #expect(pool.room(for: .expert) == 1)
        let kv = pool.lease(5, for: .kv)
        #expect(pool.freePageCount == 0)
        pool.checkInvariants()
        pool.release(kv)
        pool.release(adapter)
    }

    /// A limit is a number and no place: whatever is leased stays where it is, and what is over the limit comes back as it is released.
    @Test func theLimitMoves() throws {
        let pool = try Pool(bytes: 4 * Self.page, pageBytes: Self.page, reserving: 10 * Self.page)
        #expect(pool.capacity == 10)
        let kv = pool.lease(3, for: .kv)
        let adapter = pool.lease(1, for: .adapter)
        pool.setLimit(2)
        #expect(pool.excessPages == 2 && pool.freePageCount == 0 && pool.room(for: .kv) == 0)
        pool.release(adapter)
        #expect(pool.excessPages == 1 && Leases.one(pool, .kv) == nil)
        // Its memory is over the limit as long as nobody trims.
        #expect(pool.surplusPages == 1 && pool.snapshot.touched == 4)
        pool.trim(most: 10)
        #expect(pool.surplusPages == 0 && pool.snapshot.touched == 3)
        pool.setLimit(10)
        #expect(pool.freePageCount == 7)
        let more = pool.lease(7, for: .expert)
        #expect(pool.freePageCount == 0)
        pool.checkInvariants()
        pool.release(more)
        // Pages that are taken anew at a lower limit are paid for at once.
        pool.setLimit(5)
        pool.trim(most: .max)
        #expect(pool.snapshot.touched == 5)
        let other = pool.lease(2, for: .expert)
        #expect(pool.snapshot.touched == 5)
        pool.checkInvariants()
        pool.release(other)
        pool.release(kv)
    }

    /// A limit that falls leaves no room for a floor that somebody else has taken: that is an excess, too.
    @Test func aFloorIsClaimed() throws {
        let pool = try Pool(bytes: 10 * Self.page, pageBytes: Self.page)
        pool.setShare(PoolShare(floorPages: 3), for: .expert)
        let kv = pool.lease(6, for: .kv)
        #expect(pool.claimedPages == 9 && pool.excessPages == 0)
        pool.setLimit(8)
        #expect(pool.excessPages == 1 && pool.freePageCount == 2)
        let expert = pool.lease(2, for: .expert)
        #expect(pool.claimedPages == 9 && pool.excessPages == 1)
        pool.release(kv)
        #expect(pool.excessPages == 0)
        pool.release(expert)
    }

    /// What is withheld is not there for what can be read again, except for its floor, and is there for requests.
    @Test func withheldPagesAreForRequests() throws {
        let pool = try Pool(bytes: 10 * Self.page, pageBytes: Self.page)
        pool.setShare(PoolShare(floorPages: 3), for: .expert)
        pool.withhold(8)
        #expect(pool.room(for: .adapter) == 2 && pool.room(for: .expert) == 3 && pool.room(for: .kv) == 7)
        let kv = pool.lease(7, for: .kv)
        #expect(pool.room(for: .expert) == 3 && pool.room(for: .adapter) == 0)
        let expert = pool.lease(3, for: .expert)
        pool.withhold(0)
        #expect(pool.room(for: .adapter) == 0 && pool.freePageCount == 0)
        pool.release(kv)
        pool.release(expert)
        pool.checkInvariants()
    }

    /// What is not withheld is all that may have memory: free pages give theirs back down to it, and a page that is taken anew beyond it is paid for by one.
    @Test func noFreshPageIsTakenBeyondWhatIsNotWithheld() throws {
        let pool = try Pool(bytes: 100 * Self.page, pageBytes: Self.page)
        let idle = pool.lease(20, for: .adapter), used = pool.lease(20, for: .adapter)
        pool.release(idle)
        #expect(pool.touchedPages == 40 && pool.surplusPages == 0)
        pool.withhold(65)
        #expect(pool.surplusPages == 5 && pool.overdrawnPages == 0)
        pool.trim(most: .max)
        #expect(pool.touchedPages == 35 && pool.snapshot.touched == 35 && pool.room(for: .adapter) == 15)
        // Keys and values come from the top, where nothing has been touched.
        let kv = pool.lease(10, for: .kv)
        #expect(pool.touchedPages == 35 && pool.surplusPages == 0 && pool.room(for: .adapter) == 5)
        // Requests may have more, with nothing to pay for it.
        let more = pool.lease(30, for: .kv)
        #expect(pool.touchedPages == 60 && pool.overdrawnPages == 25 && pool.room(for: .adapter) == 0)
        pool.checkInvariants()
        pool.withhold(0)
        #expect(pool.room(for: .adapter) == 40)
        pool.release(used)
        pool.release(kv)
        pool.release(more)
    }
}
