// What comes to the engine from outside, and when.

import BerthCore
import HeapModule

struct TimedEvent: Comparable {
    enum Kind {
        /// A tenant's own time has come: its next request, and the one after it.
        case arrival(tenant: Int)
        /// A client of a tenant has its answer and asks again.
        case question(tenant: Int)
        /// Of a recording, the request at this place.
        case recorded(Int)
        case submit(PlannedRequest, arrival: UInt64)
        case cancel(RequestID)
        case changeAdapter
        case restoreAdapter(Int)
        case changePin
        case changeLimit
        case changePressure
    }

    let time: UInt64
    /// Of two events of one time the earlier made comes first.
    let order: Int
    let kind: Kind

    static func < (left: TimedEvent, right: TimedEvent) -> Bool { (left.time, left.order) < (right.time, right.order) }
    static func == (left: TimedEvent, right: TimedEvent) -> Bool { left.order == right.order }
}

/// Events in the order of their times.
struct EventQueue {
    private var heap = Heap<TimedEvent>()
    private var made = 0

    var nextTime: UInt64? { heap.min?.time }

    mutating func add(_ kind: TimedEvent.Kind, at time: UInt64) {
        made += 1
        heap.insert(TimedEvent(time: time, order: made, kind: kind))
    }

    /// Some event that is due is one of those wanted.
    func contains(by time: UInt64, _ isWanted: (TimedEvent.Kind) -> Bool) -> Bool {
        guard let nextTime, nextTime <= time else { return false }
        return heap.unordered.contains { $0.time <= time && isWanted($0.kind) }
    }

    /// The next event that is due.
    mutating func next(at time: UInt64) -> TimedEvent? {
        guard let first = heap.min, first.time <= time else { return nil }
        return heap.removeMin()
    }
}
