// Who leaves the pool.
//
// The pool knows pages and leases; each class of objects that may leave (idle adapters, experts, cached prefixes) keeps its own order and offers
// the one that it would miss least, with a value: the seconds that it would cost to bring a page of it back, times the chance that a
// step wants it. The economy lets the cheapest of all offers go, until there is room. What is leased, pinned or needed by
// the present step is not offered. When nothing is left to offer, the engine preempts its youngest request.
// Nobody else evicts. The same order holds where the pool's limit falls: then nobody wants the place.

import BerthMemory

/// Objects of one class that can come back, from disk or by computing them again.
protocol EvictableClass: AnyObject {
    var use: PageClass { get }
    /// Pages of everything that could leave now.
    var evictablePages: Int { get }
    /// What a page of the cheapest object is worth, in expected seconds per step; nil where nothing may leave.
    func cheapestValue() -> Double?
    /// The cheapest object leaves. There is one.
    func evictCheapest()
}

extension EvictableClass {
    /// The window of a lease. Windows over scattered pages are limited in number: objects that may leave give theirs up for a new one.
    func window(of lease: borrowing Lease, in pool: Pool) throws(PoolError) -> UnsafeMutableRawPointer {
        while true {
            do {
                return try pool.window(of: lease)
            } catch {
                guard cheapestValue() != nil else { throw error }
                evictCheapest()
            }
        }
    }
}

/// Why an object had to leave.
public enum EvictionCause: Sendable, Hashable {
    /// For objects of a class.
    case room(PageClass)
    /// The pool's limit fell.
    case limit
    /// The machine is short of memory.
    case pressure
}

/// Objects that left, by class and cause.
public struct Eviction: Sendable, Hashable {
    public var use: PageClass
    public var cause: EvictionCause

    public init(use: PageClass, cause: EvictionCause) { (self.use, self.cause) = (use, cause) }
}

/// Engine thread only.
final class Economy {
    private let pool: Pool
    private var classes: [any EvictableClass] = []
    private(set) var evictions: [Eviction: Int] = [:]
    func evictions(of use: PageClass) -> Int { evictions.reduce(0) { $0 + ($1.key.use == use ? $1.value : 0) } }

    init(pool: Pool) { self.pool = pool }

    /// The class takes part from now on, for as long as the economy lives.
    func join(_ evictable: any EvictableClass) { classes.append(evictable) }

    /// For the end of the engine: classes hold their economy, too.
    func end() { classes = [] }

    /// Lets the cheapest objects go until the pool has room for `pages` of a class. False, and nobody leaves, where everything that may
    /// leave would not make room for `leaving` pages more than that. Offers worth more than `limit` stay.
    func makeRoom(_ pages: Int, for use: PageClass, leaving: Int = 0, below limit: Double = .infinity) -> Bool {
        if pool.room(for: use) >= pages + leaving { return true }
        guard couldMakeRoom(pages + leaving, for: use) else { return false }
        while pool.room(for: use) < pages {
            guard let cheapest = offers(for: use).min(by: { $0.value < $1.value }), cheapest.value < limit else { return false }
            evict(cheapest.evictable, .room(use))
        }
        return true
    }

    /// Lets the cheapest objects go until enough have. False where what is left may not leave.
    func fit(cause: EvictionCause, until isEnough: () -> Bool) -> Bool {
        while !isEnough() {
            let offers = classes.compactMap { evictable -> (evictable: any EvictableClass, value: Double)? in
                guard pool.pagesAboveFloor(of: evictable.use) > 0, let value = evictable.cheapestValue() else { return nil }
                return (evictable, value)
            }
            guard let cheapest = offers.min(by: { $0.value < $1.value }) else { return false }
            evict(cheapest.evictable, cause)
        }
        return true
    }

    /// Whether a class would have so many pages if everything left that may.
    private func couldMakeRoom(_ pages: Int, for use: PageClass) -> Bool {
        // A class at its ceiling helps only itself; one above its floor helps others down to it.
        let ceilingRoom = pool.ceilingRoom(for: use)
        let own = classes.first { $0.use == use }?.evictablePages ?? 0
        if ceilingRoom + own < pages { return false }
        var room = pool.sharedRoom(for: use) + own
        for other in classes where other.use != use { room += min(other.evictablePages, pool.pagesAboveFloor(of: other.use)) }
        return room >= pages
    }

    /// Pages of a class that may leave now.
    func evictablePages(of use: PageClass) -> Int { classes.reduce(0) { $0 + ($1.use == use ? $1.evictablePages : 0) } }

    private func offers(for use: PageClass) -> [(evictable: any EvictableClass, value: Double)] {
        let isAtCeiling = pool.ceilingRoom(for: use) <= 0
        var offers: [(evictable: any EvictableClass, value: Double)] = []
        for evictable in classes {
            guard evictable.use == use || (!isAtCeiling && pool.pagesAboveFloor(of: evictable.use) > 0), let value = evictable.cheapestValue() else { continue }
            offers.append((evictable, value))
        }
        return offers
    }

    private func evict(_ evictable: any EvictableClass, _ cause: EvictionCause) {
        evictable.evictCheapest()
        evictions[Eviction(use: evictable.use, cause: cause), default: 0] += 1
    }
}
