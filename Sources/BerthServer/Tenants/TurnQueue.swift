// A queue that serves its keys in turn: who puts much into it waits for itself.

/// Elements of one key leave in their order; between two of them every other key that has one is served. Each operation takes the time of a short array's.
struct TurnQueue<Key: Hashable, Element> {
    /// Keys that have elements; the next first.
    private var turns: [Key] = []
    private var elements: [Key: [Element]] = [:]

    var isEmpty: Bool { turns.isEmpty }

    mutating func add(_ element: Element, of key: Key) {
        if elements[key] == nil { turns.append(key) }
        elements[key, default: []].append(element)
    }

    mutating func next() -> Element? {
        guard !turns.isEmpty else { return nil }
        let key = turns.removeFirst()
        let element = elements[key]!.removeFirst()
        if elements[key]!.isEmpty { elements[key] = nil } else { turns.append(key) }
        return element
    }
}
