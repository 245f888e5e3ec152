// Where the engine stands in its endless round over the layers.

public struct PassPosition: Sendable {
    let layers: Int
    /// Steps begun.
    private(set) var step = 0
    /// The layer whose turn it is or was last; -1 before the first of a step.
    private(set) var layer = -1
    /// Turns of layers so far: a clock for recency.
    private(set) var turns = 0

    init(layers: Int) { self.layers = layers }

    mutating func beginStep() {
        step += 1
        layer = -1
    }

    mutating func beginLayer(_ layer: Int) {
        self.layer = layer
        turns += 1
    }

    /// Turns of other layers until the layer's next one and that one itself: 1...layers. The layer whose turn it is has just used what it wants,
    /// so its next turn is a whole round off.
    func distance(to layer: Int) -> Int {
        layer > self.layer ? layer - self.layer : layer - self.layer + layers
    }
}
