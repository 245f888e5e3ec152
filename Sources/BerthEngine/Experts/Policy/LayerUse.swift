// What one layer's router chose in one step, counted: which experts, and how often each running request wanted them.

/// The choices of one layer and step. The object is filled anew for every layer; its tables stay.
final class LayerUse {
    /// A request with rows in this step.
    struct Request {
        var slot: Int
        var rows: Int
    }

    private(set) var layer = 0
    private(set) var requests: [Request] = []
    /// Experts of the layer that at least one row chose, in the order of first choice.
    private(set) var experts: [Int] = []
    /// Per request of `requests`, how many of its rows chose each expert of the layer.
    private var counts: [Float] = []
    private var width = 0
    /// The place of a slot among `requests`, or -1; and whether an expert is among `experts`.
    private var place: [Int] = []
    private var isChosen: [Bool] = []

    /// - Parameters:
    ///   - choices: of one row after another, `k` experts each; an index outside the layer is a bug of the caller.
    ///   - slots: the request of each row.
    func fill(layer: Int, width: Int, choices: UnsafeBufferPointer<Int32>, slots: UnsafeBufferPointer<Int32>) {
        precondition(slots.isEmpty ? choices.isEmpty : choices.count % slots.count == 0, "\(choices.count) choices of \(slots.count) rows")
        clear()
        (self.layer, self.width) = (layer, width)
        if isChosen.count < width { isChosen += Array(repeating: false, count: width - isChosen.count) }
        let perRow = slots.isEmpty ? 0 : choices.count / slots.count
        for row in slots.indices {
            let request = index(of: Int(slots[row]))
            requests[request].rows += 1
            for choice in choices[(row * perRow)..<((row + 1) * perRow)] {
                let expert = Int(choice)
                precondition(expert >= 0 && expert < width, "the router chose expert \(expert) of \(width)")
                counts[request * width + expert] += 1
                guard !isChosen[expert] else { continue }
                isChosen[expert] = true
                experts.append(expert)
            }
        }
    }

    func withCounts<R>(ofRequest index: Int, _ body: (UnsafeBufferPointer<Float>) -> R) -> R {
        counts.withUnsafeBufferPointer { body(UnsafeBufferPointer(rebasing: $0[(index * width)..<((index + 1) * width)])) }
    }

    private func index(of slot: Int) -> Int {
        precondition(slot >= 0, "a request's slot is \(slot)")
        if slot >= place.count { place += Array(repeating: -1, count: slot + 1 - place.count) }
        if place[slot] < 0 {
            place[slot] = requests.count
            requests.append(Request(slot: slot, rows: 0))
            let needed = requests.count * width
            if counts.count < needed { counts += Array(repeating: 0, count: needed - counts.count) }
            for entry in (needed - width)..<needed { counts[entry] = 0 }
        }
        return place[slot]
    }

    private func clear() {
        for request in requests { place[request.slot] = -1 }
        for expert in experts { isChosen[expert] = false }
        requests.removeAll(keepingCapacity: true)
        experts.removeAll(keepingCapacity: true)
    }
}
