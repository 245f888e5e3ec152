// What a step has to do, as far as its time depends on it.

/// The sums over a step's sequences that its time grows with.
struct StepLoad: Equatable {
    private(set) var rows = 0
    private(set) var sequences = 0
    /// Pairs of a row and a token that it attends to.
    private(set) var attended = 0

    /// Another sequence: `rows` tokens that follow `context` others.
    mutating func add(rows count: Int, after context: Int) {
        rows += count
        sequences += 1
        attended += count * context + count * (count + 1) / 2
    }

    /// As many sequences of one token each, whose contexts have so many tokens together.
    mutating func add(single count: Int, after contexts: Int) {
        rows += count
        sequences += count
        attended += contexts + count
    }

    func adding(rows count: Int, after context: Int) -> StepLoad {
        var load = self
        load.add(rows: count, after: context)
        return load
    }

    /// One number for each thing that takes time, the first for what every step takes, the second for its rows. A new cost needs a number here
    /// and nothing else: what was always 0 plays no part. What is read from disk is not among them: it depends on what is in memory, and `StepPacer` is told.
    var features: [Double] { [1, Double(rows), Double(sequences), Double(attended)] }

    static let featureCount = StepLoad().features.count
}
