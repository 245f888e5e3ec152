// A model whose tokens are a hash of what it finds in its pages, and whose steps take what a table says.

import BerthKernels
import BerthModels

final class SimulatedModel: CausalModel {
    let vocabularySize = TokenFunction.vocabulary
    let contextLength: Int
    let kvLayout: KVLayout
    let compute: Compute
    let maxRows: Int
    let maxLogitRows: Int

    let function: TokenFunction
    let costs: StepCosts
    let clock: VirtualClock
    let adapters: SimulatedAdapters
    let expertPages: Int
    private(set) var provider: (any ExpertProvider)?
    private let logits: UnsafeMutablePointer<Float>
    /// Nanoseconds that passes have computed, and of them those for weights that are read whatever the rows.
    var computed = 0.0
    var readWeights = 0.0

    /// What stands in a page for each of its tokens.
    struct Record {
        var link: UInt64
        var token: Int32
        var position: Int32
    }

    init(_ machine: SimulatedMachine, function: TokenFunction, adapters: SimulatedAdapters, compute: Compute, clock: VirtualClock) {
        contextLength = machine.contextLength
        // Of the arena's page, which stands for a larger one. The records are smaller than the keys and values would be.
        kvLayout = KVLayout(layers: 1, kvHeads: 1, headDim: 4, blockTokens: machine.blockTokens, element: .f32)
        precondition(kvLayout.pageBytes >= machine.blockTokens * MemoryLayout<Record>.stride && kvLayout.pageBytes <= SimulatedAdapters.pageBytes)
        maxRows = machine.configuration.stepTokens
        maxLogitRows = machine.configuration.stepLogits
        self.function = function
        costs = machine.costs
        expertPages = machine.expertPages
        self.adapters = adapters
        self.compute = compute
        self.clock = clock
        logits = .allocate(capacity: maxLogitRows * TokenFunction.vocabulary)
        logits.initialize(repeating: 0, count: maxLogitRows * TokenFunction.vocabulary)
    }

    deinit { logits.deallocate() }

    func setProvider(_ provider: any ExpertProvider) { self.provider = provider }

    func forward(_ batch: Batch) -> Rows {
        precondition(batch.tokens.count <= maxRows && batch.logitRowCount <= maxLogitRows)
        let pass = SimulatedPass(self, batch, pieces: 1, logits: logits)
        while pass.advance() {}
        return pass.logits!
    }

    // MARK: waves

    /// Pieces of a wave of a model without experts; with them there is one for each layer.
    static let wavePieces = 4

    func waveBytes(_ size: WaveSize) -> Int? { size.logitRows * TokenFunction.vocabulary * MemoryLayout<Float>.stride }

    func beginWave(_ batch: Batch, _ size: WaveSize, in memory: UnsafeMutableRawPointer) -> any InterruptiblePass {
        precondition(batch.tokens.count <= size.rows && batch.logitRowCount <= size.logitRows)
        let count = size.logitRows * TokenFunction.vocabulary
        let logits = memory.bindMemory(to: Float.self, capacity: count)
        logits.initialize(repeating: 0, count: count)
        return SimulatedPass(self, batch, pieces: Self.wavePieces, logits: logits)
    }
}
