// What a step takes on some machine: the simulator's measure of time.
//
// A pass over the weights depends on its rows as no formula does (few rows cost the reading of the weights, many their arithmetic), so it
// is a table, read between its points. What comes on top of it is a sum: attention by pairs of tokens, rows of logits, adapters. `berth-bench calibrate` measures all
// of it on a checkpoint; the defaults are those of a 1B model at 8 bits on two cores of a common server.

/// Durations in nanoseconds. A pure value.
public struct StepCosts: Sendable, Equatable {
    /// A pass of so many rows that attend to nothing, rising by rows; at least one.
    public struct Pass: Sendable, Equatable {
        public var rows: Int
        public var nanoseconds: Double

        public init(rows: Int, nanoseconds: Double) {
            self.rows = rows
            self.nanoseconds = nanoseconds
        }
    }

    public var passes: [Pass] = [
        Pass(rows: 1, nanoseconds: 38e6), Pass(rows: 2, nanoseconds: 44e6), Pass(rows: 4, nanoseconds: 68e6), Pass(rows: 8, nanoseconds: 118e6),
        Pass(rows: 16, nanoseconds: 215e6), Pass(rows: 32, nanoseconds: 408e6), Pass(rows: 128, nanoseconds: 1.55e9), Pass(rows: 512, nanoseconds: 6.1e9),
    ]
    /// Each pair of a row and a token that it attends to: of a prompt's rows, which share the keys that they read, and of a row by itself.
    public var attendedByPrompt = 1_500.0
    public var attendedByStream = 9_000.0
    /// Each row of logits, its sampling included.
    public var logitRow = 3.5e6
    /// Each sequence: its share in planning, events and detokenizing.
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

    public init() {}

    /// A pass of so many rows: between two points of the table in proportion, and beyond its end as the last two lead there.
    func pass(rows: Int) -> Double {
        guard let last = passes.last, passes.count > 1 else { return passes.first?.nanoseconds ?? 0 }
        guard rows > passes[0].rows else { return passes[0].nanoseconds }
        let upper = rows >= last.rows ? passes.count - 1 : passes.firstIndex { $0.rows >= rows }!
        let (from, to) = (passes[upper - 1], passes[upper])
        return from.nanoseconds + (to.nanoseconds - from.nanoseconds) * Double(rows - from.rows) / Double(to.rows - from.rows)
    }

    /// A step without experts.
    func nanoseconds(of work: StepWork) -> Double {
        step + pass(rows: work.rows) + sequence * Double(work.sequences) + attendedByPrompt * Double(work.attendedByPrompts)
            + attendedByStream * Double(work.attendedByStreams) + logitRow * Double(work.logitRows) + adapter * Double(work.adapters)
            + adapterRow * Double(work.adapterRows)
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

    mutating func add(rows count: Int, after context: Int, logitRows: Int, hasAdapter: Bool) {
        rows += count
        sequences += 1
        let attended = count * context + count * (count + 1) / 2
        if count == 1 { attendedByStreams += attended } else { attendedByPrompts += attended }
        self.logitRows += logitRows
        if hasAdapter { adapterRows += count }
    }
}
