// Requests in the order of their tenants' counters.
//
// Each tenant has a line of its own; the next request is the first in the line of whoever has had the least, and what it is charged with counts for who is
// next. With one tenant the order is that of its line. A line costs O(log tenants) per request.

import HeapModule

struct FairOrder {
    private struct Line: Comparable {
        let tenant: Tenant
        var requests: [ActiveRequest]
        var next = 0
        var counter: Double
        /// It is the first's turn, whatever the counters say.
        var hasTurn = false

        /// Ties go to who came first: the order is the same whatever the order in which lines were given.
        static func < (left: Line, right: Line) -> Bool {
            if left.hasTurn != right.hasTurn { return left.hasTurn }
            return (left.counter, left.requests[left.next].arrival) < (right.counter, right.requests[right.next].arrival)
        }

        static func == (left: Line, right: Line) -> Bool { left.tenant === right.tenant }
    }

    private var lines: Heap<Line>
    /// Whose request was the last one.
    private var present: Line?

    /// - Parameter lines: a tenant's requests in the order in which it wants them, and its counter now.
    init(_ lines: some Sequence<(tenant: Tenant, counter: Double, requests: [ActiveRequest])>) {
        self.lines = Heap(lines.lazy.filter { !$0.requests.isEmpty }.map { Line(tenant: $0.tenant, requests: $0.requests, counter: $0.counter) })
    }

    mutating func next() -> ActiveRequest? {
        if let line = present, line.next < line.requests.count { lines.insert(line) }
        present = lines.popMin()
        present?.hasTurn = false
        defer { present?.next += 1 }
        return present.map { $0.requests[$0.next] }
    }

    /// Before anybody was asked: whoever is first in its line goes before other lines where `isDue` says so.
    mutating func giveTurns(_ isDue: (ActiveRequest) -> Bool) {
        lines = Heap(
            lines.unordered.map { line in
                var line = line
                line.hasTurn = isDue(line.requests[0])
                return line
            })
    }

    /// What the last one gets.
    mutating func charge(_ units: Double) { if let tenant = present?.tenant { present!.counter += units / tenant.weight } }

    /// Nobody else of the last one's tenant is asked.
    mutating func setAside() { present = nil }

    /// The same of those of its tenant who are less urgent than it.
    mutating func setAside(lessUrgentThan request: ActiveRequest) {
        guard let line = present, let end = line.requests[line.next...].firstIndex(where: { $0.urgency.rank > request.urgency.rank }) else { return }
        present!.requests.removeSubrange(end...)
    }

    /// Somebody of the last one's line was raised: it goes before those who are yet to come and are not.
    mutating func bringForward(_ request: ActiveRequest) {
        guard let next = present?.next, let place = present!.requests[next...].firstIndex(where: { $0 === request }) else { return }
        present!.requests.remove(at: place)
        let front = present!.requests[next...].firstIndex { $0.urgency > request.urgency } ?? present!.requests.endIndex
        present!.requests.insert(request, at: front)
    }

    /// Whether somebody of the same line, who is as urgent and came earlier than the last one, is yet to come.
    func wasPreferred(_ request: ActiveRequest, among few: Int) -> Bool {
        guard let line = present else { return false }
        return line.requests[line.next...].prefix(few).contains { $0.urgency.rank == request.urgency.rank && $0.arrival < request.arrival }
    }
}
