// The experts that one cache holds, real or shadow, and the cheapest of each layer.
//
// A layer's cheapest is looked for only when something about the layer changed since, so that a victim costs a look at every
// layer's cheapest and one search among the experts of the layer it was taken from.

struct ResidentSet {
    private let shape: ExpertShape
    private(set) var isResident: [Bool]
    /// Uses that forbid to let an expert go: leases, and the present turn of its layer.
    private var holds: [UInt16]
    /// The cheapest resident expert of each layer that nobody holds, as a dense index.
    private var cheapest: [Int32]
    private(set) var count = 0
    private static let (unknown, none): (Int32, Int32) = (-1, -2)

    init(shape: ExpertShape) {
        self.shape = shape
        isResident = Array(repeating: false, count: shape.count)
        holds = Array(repeating: 0, count: shape.count)
        cheapest = Array(repeating: Self.none, count: shape.layers)
    }

    mutating func insert(_ index: Int, layer: Int) {
        precondition(!isResident[index], "expert \(shape.key(at: index)) became resident twice")
        isResident[index] = true
        count += 1
        cheapest[layer] = Self.unknown
    }

    mutating func remove(_ index: Int, layer: Int) {
        precondition(isResident[index], "expert \(shape.key(at: index)) left without having been resident")
        isResident[index] = false
        count -= 1
        if cheapest[layer] == Int32(index) { cheapest[layer] = Self.unknown }
    }

    mutating func hold(_ index: Int, layer: Int) {
        holds[index] += 1
        if cheapest[layer] == Int32(index) { cheapest[layer] = Self.unknown }
    }

    mutating func release(_ index: Int, layer: Int) {
        precondition(holds[index] > 0, "expert \(shape.key(at: index)) was released without having been held")
        holds[index] -= 1
        if holds[index] == 0 { cheapest[layer] = Self.unknown }
    }

    /// The layer's scores have changed.
    mutating func rescored(_ layer: Int) { cheapest[layer] = Self.unknown }

    mutating func rescoredAll() { for layer in cheapest.indices { cheapest[layer] = Self.unknown } }

    /// The expert that is worth least; nil when every resident one is held. O(layers + experts of the layers that changed).
    mutating func victim(by scores: ExpertScores, _ position: PassPosition) -> (index: Int, layer: Int)? {
        var best: (index: Int, layer: Int)?
        var least = Double.infinity
        for layer in cheapest.indices {
            if cheapest[layer] == Self.unknown { cheapest[layer] = search(layer, scores) }
            guard cheapest[layer] >= 0 else { continue }
            let index = Int(cheapest[layer])
            let total = scores.total(scores.own[index], distance: position.distance(to: layer))
            guard total < least else { continue }
            (least, best) = (total, (index, layer))
        }
        return best
    }

    private func search(_ layer: Int, _ scores: ExpertScores) -> Int32 {
        let range = shape.range(of: layer)
        return scores.own.withUnsafeBufferPointer { own in
            isResident.withUnsafeBufferPointer { isResident in
                holds.withUnsafeBufferPointer { holds in
                    var best = Self.none
                    var least = Double.infinity
                    for index in range where own[index] < least && isResident[index] && holds[index] == 0 {
                        (least, best) = (own[index], Int32(index))
                    }
                    return best
                }
            }
        }
    }
}
