// Which experts there are, and a dense number for each, so that the policy's tables are arrays.

/// One expert of a mixture: `layer` counts the layers that have experts (dense ones between them do not count).
public struct ExpertKey: Hashable, Sendable {
    public var layer: Int32
    public var expert: Int32

    public init(layer: Int, expert: Int) { (self.layer, self.expert) = (Int32(layer), Int32(expert)) }
}

/// How many experts each mixture of a model has.
public struct ExpertShape: Equatable, Sendable {
    /// The first dense index of each layer, and behind them the count of all experts.
    let starts: [Int]

    /// - Parameter expertsPerLayer: of each layer that has experts, in the order of a pass.
    public init(expertsPerLayer: [Int]) {
        precondition(!expertsPerLayer.isEmpty && expertsPerLayer.allSatisfy { $0 > 0 }, "a shape without experts: \(expertsPerLayer)")
        starts = expertsPerLayer.reduce(into: [0]) { $0.append($0[$0.count - 1] + $1) }
    }

    public init(layers: Int, experts: Int) { self.init(expertsPerLayer: Array(repeating: experts, count: layers)) }

    public var layers: Int { starts.count - 1 }
    /// Experts of all layers together.
    public var count: Int { starts[layers] }
    public func experts(in layer: Int) -> Int { starts[layer + 1] - starts[layer] }

    func range(of layer: Int) -> Range<Int> { starts[layer]..<starts[layer + 1] }

    public func index(_ layer: Int, _ expert: Int) -> Int {
        precondition(layer >= 0 && layer < layers && expert >= 0 && expert < experts(in: layer), "no expert \(expert) in layer \(layer)")
        return starts[layer] + expert
    }

    public func index(of key: ExpertKey) -> Int { index(Int(key.layer), Int(key.expert)) }

    public func key(at index: Int) -> ExpertKey {
        precondition(index >= 0 && index < count, "no expert has the index \(index)")
        // The layers are few and of one size as a rule: start where that rule would put it.
        var layer = min(index * layers / count, layers - 1)
        while index < starts[layer] { layer -= 1 }
        while index >= starts[layer + 1] { layer += 1 }
        return ExpertKey(layer: layer, expert: index - starts[layer])
    }
}
