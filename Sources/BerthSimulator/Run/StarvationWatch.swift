// Whether somebody waits while others are served without end.
//
// The measure is service, not time: tokens of prompts and outputs that others got since a request came. While it waits for a place, that may be what was here
// before it; for every token of its own tenant's that stands before it, other tenants' shares; what passed while adapters were read, because
// who waits for the disk steps aside; and a constant. Requests that nobody waits for are not watched: they take what is left over.

import BerthCore

struct StarvationWatch {
    private struct Waiting {
        var id: RequestID
        /// Service so far when it came, less what passed while adapters were read.
        var mark: Int
        /// What may be served before it.
        var bound: Int
    }

    private var waiting: [Waiting] = []
    /// Service, and how much of it passed beside reads of adapters.
    private var (served, besideReads) = (0, 0)

    /// A request came. `bound` is the service that may go before it.
    mutating func begin(_ id: RequestID, bound: Int) { waiting.append(Waiting(id: id, mark: served - besideReads, bound: bound)) }

    /// It has its first token, or has ended.
    mutating func end(_ id: RequestID) {
        if let index = waiting.firstIndex(where: { $0.id == id }) { waiting.remove(at: index) }
    }

    /// A step has brought the sums to so much.
    mutating func note(served total: Int, readsAdapters: Bool) {
        if readsAdapters { besideReads += total - served }
        served = total
    }

    /// Requests that have seen more than they may, and what that is; they starve if they have no place yet.
    var suspects: [(id: RequestID, served: Int, bound: Int)] {
        waiting.lazy.filter { served - besideReads - $0.mark > $0.bound }.map { ($0.id, served - besideReads - $0.mark, $0.bound) }
    }
}
