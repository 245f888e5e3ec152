// How often each running request wanted each expert of late: the part of the policy that knows about requests.
//
// Per request and expert there is one number, the share of its last rows that chose the expert, in which a row counts half
// as much after `halfLife` more rows of the same request. Read as the chance that the request's next row wants the expert,
// they give the chance that at least one running request does: 1 − Π (1 − share). What belongs to a request leaves with it.

import Glibc

final class RequestHistory {
    let halfLife: Double
    private let shape: ExpertShape
    /// By the request's slot; nil for a slot that nobody has.
    private var shares: [[Float]?] = []
    private(set) var slots: [Int] = []
    /// Those of `slots` that do not run for now: they count again with their next row.
    private var paused: Set<Int> = []

    init(shape: ExpertShape, halfLife: Double) {
        precondition(halfLife > 0, "a half-life of \(halfLife) rows")
        (self.shape, self.halfLife) = (shape, halfLife)
    }

    /// Counts a layer's choices. Many rows of one request count as if their choices were spread evenly over them.
    func note(_ use: LayerUse) {
        let range = shape.range(of: use.layer)
        for (index, request) in use.requests.enumerated() {
            open(request.slot)
            paused.remove(request.slot)
            let kept = Float(exp2(-Double(request.rows) / halfLife))
            let gain = (1 - kept) / Float(request.rows)
            use.withCounts(ofRequest: index) { counts in
                shares[request.slot]!.withUnsafeMutableBufferPointer { shares in
                    for expert in 0..<range.count { shares[range.lowerBound + expert] = shares[range.lowerBound + expert] * kept + counts[expert] * gain }
                }
            }
        }
    }

    /// Writes the chance that no running request wants an expert of the layer with its next row.
    func chanceOfNone(in layer: Int, into none: inout [Float]) {
        let range = shape.range(of: layer)
        none.withUnsafeMutableBufferPointer { none in
            for expert in 0..<range.count { none[expert] = 1 }
            for slot in slots where !paused.contains(slot) {
                shares[slot]!.withUnsafeBufferPointer { shares in
                    for expert in 0..<range.count { none[expert] *= 1 - shares[range.lowerBound + expert] }
                }
            }
        }
    }

    func pause(_ slot: Int) { if slot < shares.count, shares[slot] != nil { paused.insert(slot) } }
    func resume(_ slot: Int) { paused.remove(slot) }

    func end(_ slot: Int) {
        paused.remove(slot)
        guard slot < shares.count, shares[slot] != nil else { return }
        shares[slot] = nil
        slots.removeAll { $0 == slot }
    }

    private func open(_ slot: Int) {
        if slot >= shares.count { shares += Array(repeating: nil, count: slot + 1 - shares.count) }
        guard shares[slot] == nil else { return }
        shares[slot] = Array(repeating: 0, count: shape.count)
        slots.append(slot)
    }
}
