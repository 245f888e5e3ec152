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
    private let stepPieces: Int
    /// Of all passes, those that were given up, too.
    private(set) var begunRows = 0
    /// The last step, as long as somebody has it.
    private weak var step: SimulatedPass?
    /// What passes of their own in the middle of steps have taken beyond what the same rows would have taken in these steps. Nanoseconds.
    private(set) var newcomersTime = 0.0
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
        stepPieces = machine.stepPieces
        self.adapters = adapters
        self.compute = compute
        self.clock = clock
        logits = .allocate(capacity: maxLogitRows * TokenFunction.vocabulary)
        logits.initialize(repeating: 0, count: maxLogitRows * TokenFunction.vocabulary)
    }

    deinit { logits.deallocate() }

    func setProvider(_ provider: any ExpertProvider) { self.provider = provider }

    func forward(_ batch: Batch) -> Rows {
        let pass = begin(batch, pieces: 1)
        while pass.advance() {}
        return pass.logits!
    }

    func beginStep(_ batch: Batch) -> any InterruptiblePass {
        let pass = begin(batch, pieces: stepPieces)
        step = pass
        return pass
    }

    private func begin(_ batch: Batch, pieces: Int) -> SimulatedPass {
        precondition(batch.tokens.count <= maxRows && batch.logitRowCount <= maxLogitRows)
        return pass(batch, pieces: pieces, logits: logits)
    }

    private func pass(_ batch: Batch, pieces: Int, logits: UnsafeMutablePointer<Float>) -> SimulatedPass {
        begunRows += batch.tokens.count
        return SimulatedPass(self, batch, pieces: pieces, logits: logits)
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
        let pass = pass(batch, pieces: Self.wavePieces, logits: logits)
        if let step, step.logits == nil {
            newcomersTime += costs.nanoseconds(of: pass.work) + costs.nanoseconds(of: step.work) - costs.nanoseconds(of: pass.work + step.work)
        }
        return pass
    }
}
