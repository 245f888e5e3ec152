// A model whose logits are a hash of what it finds in memory.
//
// For every token it writes a record into the KV page that the engine gave it, and for every row of logits it reads all
// records of the sequence back, from the first. So a wrong block table, a page shared by two requests, a stale page or a token
// computed twice changes the logits. It reads adapters the same way: a stamp in every page of their window.

import BerthKernels
import BerthModels
import Synchronization

@testable import BerthEngine

final class FakeModel: CausalModel {
    static let vocabulary = 61
    /// A sequence with this token in it has logits that are not a number.
    static let poison: Int32 = 60
    /// The model's end token.
    static let end: Int32 = 1

    let vocabularySize = FakeModel.vocabulary
    let contextLength: Int
    let kvLayout = KVLayout(layers: 1, kvHeads: 1, headDim: 4, blockTokens: 16, element: .f32)
    let compute: Compute
    let maxRows = 256
    let maxLogitRows = 64
    /// Called before each batch.
    var onForward: ((Batch) -> Void)?
    private var logits: [UnsafeMutablePointer<Float>] = []
    private let buffer: UnsafeMutablePointer<Float>

    init(contextLength: Int = 240, threads: Int = 1) {
        self.contextLength = contextLength
        compute = try! Compute(kernels: .scalar, threads: threads)
        buffer = .allocate(capacity: maxLogitRows * FakeModel.vocabulary)
        buffer.initialize(repeating: 0, count: maxLogitRows * FakeModel.vocabulary)
    }

    deinit { buffer.deallocate() }

    private struct Record {
        var token: Int32
        var position: Int32
        var adapter: UInt64
    }

    func forward(_ batch: Batch) -> Rows {
        precondition(batch.tokens.count <= maxRows && batch.logitRowCount <= maxLogitRows)
        return forward(batch, into: buffer)
    }

    // MARK: steps that are left

    /// Steps come in pieces, too.
    var leavesSteps = false

    func beginStep(_ batch: Batch) -> any InterruptiblePass {
        guard leavesSteps else { return WholePass(self, batch) }
        precondition(batch.tokens.count <= maxRows && batch.logitRowCount <= maxLogitRows)
        return FakePass(self, batch, buffer)
    }

    // MARK: waves

    /// Pieces of a wave: in the first keys and values are written, in the last they are read.
    static let wavePieces = 5
    private(set) var wavesBegun = 0

    func waveBytes(_ size: WaveSize) -> Int? { size.logitRows * FakeModel.vocabulary * 4 }

    func beginWave(_ batch: Batch, _ size: WaveSize, in memory: UnsafeMutableRawPointer) -> any InterruptiblePass {
        precondition(batch.tokens.count <= size.rows && batch.logitRowCount <= size.logitRows)
        wavesBegun += 1
        return FakePass(self, batch, memory.bindMemory(to: Float.self, capacity: size.logitRows * FakeModel.vocabulary))
    }

    private final class FakePass: InterruptiblePass {
        private let model: FakeModel
        private let batch: Batch
        private let memory: UnsafeMutablePointer<Float>
        private var piece = 0
        private(set) var logits: Rows?

        init(_ model: FakeModel, _ batch: Batch, _ memory: UnsafeMutablePointer<Float>) { (self.model, self.batch, self.memory) = (model, batch, memory) }

        func advance() -> Bool {
            piece += 1
            // The first writes the records, the last writes the same ones again and reads.
            if piece == 1 || piece == FakeModel.wavePieces { logits = model.forward(batch, into: memory) }
            return piece < FakeModel.wavePieces
        }
    }

    private func forward(_ batch: Batch, into buffer: UnsafeMutablePointer<Float>) -> Rows {
        onForward?(batch)
        precondition(batch.sequences.reduce(0) { $0 + $1.rowCount } == batch.tokens.count)
        checkSharing(batch)
        var first = 0
        var logitRow = 0
        for sequence in batch.sequences {
            let adapter = FakeAdapter.fingerprint(sequence.adapter)
            precondition(sequence.startPosition + sequence.rowCount <= contextLength && sequence.rowCount > 0)
            for row in 0..<sequence.rowCount {
                let position = sequence.startPosition + row
                record(sequence, position).pointee = Record(token: batch.tokens[first + row], position: Int32(position), adapter: adapter)
            }
            first += sequence.rowCount
            for row in sequence.logitRows {
                fill(buffer + logitRow * vocabularySize, sequence, upTo: sequence.startPosition + row, adapter: adapter)
                logitRow += 1
            }
        }
        return Rows(base: buffer, count: logitRow, columns: vocabularySize)
    }

    private func record(_ sequence: Batch.Sequence, _ position: Int) -> UnsafeMutablePointer<Record> {
        (sequence.pages[position / kvLayout.blockTokens] + position % kvLayout.blockTokens * MemoryLayout<Record>.stride).assumingMemoryBound(to: Record.self)
    }

    private func fill(_ logits: UnsafeMutablePointer<Float>, _ sequence: Batch.Sequence, upTo last: Int, adapter: UInt64) {
        var hash: UInt64 = 0x9E37_79B9_7F4A_7C15 ^ adapter
        var isPoisoned = false
        for position in 0...last {
            let record = record(sequence, position).pointee
            isPoisoned = isPoisoned || record.token == FakeModel.poison
            hash = FakeModel.mix(hash ^ UInt64(UInt32(bitPattern: record.token)) ^ UInt64(UInt32(bitPattern: record.position)) << 32 ^ record.adapter)
        }
        for token in 0..<vocabularySize {
            hash = FakeModel.mix(hash)
            logits[token] = isPoisoned ? .nan : Float(hash >> 40) / Float(1 << 24) * 8 - 4
        }
        // End and poison are rare.
        logits[Int(FakeModel.end)] -= 3.5
        logits[Int(FakeModel.poison)] = isPoisoned ? .nan : -30
    }

    static func mix(_ value: UInt64) -> UInt64 {
        var value = value &+ 0x9E37_79B9_7F4A_7C15
        value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
        return value ^ (value >> 31)
    }

    /// No page that is written serves two sequences, nobody has a page twice, and each adapter's rows stand together.
    private func checkSharing(_ batch: Batch) {
        var readers: [UnsafeMutableRawPointer: Int] = [:]
        for sequence in batch.sequences {
            precondition(Set(sequence.pages).count == sequence.pages.count, "a sequence has a page twice")
            for page in sequence.pages { readers[page, default: 0] += 1 }
        }
        var adapters: Set<ObjectIdentifier?> = []
        var last: ObjectIdentifier??
        for sequence in batch.sequences {
            for page in sequence.pages[(sequence.startPosition / kvLayout.blockTokens)...] {
                precondition(readers[page] == 1, "a page that is written serves two sequences")
            }
            let adapter = sequence.adapter.map { ObjectIdentifier($0) }
            if last != .some(adapter) { precondition(adapters.insert(adapter).inserted, "an adapter's rows are scattered") }
            last = .some(adapter)
        }
    }
}
