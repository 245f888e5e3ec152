// Requests in the order of their arrival.

extension Array {
    /// The elements for which `isLater` does not hold, then the others, each in their order.
    func partitioned(_ isLater: (Element) -> Bool) -> [Element] { filter { !isLater($0) } + filter(isLater) }
}

/// An array of requests that stays sorted by arrival. Requests mostly come at the end, so insertion is cheap; removal moves
/// the references behind, which for `Limits.queuedRequests` is nothing.
struct ArrivalList {
    private(set) var requests: [ActiveRequest] = []

    var count: Int { requests.count }
    var isEmpty: Bool { requests.isEmpty }
    var youngest: ActiveRequest? { requests.last }
    subscript(index: Int) -> ActiveRequest { requests[index] }

    mutating func insert(_ request: ActiveRequest) {
        var index = requests.count
        while index > 0, requests[index - 1].arrival > request.arrival { index -= 1 }
        requests.insert(request, at: index)
    }

    mutating func remove(_ request: ActiveRequest) {
        var low = 0
        var high = requests.count
        while low < high {
            let middle = (low + high) / 2
            if requests[middle].arrival < request.arrival { low = middle + 1 } else { high = middle }
        }
        precondition(low < requests.count && requests[low] === request, "request \(request.request.id) is not in its list")
        requests.remove(at: low)
    }

    mutating func remove(at index: Int) { requests.remove(at: index) }
    mutating func removeYoungest() -> ActiveRequest { requests.removeLast() }
    mutating func removeFinished() { requests.removeAll { $0.phase == .finished } }
}
