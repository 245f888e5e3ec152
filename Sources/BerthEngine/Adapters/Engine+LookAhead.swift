// Adapters that the queue will need, read before their request's turn.
//
// While requests wait for a place or for pages, the disk has time: their adapters are read in the order of the queue, as far as idle pages reach. What the
// request in front and those that run will want stays free, one reader stays free for whose turn it is, and nobody leaves memory who is worth more:
// an idle adapter that somebody in the queue waits for is worth what its place in it says.

import BerthCore

extension Engine {
    /// Tells the registry who is waited for.
    func noteAwaitedAdapters(_ order: [ActiveRequest]) {
        var places: [ObjectIdentifier: Int] = [:]
        for (place, request) in order.prefix(Limits.adapterLookAhead).enumerated() {
            guard let adapter = adapterAhead(for: request), places[ObjectIdentifier(adapter)] == nil else { continue }
            places[ObjectIdentifier(adapter)] = place
        }
        registry.awaited = places
    }

    /// Reads for those who wait, of whom the first is not let in yet; `leaving` pages are for others.
    func lookAhead(_ waiting: ArraySlice<ActiveRequest>, leaving: Int) {
        guard let first = waiting.first else { return }
        for (place, request) in waiting.prefix(Limits.adapterLookAhead).enumerated() {
            guard let adapter = adapterAhead(for: request) else { continue }
            request.phase = adapter.weights == nil ? .waitingForAdapter : .queued
            guard case .absent = adapter.residency, adapter.lastFailure == nil else { continue }
            guard case .begun = registry.beginLoad(adapter, leaving: leaving + blocks(first.tokens.count), ahead: place) else { return }
        }
    }

    /// The adapter that a waiting request will ask for, as far as that is known.
    private func adapterAhead(for request: ActiveRequest) -> Adapter? {
        if let bound = request.adapter { return bound }
        guard let name = request.request.adapter, case .adapter(let adapter) = registry.entries[name] else { return nil }
        return adapter
    }
}
