// Who leaves the pool, and who is not asked.

import BerthCore
import BerthMemory
import Glibc
import Testing

@testable import BerthEngine

@Suite struct EconomyTests {
    /// Objects of one page with a value each.
    private final class Shelf: EvictableClass {
        let use: PageClass
        private let pool: Pool
        private var leases: [Int: Holder] = [:]
        var values: [Int: Double] = [:]

        private final class Holder {
            var lease: Lease?
            init(_ lease: consuming Lease) { self.lease = consume lease }
        }

        init(_ use: PageClass, _ pool: Pool) { (self.use, self.pool) = (use, pool) }

        func put(_ name: Int, worth value: Double) -> Bool {
            guard let lease = pool.reserve(1, for: use) else { return false }
            pool.publish(lease)
            leases[name] = Holder(consume lease)
            values[name] = value
            return true
        }

        var evictablePages: Int { values.count }
        func cheapestValue() -> Double? { values.values.min() }
        func evictCheapest() { remove(values.min { ($0.value, $0.key) < ($1.value, $1.key) }!.key) }
        func remove(_ name: Int) {
            values[name] = nil
            if let lease = leases.removeValue(forKey: name)?.lease.take() { pool.release(lease) }
        }
        func clear() { for name in Array(values.keys) { remove(name) } }
    }

