// Priorities inside a tenant: whom a request that is let in has overtaken, and in which order those will be served who are here.
//
// A request that runs keeps its place: a more urgent one of its tenant waits until one is free. Where room is wanted in any case the least urgent of a tenant makes way
// (`Engine+Fairness.swift`).

import BerthCore

extension Engine {
    /// A request was let in. Who was passed, in the queue or with a prompt that waits for rows, is raised when that has happened often enough; it is returned.
    func noteOvertaking(by request: ActiveRequest) -> ActiveRequest? {
        let serviceClass = request.request.serviceClass
        let rank = request.urgency.rank
        let running = (request.isBulk ? bulk : running).requests.first { other in
            other.tenant === request.tenant && other.arrival < request.arrival && other.urgency.rank > rank && other.isRunning && other.pending > 1
        }
        let passed = [request.tenant[serviceClass].waiting.oldestPassed(by: request), running].compactMap(\.self).min { $0.arrival < $1.arrival }
        guard let passed else { return nil }
        request.tenant[serviceClass].waiting.overtakings += 1
        guard request.tenant[serviceClass].waiting.overtakings >= configuration.overtakings else { return nil }
        request.tenant[serviceClass].waiting.overtakings = 0
        if passed.isRunning { passed.isRaised = true } else { request.tenant[serviceClass].waiting.raise(passed) }
        counters.raisedRequests += 1
        passed.account.use.raisedRequests += 1
        return passed
    }

    /// The order in which a tenant's prompts will be computed, as far as it is known: `running`, in order of arrival, and those who wait. Where there are places a more
    /// urgent one goes before those who run; where there are none, it waits for one.
    func foreseenOrder(of tenant: Tenant, _ serviceClass: ServiceClass, running: [ActiveRequest]) -> [ActiveRequest] {
        let line = tenant[serviceClass].waiting
        if (running + line.requests).haveOneRank { return running + line.requests }
        let first = isFull ? running.byUrgency : []
        let rest = isFull ? line.requests : (running + line.requests).sorted {
            ($0.urgency.rank, $0.isRunning ? 0 : 1, $0.arrival) < ($1.urgency.rank, $1.isRunning ? 0 : 1, $1.arrival)
        }
        return first + withRaised(rest, overtakings: line.overtakings)
    }

    /// The same requests, with the oldest of them where it will be raised.
    private func withRaised(_ requests: [ActiveRequest], overtakings: Int) -> [ActiveRequest] {
        var overtakings = overtakings
        var byAge = requests.sorted { $0.arrival < $1.arrival }[...]
        var taken: Set<ObjectIdentifier> = []
        var order: [ActiveRequest] = []
        var next = requests[...]
        while true {
            while let first = byAge.first, taken.contains(ObjectIdentifier(first)) { byAge.removeFirst() }
            while let first = next.first, taken.contains(ObjectIdentifier(first)) { next.removeFirst() }
            guard let oldest = byAge.first, let urgent = next.first else { return order }
            let isOldestsTurn = overtakings >= configuration.overtakings
            if isOldestsTurn {
                overtakings = 0
            } else if urgent !== oldest, !urgent.isRunning {
                overtakings += 1
            }
            let request = isOldestsTurn ? oldest : urgent
            taken.insert(ObjectIdentifier(request))
            order.append(request)
        }
    }
}
