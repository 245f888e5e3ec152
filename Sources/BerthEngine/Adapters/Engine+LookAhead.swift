// Adapters that the queue will need, read before their request's turn.
//
// While requests wait for a place or for pages, the disk has time: their adapters are read in the order of the queue, as far as idle pages reach. What the
// request in front and those that run will want stays free, one reader stays free for whose turn it is, and nobody leaves memory who is worth more:
// an idle adapter that somebody in the queue waits for is worth what its place in it says.

import BerthCore

extension Engine {
    /// The first in the queue, in the order in which they are asked; the registry knows then whom they wait for. None where nobody waits for an adapter.
    func awaited() -> [ActiveRequest] {
        registry.awaited = [:]
        guard waiting.requests.contains(where: { $0.request.adapter != nil }) else { return [] }
        let order = admissionOrder(Limits.adapterLookAhead)
        for (place, request) in order.enumerated() {
            guard let adapter = adapterAhead(for: request), registry.awaited[ObjectIdentifier(adapter)] == nil else { continue }
            registry.awaited[ObjectIdentifier(adapter)] = place
        }
        return order
    }

    /// Reads for those who wait still; `leaving` pages are for others, and what the first of them will want.
    func lookAhead(_ awaited: [ActiveRequest], leaving: Int) {
        let left = awaited.filter { $0.phase == .queued || $0.phase == .waitingForAdapter }
        guard let first = left.first else { return }
        for (place, request) in left.enumerated() {
            guard let adapter = adapterAhead(for: request) else { continue }
            request.phase = adapter.weights == nil ? .waitingForAdapter : .queued
            guard case .absent = adapter.residency, adapter.lastFailure == nil else { continue }
            guard case .begun = registry.beginLoad(adapter, leaving: leaving + blocks(first.tokens.count), ahead: place) else { return }
            chargeDisk(request, bytes: Double(adapter.source.bytes))
        }
    }

    /// What it waits for was read and has not been used yet.
    func hasUnusedAdapter(_ request: ActiveRequest) -> Bool {
        guard let adapter = adapterAhead(for: request) else { return false }
        return adapter.weights != nil && adapter.stayUses == 0
    }

    /// The adapter that a waiting request will ask for, as far as that is known.
    private func adapterAhead(for request: ActiveRequest) -> Adapter? {
        if let bound = request.adapter { return bound }
        guard let name = request.request.adapter, case .adapter(let adapter) = registry.entries[name] else { return nil }
        return adapter
    }
}
