// What idle adapters are worth to the economy.
//
// Among adapters it is recency that decides. Against other classes an adapter's chance is one over the steps since its last use: whoever
// was gone for n steps will, by what is known, be gone for as many more.

import BerthMemory

extension AdapterRegistry: EvictableClass {
    var use: PageClass { .adapter }

    /// How fast adapters come back, in bytes per second, before one was read: as from a common disk, packing included.
    private static let unmeasuredSpeed = 0.5e9

    /// Pages that idle adapters could give up.
    var evictablePages: Int { residents.reduce(0) { $0 + ($1.isIdle ? $1.pageCount : 0) } }

    /// The least recently used idle adapter. O(resident adapters).
    var cheapest: Adapter? { residents.lazy.filter(\.isIdle).min { $0.lastUse < $1.lastUse } }

    func cheapestValue() -> Double? {
        guard let cheapest else { return nil }
        let seconds = Double(cheapest.source.bytes) / (reader.bytesPerSecond ?? Self.unmeasuredSpeed)
        return seconds / Double(cheapest.pageCount) / Double(1 + max(0, step - cheapest.lastUseStep))
    }

    func evictCheapest() {
        guard let cheapest else { preconditionFailure("no adapter may leave") }
        leaveMemory(cheapest, givingMemoryBack: false)
        evictions += 1
    }
}