    @Test func theCheapestLeavesWhicheverClassItIsOf() throws {
        let pool = try Pool(bytes: 6 * 4096, pageBytes: 4096)
        let economy = Economy(pool: pool)
        let adapters = Shelf(.adapter, pool), experts = Shelf(.expert, pool)
        economy.join(adapters)
        economy.join(experts)
        for (index, value) in [3.0, 1, 5].enumerated() { #expect(adapters.put(index, worth: value)) }
        for (index, value) in [2.0, 4, 6].enumerated() { #expect(experts.put(index, worth: value)) }
        #expect(economy.makeRoom(2, for: .kv))
        #expect(adapters.values == [0: 3, 2: 5] && experts.values == [1: 4, 2: 6])
        // An offer that is worth more than what wants its place stays.
        #expect(!economy.makeRoom(3, for: .kv, below: 3))
        #expect(pool.freePageCount == 2)
        // Where not even everything would do, nobody leaves.
        #expect(!economy.makeRoom(4, for: .kv, leaving: 3))
        #expect(adapters.values.count + experts.values.count == 4)
        let cause = EvictionCause.room(.kv)
        #expect(economy.evictions == [Eviction(use: .adapter, cause: cause): 1, Eviction(use: .expert, cause: cause): 1])
        adapters.clear()
        experts.clear()
        pool.checkInvariants()
    }

    @Test func floorsAndCeilingsHold() throws {
        let pool = try Pool(bytes: 8 * 4096, pageBytes: 4096)
        pool.setShare(PoolShare(floorPages: 2, ceilingPages: 4), for: .expert)
        let economy = Economy(pool: pool)
        let adapters = Shelf(.adapter, pool), experts = Shelf(.expert, pool)
        economy.join(adapters)
        economy.join(experts)
        for index in 0..<4 { #expect(experts.put(index, worth: Double(index))) }
        for index in 0..<4 { #expect(adapters.put(index, worth: 100)) }
        // At its ceiling a class makes room for itself alone, however cheap others are.
        adapters.values[0] = -1
        #expect(economy.makeRoom(1, for: .expert))
        #expect(experts.values.count == 3 && adapters.values.count == 4)
        #expect(experts.put(9, worth: 50))
        // Others take a class down to its floor and no further.
        #expect(economy.makeRoom(6, for: .kv))
        #expect(pool.pageCount(of: .expert) == 2 && adapters.values.isEmpty)
        #expect(!economy.makeRoom(7, for: .kv))
        experts.clear()
    }

    /// Where the limit falls, the cheapest of all leave until it fits, classes down to their floors.
    @Test func aLowerLimitTakesTheCheapestFirst() throws {
        let pool = try Pool(bytes: 8 * 4096, pageBytes: 4096)
        pool.setShare(PoolShare(floorPages: 2), for: .expert)
        let economy = Economy(pool: pool)
        let adapters = Shelf(.adapter, pool), experts = Shelf(.expert, pool)
        economy.join(adapters)
        economy.join(experts)
        for (index, value) in [3.0, 7, 5, 9].enumerated() { #expect(adapters.put(index, worth: value)) }
        for (index, value) in [2.0, 4, 6].enumerated() { #expect(experts.put(index, worth: value)) }
        pool.setLimit(5)
        #expect(economy.fit(cause: .limit) { pool.claimedPages <= 5 })
        #expect(adapters.values == [1: 7, 2: 5, 3: 9] && experts.values == [1: 4, 2: 6])
        #expect(economy.fit(cause: .pressure) { pool.claimedPages <= 4 })
        #expect(experts.values == [1: 4, 2: 6], "the floor holds")
        #expect(!economy.fit(cause: .limit, until: { pool.claimedPages <= 1 }) && adapters.values.isEmpty && experts.values.count == 2)
        #expect(economy.evictions[Eviction(use: .adapter, cause: .limit)] == 3 && economy.evictions[Eviction(use: .adapter, cause: .pressure)] == 1)
        experts.clear()
    }

    /// Random shelves against the definition: as long as there is no room, or the limit is exceeded, the cheapest of those that may leave goes.
    @Test(arguments: [UInt64(1), 2, 3, 4]) func decidesAsDefined(seed: UInt64) throws {
        var random = RandomSource(seed: seed)
        let pool = try Pool(bytes: 32 * 4096, pageBytes: 4096, reserving: 48 * 4096)
        pool.setShare(PoolShare(floorPages: 3, ceilingPages: 20), for: .expert)
        let economy = Economy(pool: pool)
        var limit = 32
        let shelves = [Shelf(.adapter, pool), Shelf(.expert, pool)]
        for shelf in shelves { economy.join(shelf) }
        var name = 0
        let operations = getenv("BERTH_FUZZ_OPERATIONS").flatMap { Int(String(cString: $0)) } ?? 2000
        for _ in 0..<operations {
            if Int.random(in: 0..<8, using: &random) == 0 {
                limit = Int.random(in: 5...48, using: &random)
                pool.setLimit(limit)
                var left = shelves.map(\.values)
                while left[0].count + max(3, left[1].count) > limit {
                    let mayLeave = [!left[0].isEmpty, left[1].count > 3]
                    let index = mayLeave[0] && (!mayLeave[1] || left[0].values.min()! < left[1].values.min()!) ? 0 : 1
                    left[index][left[index].min { $0.value < $1.value }!.key] = nil
                }
                #expect(economy.fit(cause: .limit, until: { pool.claimedPages <= limit }), "seed \(seed)")
                #expect(shelves.map(\.values) == left, "seed \(seed)")
            }
            let shelf = shelves[Int.random(in: 0..<2, using: &random)]
            let other = shelves[shelf === shelves[0] ? 1 : 0]
            var own = shelf.values, others = other.values
            // The model: free pages that are not kept for a floor, ceilings, and the cheapest first.
            let floors: [PageClass: Int] = [.expert: 3], ceilings: [PageClass: Int] = [.expert: 20]
            func room() -> Int {
                let kept = max(0, (floors[other.use] ?? 0) - others.count)
                return min(limit - own.count - others.count - kept, (ceilings[shelf.use] ?? .max) - own.count)
            }
            while room() < 1 {
                let mayTake = (ceilings[shelf.use] ?? .max) > own.count && others.count > (floors[other.use] ?? 0)
                let ownLeast = own.values.min(), otherLeast = mayTake ? others.values.min() : nil
                if let otherLeast, ownLeast == nil || otherLeast < ownLeast! {
                    others[others.min { $0.value < $1.value }!.key] = nil
                } else {
                    own[own.min { $0.value < $1.value }!.key] = nil
                }
            }
            #expect(economy.makeRoom(1, for: shelf.use))
            #expect(shelf.values == own && other.values == others, "seed \(seed)")
            name += 1
            #expect(shelf.put(name, worth: Double.random(in: 0..<1, using: &random)))
            if Int.random(in: 0..<8, using: &random) == 0, let gone = other.values.keys.min() { other.remove(gone) }
        }
        pool.checkInvariants()
        for shelf in shelves { shelf.clear() }
    }

    /// Kinds that are wanted at the same rate are worth the same, though one of them leaves sooner and so is wanted less often while it is there.
    @Test(arguments: [UInt64(1), 2, 3]) func chancesAreRatesAndNotShares(seed: UInt64) {
        var random = RandomSource(seed: seed)
        var chances = ReuseChances()
        let rate = 0.15
        for _ in 0..<6000 {
            for (reuses, leaving) in [(0, 60.0), (3, 240.0)] {
                // By r / (1 + n) per step, one is still not wanted after n steps with the chance (1 + n)^-r.
                let wanted = pow(1 - random.unit(), -1 / rate) - 1
                chances.learn(reuses: reuses, idleSteps: Int(min(wanted, leaving)), wasWanted: wanted < leaving)
            }
        }
        for reuses in [0, 3] {
            let measured = chances.chance(kind: ReuseChances.kind(reuses: reuses), idleSteps: 99) * 100
            #expect(abs(measured / rate - 1) < 0.35, "seed \(seed): \(measured) of kind \(reuses)")
        }
        #expect((0..<100).map(ReuseChances.kind).max() == 7 && [0, 3, 4, 8, 16, 40].map(ReuseChances.kind) == [0, 3, 4, 5, 6, 7])
    }

    /// Of a kind that is wanted soon, those that are overdue are taken for finished with: their chance falls faster than that of a kind that takes its time.
    @Test(arguments: [UInt64(1), 2, 3]) func whoIsOverdueIsFinishedWith(seed: UInt64) {
        var random = RandomSource(seed: seed)
        var chances = ReuseChances()
        #expect((0..<8).allSatisfy { chances.chance(kind: $0, idleSteps: 50) == chances.chance(kind: 0, idleSteps: 50) }, "nothing is known yet")
        let leaving = 400.0
        for _ in 0..<4000 {
            for (reuses, rate) in [(1, 1.5), (2, 0.1)] {
                let wanted = 40 * pow(1 - random.unit(), -1 / rate)
                chances.learn(reuses: reuses, idleSteps: Int(min(wanted, leaving)), wasWanted: wanted < leaving)
            }
        }
        func fall(_ kind: Int) -> Double { chances.chance(kind: kind, idleSteps: 99) / chances.chance(kind: kind, idleSteps: 1599) }
        #expect(fall(1) > 32 && fall(2) < 24, "seed \(seed): \(fall(1)) and \(fall(2)); the time alone is 16")
    }
}
