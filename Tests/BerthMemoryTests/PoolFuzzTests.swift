// Random operations on a pool and on a model of it that is too simple to be wrong, compared after each.

import BerthCore
import BerthMemory
import Glibc
import Testing

/// Leases in a row: an array cannot hold values that cannot be copied.
struct Leases {
    final class Box {
        var lease: Lease?
        init(_ lease: consuming Lease) { self.lease = consume lease }
    }
    private var boxes: [Box]

    init(_ boxes: [Box] = []) { self.boxes = boxes }

    static func one(_ pool: Pool, _ use: PageClass, count: Int = 1) -> Box? {
        guard let lease = pool.reserve(count, for: use) else { return nil }
        return Box(lease)
    }

    func take(_ index: Int) -> Lease { boxes[index].lease.take()! }
}

@Suite struct PoolFuzzTests {
    struct Entry {
        var box: Leases.Box
        var use: PageClass
        var count: Int
        var isPublished = false
        var hasWindow = false
        /// Written to the first word of each page.
        var stamp: UInt64
    }

    @Test(arguments: [1, 2, 3, 4, 5, 6, 7, 8] as [UInt64])
    func agreesWithASimpleModel(seed: UInt64) throws {
        var random = RandomSource(seed: seed)
        var pageCount = Int.random(in: 1...150, using: &random)
        let capacity = pageCount + Int.random(in: 0...100, using: &random)
        let pool = try Pool(bytes: pageCount * 4096 + 17, pageBytes: 4096, reserving: capacity * 4096)
        #expect(pool.capacity == capacity)
        var withheld = 0
        var entries: [Entry] = []
        var stamp: UInt64 = 0

        func write(_ entry: Entry) {
            for (index, page) in pool.pages(of: entry.box.lease!).enumerated() {
                pool.address(of: page).storeBytes(of: entry.stamp &+ UInt64(index), as: UInt64.self)
            }
        }
        func check(_ entry: Entry) throws {
            let pages = pool.pages(of: entry.box.lease!)
            #expect(pages.count == entry.count, "seed \(seed)")
            #expect(pool.state(of: entry.box.lease!) == (entry.isPublished ? .published : .reserved), "seed \(seed)")
            for (index, page) in pages.enumerated() {
                #expect(pool.address(of: page).load(as: UInt64.self) == entry.stamp &+ UInt64(index), "seed \(seed)")
            }
            guard entry.hasWindow else { return }
            let window = try pool.window(of: entry.box.lease!)
            for index in pages.indices { #expect((window + index * 4096).load(as: UInt64.self) == entry.stamp &+ UInt64(index), "seed \(seed)") }
        }

        /// What a class may have: what is withheld is not there for adapters and experts.
        func room(_ use: PageClass) -> Int { pageCount - entries.reduce(0) { $0 + $1.count } - (use == .adapter || use == .expert ? withheld : 0) }

        // A million in a nightly run: BERTH_FUZZ_OPERATIONS=125000.
        let operations = getenv("BERTH_FUZZ_OPERATIONS").flatMap { Int(String(cString: $0)) } ?? 400
        for _ in 0..<operations {
            switch Int.random(in: 0..<12, using: &random) {
            case 0...3:
                let count = Int.random(in: 1...max(1, pageCount / 4), using: &random)
                let use = PageClass.allCases.randomElement(using: &random)!
                let fits = count <= room(use), touched = pool.touchedPages
                let box = Leases.one(pool, use, count: count)
                #expect((box != nil) == fits, "seed \(seed)")
                guard let box else { break }
                #expect(pool.touchedPages <= max(touched, pageCount - withheld, pool.leasedPages), "seed \(seed)")
                stamp += 1000
                entries.append(Entry(box: box, use: use, count: count, stamp: stamp))
                write(entries.last!)
            case 4 where !entries.isEmpty:
                let index = entries.indices.randomElement(using: &random)!
                if !entries[index].isPublished {
                    pool.publish(entries[index].box.lease!)
                    entries[index].isPublished = true
                }
            case 5 where !entries.isEmpty:
                let index = entries.indices.randomElement(using: &random)!
                _ = try pool.window(of: entries[index].box.lease!)
                entries[index].hasWindow = true
            case 6 where !entries.isEmpty, 7 where !entries.isEmpty:
                let entry = entries.remove(at: entries.indices.randomElement(using: &random)!)
                pool.release(entry.box.lease.take()!, givingMemoryBack: Bool.random(using: &random))
            case 8:
                pool.giveFreeMemoryBack(most: Int.random(in: 0...50, using: &random))
            case 9:
                pageCount = Int.random(in: 1...capacity, using: &random)
                withheld = min(withheld, pageCount)
                pool.setLimit(pageCount)
            case 10:
                withheld = Int.random(in: 0...pageCount, using: &random)
                pool.withhold(withheld)
            case 11:
                pool.trim(most: .max)
                let used = entries.reduce(0) { $0 + $1.count }
                #expect(pool.surplusPages == 0 && pool.snapshot.touched <= max(pageCount - withheld, used), "seed \(seed)")
            default: break
            }
            pool.checkInvariants()
            let snapshot = pool.snapshot
            let used = entries.reduce(0) { $0 + $1.count }
            #expect(snapshot.free == max(0, pageCount - used) && snapshot.leases == entries.count && snapshot.touched >= used, "seed \(seed)")
            #expect(pool.excessPages == max(0, used - pageCount), "seed \(seed)")
            for use in PageClass.allCases {
                #expect(pool.pageCount(of: use) == entries.filter { $0.use == use }.reduce(0) { $0 + $1.count }, "seed \(seed)")
            }
            if let entry = entries.randomElement(using: &random) { try check(entry) }
        }
        for entry in entries {
            try check(entry)
            pool.release(entry.box.lease.take()!)
        }
        pool.checkInvariants()
        #expect(pool.freePageCount == pageCount && pool.snapshot.mappings == 0, "seed \(seed)")
    }
}
