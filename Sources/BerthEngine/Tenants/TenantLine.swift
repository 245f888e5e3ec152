// The requests of one tenant and class that wait, in the order in which it wants them: by priority, then by age.
//
// A priority says something of a tenant's own requests and nothing of others': whose turn it is the counters say (`VirtualCounters`), which know no priorities.
// Lower goes first, as in vLLM.
//
// Nobody starves. A time after which age counts would make every backlog that is longer a queue by age, and an urgent request would wait for all of it. So age has
// a share instead: for every `Limits.overtakings` requests that are let in before an older, less urgent one of their tenant, the oldest of those that were passed
// is *raised*: for the rest of its life it goes before all that are not, and those that are raised go by age. Who has n older ones is raised after (n + 1) × so many at
// the latest; an urgent one waits for one raised in so many at most.

import BerthCore

/// How soon a request's tenant wants it; what is less goes first.
struct Urgency: Comparable {
    /// Its priority; less than any where it was raised.
    let rank: Int
    let arrival: UInt64

    static func < (left: Urgency, right: Urgency) -> Bool { (left.rank, left.arrival) < (right.rank, right.arrival) }
}

/// Sorted by urgency. Insertion and removal move the references behind, which for `Limits.queuedRequests` is nothing.
struct TenantLine {
    private(set) var requests: [ActiveRequest] = []
    /// How many were let in before an older, less urgent one since somebody was raised.
    var overtakings = 0

    var isEmpty: Bool { requests.isEmpty }

    /// Where the first stands that is not more urgent.
    private func place(of urgency: Urgency) -> Int {
        // Mostly it comes at the end.
        guard let last = requests.last, last.urgency >= urgency else { return requests.count }
        var low = 0, high = requests.count - 1
        while low < high {
            let middle = (low + high) / 2
            if requests[middle].urgency < urgency { low = middle + 1 } else { high = middle }
        }
        return low
    }

    mutating func insert(_ request: ActiveRequest) { requests.insert(request, at: place(of: request.urgency)) }

    mutating func remove(_ request: ActiveRequest) {
        let place = place(of: request.urgency)
        precondition(place < requests.count && requests[place] === request, "request \(request.request.id) is not in its tenant's line")
        requests.remove(at: place)
    }

    /// One of the line is raised.
    mutating func raise(_ request: ActiveRequest) {
        remove(request)
        request.isRaised = true
        insert(request)
    }

    /// The oldest of those whom a request goes before though they are older.
    func oldestPassed(by request: ActiveRequest) -> ActiveRequest? {
        let (rank, arrival) = (request.urgency.rank, request.arrival)
        return requests.reversed().prefix { $0.urgency.rank > rank }.filter { $0.arrival < arrival }.min { $0.arrival < $1.arrival }
    }
}

extension [ActiveRequest] {
    var byUrgency: [ActiveRequest] { sorted { $0.urgency < $1.urgency } }
    var haveOneRank: Bool { allSatisfy { $0.urgency.rank == self[0].urgency.rank } }

    /// The same places, each tenant's filled in the order of urgency.
    var inPlacesByUrgency: [ActiveRequest] {
        if haveOneRank { return self }
        var lines = Dictionary(grouping: self) { ObjectIdentifier($0.tenant) }.mapValues { $0.byUrgency[...] }
        return map { lines[ObjectIdentifier($0.tenant)]!.removeFirst() }
    }
}
