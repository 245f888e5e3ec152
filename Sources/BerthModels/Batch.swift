// What the engine hands to a model for one step, and what a model is to the engine.
//
// A batch is rows of tokens, cut into sequences: a decode step of a request is a sequence of one row, a chunk of a prompt
// is one of many. Any mix of adapters and plain base rows may share a batch; the engine keeps sequences of one adapter
// next to each other, because adjacent ones merge into one segment. Made for one call of `forward`, on the engine thread.

import BerthKernels

/// The rows of one step.
public struct Batch {
    /// Adjacent rows of one request, at consecutive positions.
    public struct Sequence {
        /// Tokens of this step, at least one.
        public var rowCount: Int
        /// Position of the first of them, which is the number of tokens whose keys and values are in `pages` already.
        public var startPosition: Int
        /// `pages[i]` holds the keys and values of positions `i·blockTokens ..< (i+1)·blockTokens`; enough for all rows.
        public var pages: [UnsafeMutableRawPointer]
        /// Nil is the plain base model.
        public var adapter: AdapterWeights?
        /// Rows, counted from this sequence's first, whose logits are wanted. May be empty.
        public var logitRows: Range<Int>

        public init(rowCount: Int, startPosition: Int, pages: [UnsafeMutableRawPointer], adapter: AdapterWeights? = nil, logitRows: Range<Int>) {
            self.rowCount = rowCount
            self.startPosition = startPosition
            self.pages = pages
            self.adapter = adapter
            self.logitRows = logitRows
        }
    }

    /// All sequences' tokens, in order.
    public var tokens: [Int32]
    public var sequences: [Sequence]

    public init(tokens: [Int32] = [], sequences: [Sequence] = []) {
        self.tokens = tokens
        self.sequences = sequences
    }

    /// Rows of logits that `forward` returns.
    public var logitRowCount: Int { sequences.reduce(0) { $0 + $1.logitRows.count } }
}

/// A model that continues sequences of tokens. Owned by the engine thread.
public protocol CausalModel: AnyObject {
    /// Rows of logits; tokens are `0 ..< vocabularySize`.
    var vocabularySize: Int { get }
    /// Largest number of tokens in a sequence.
    var contextLength: Int { get }
    /// What a page of keys and values holds.
    var kvLayout: KVLayout { get }
    var compute: Compute { get }
    /// Rows that a batch may have.
    var maxRows: Int { get }
    /// Rows of logits that a batch may ask for.
    var maxLogitRows: Int { get }

    /// Runs the batch: writes keys and values of its rows into their pages and returns the logits of the rows that are
    /// wanted, in the batch's order, `[logitRowCount, vocabularySize]`. Valid until the next call.
    ///
    /// A row's logits depend on its sequence alone, bit for bit: not on the rest of the batch, nor on how the sequence was
    /// cut into steps, nor on the number of threads.
    func forward(_ batch: Batch) -> Rows

    /// The same, to be advanced piece by piece: in the memory of ordinary steps, which no other pass may use until this one has ended or is dropped.
    func beginStep(_ batch: Batch) -> any InterruptiblePass

    /// Gives paged experts their provider, before the first step.
    func setProvider(_ provider: any ExpertProvider)

    /// Memory that a wave of a size needs; nil where this model's passes cannot be left.
    func waveBytes(_ size: WaveSize) -> Int?

    /// Begins a pass that can be left between its pieces, in `waveBytes` of memory at a multiple of 64, which is its own until it ends or is dropped.
    /// Other passes may run between its pieces, and none of the batch's pages may be written by them.
    func beginWave(_ batch: Batch, _ size: WaveSize, in memory: UnsafeMutableRawPointer) -> any InterruptiblePass
}

extension CausalModel {
    public func setProvider(_ provider: any ExpertProvider) { preconditionFailure("this model pages no experts") }
}
