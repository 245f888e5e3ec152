// What a step takes on some machine: the simulator's measure of time.
//
// A pass over the weights depends on its rows as no formula does (few rows cost the reading of the weights, many their arithmetic, and kernels take rows by
// tiles), and so does the head with its rows of logits: these are tables. What comes on top of them is a sum: attention by pairs of tokens, adapters, and
// what engine and daemon do for each sequence. `berth-bench calibrate` measures all of it on a checkpoint; the defaults are those of a 1B model at 8 bits on
// two cores of a common server.

/// Durations in nanoseconds. A pure value.
public struct StepCosts: Sendable, Equatable {
    /// A pass of so many rows that attend to nothing.
    public var passes = CostTable([
        .init(rows: 1, nanoseconds: 38e6), .init(rows: 2, nanoseconds: 44e6), .init(rows: 4, nanoseconds: 68e6), .init(rows: 8, nanoseconds: 118e6),
        .init(rows: 16, nanoseconds: 215e6), .init(rows: 32, nanoseconds: 408e6), .init(rows: 128, nanoseconds: 1.55e9), .init(rows: 512, nanoseconds: 6.1e9),
    ])
    /// So many rows of logits. None cost nothing.
    public var logits = CostTable([.init(rows: 1, nanoseconds: 3.5e6), .init(rows: 64, nanoseconds: 64 * 3.5e6)])
    /// Each pair of a row and a token that it attends to: of a prompt's rows, which share the keys that they read, and of a row by itself.
    public var attendedByPrompt = 1_500.0
    public var attendedByStream = 9_000.0
    /// Each sequence: its share in planning, sampling, detokenizing and events.
    public var sequence = 15_000.0
    /// Each adapter of a step, and each row that has one.
    public var adapter = 0.8e6
    public var adapterRow = 0.4e6
    /// Each expert of a layer that some row chose, and each row in it; only for models whose experts are paged, of whose passes they are no part.
    public var expert = 0.35e6
    public var expertRow = 0.12e6
    /// Every step, whatever is in it.
    public var step = 60_000.0
    /// From a client's call until the engine has the request.
    public var request = 300_000.0
    /// An engine that has nothing to do begins a step so much after the first has come to it, for threads have to wake up; who comes meanwhile is in the step.
    public var wake = 200_000.0
    /// How much longer than all this steps take at the time. No part of a file of costs.
    public var pace = Pace()

    public init() {}

    /// A step without experts.
    func nanoseconds(of work: StepWork) -> Double {
        let cost = step + passes.nanoseconds(rows: work.rows) + (work.logitRows > 0 ? logits.nanoseconds(rows: work.logitRows) : 0)
            + sequence * Double(work.sequences) + attendedByPrompt * Double(work.attendedByPrompts)
            + attendedByStream * Double(work.attendedByStreams) + adapter * Double(work.adapters) + adapterRow * Double(work.adapterRows)
        return cost * pace.factor(rows: work.rows)
    }
}

/// What there is to do in a step, as far as its time depends on it.
struct StepWork {
    var rows = 0
    var sequences = 0
    var attendedByPrompts = 0
    var attendedByStreams = 0
    var logitRows = 0
    /// Different ones.
    var adapters = 0
    var adapterRows = 0

    /// Two passes in one, but for adapters that both have.
    static func + (left: StepWork, right: StepWork) -> StepWork {
        StepWork(
            rows: left.rows + right.rows, sequences: left.sequences + right.sequences, attendedByPrompts: left.attendedByPrompts + right.attendedByPrompts,
            attendedByStreams: left.attendedByStreams + right.attendedByStreams, logitRows: left.logitRows + right.logitRows,
            adapters: left.adapters + right.adapters, adapterRows: left.adapterRows + right.adapterRows)
    }

    mutating func add(rows count: Int, after context: Int, logitRows: Int, hasAdapter: Bool) {
        rows += count
        sequences += 1
        let attended = count * context + count * (count + 1) / 2
        if count == 1 { attendedByStreams += attended } else { attendedByPrompts += attended }
        self.logitRows += logitRows
        if hasAdapter { adapterRows += count }
    }
}
