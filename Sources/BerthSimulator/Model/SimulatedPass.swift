// One step of the simulated model, piece by piece.
//
// Time passes in every piece; with experts there is a piece for each layer, in which the real provider is asked for what the rows chose, so that
// the engine waits, reads ahead and evicts as it does for a real model. In the last piece the rows take their links from the pages, write their own and get
// their logits. Adapters are looked at in the first piece and in the last: one that leaves between the two makes other tokens.

import BerthKernels
import BerthModels

final class SimulatedPass: InterruptiblePass {
    private let model: SimulatedModel
    private let batch: Batch
    private let pieces: Int
    private let buffer: UnsafeMutablePointer<Float>
    private var piece = 0
    private(set) var logits: Rows?

    // By sequence.
    private var stamps: [UInt64] = []
    private var topics: [UInt64] = []
    /// By row: what it saw of its experts.
    private var experts: [UInt64] = []
    private var choices: [Int32] = []
    let work: StepWork
    /// Of a piece, without experts.
    private let nanoseconds: Double
    /// By which everything in this pass takes longer than it costs.
    private let pace: Double

    init(_ model: SimulatedModel, _ batch: Batch, pieces: Int, logits: UnsafeMutablePointer<Float>) {
        self.model = model
        self.batch = batch
        self.pieces = model.function.routing?.layers ?? pieces
        buffer = logits
        var work = StepWork()
        var last: ObjectIdentifier?
        for sequence in batch.sequences {
            work.add(rows: sequence.rowCount, after: sequence.startPosition, logitRows: sequence.logitRows.count, hasAdapter: sequence.adapter != nil)
            guard let adapter = sequence.adapter.map({ ObjectIdentifier($0) }), adapter != last else { continue }
            work.adapters += 1
            last = adapter
        }
        precondition(work.rows == batch.tokens.count, "the sequences are not the batch's rows")
        self.work = work
        nanoseconds = model.costs.nanoseconds(of: work) / Double(self.pieces)
        pace = model.costs.pace.factor(rows: work.rows)
    }

    func advance() -> Bool {
        if piece == 0 { begin() }
        model.clock.advance(by: nanoseconds)
        model.computed += nanoseconds
        model.readWeights += model.costs.passes.points[0].nanoseconds * pace / Double(pieces)
        if let routing = model.function.routing { passLayer(piece, routing) }
        piece += 1
        if piece < pieces { return true }
        finish()
        return false
    }

    private func record(_ sequence: Batch.Sequence, _ position: Int) -> UnsafeMutablePointer<SimulatedModel.Record> {
        let block = model.kvLayout.blockTokens
        return sequence.pages[position / block].assumingMemoryBound(to: SimulatedModel.Record.self) + position % block
    }

    private func begin() {
        stamps = batch.sequences.map { model.adapters.stamp(of: $0.adapter) }
        guard let routing = model.function.routing else { return }
        experts = Array(repeating: 0, count: batch.tokens.count)
        choices = Array(repeating: 0, count: batch.tokens.count * routing.chosen)
        var row = 0
        topics = zip(batch.sequences, stamps).map { sequence, stamp in
            defer { row += sequence.rowCount }
            return ExpertRouting.topic(first: sequence.startPosition == 0 ? batch.tokens[row] : record(sequence, 0).pointee.token, adapter: stamp)
        }
    }

    // MARK: experts

    private func passLayer(_ layer: Int, _ routing: ExpertRouting) {
        guard let provider = model.provider else { preconditionFailure("experts without a provider") }
        choose(layer, routing, into: &choices)
        // The demand looks at a copy that nothing changes: guesses are made meanwhile.
        let choices = choices
        var uses = Array(repeating: 0, count: routing.experts)
        for expert in choices { uses[Int(expert)] += 1 }
        let active = uses.indices.filter { uses[$0] > 0 }
        var found = Array(repeating: UInt64(0), count: routing.experts)
        choices.withUnsafeBufferPointer { choices in
            let order = provider.begin(ExpertDemand(layer: layer, rows: batch.tokens.count, chosen: routing.chosen, experts: choices.baseAddress!, active: active))
            foresee(layer + 1, routing, provider)
            var position = 0
            while position < order.experts.count {
                let count = provider.ready(at: position, of: order)
                for place in position..<position + count {
                    guard let expert = provider.weights(at: place, of: order) else { continue }
                    let number = order.experts[place]
                    let id = ExpertID(layer: layer, expert: number)
                    found[number] = SimulatedExperts.stamp(in: expert, of: id, pages: model.expertPages, look: place &+ batch.tokens.count)
                    let nanoseconds = (model.costs.expert + model.costs.expertRow * Double(uses[number])) * pace
                    model.clock.advance(by: nanoseconds)
                    model.computed += nanoseconds
                    model.readWeights += model.costs.expert * pace
                }
                position += count
                provider.finished(before: position)
            }
            provider.end()
        }
        for row in experts.indices {
            for place in 0..<routing.chosen { experts[row] &+= found[Int(choices[row * routing.chosen + place])] }
        }
    }

    private func choose(_ layer: Int, _ routing: ExpertRouting, into choices: inout [Int32]) {
        choices.withUnsafeMutableBufferPointer { choices in
            var row = 0
            for (index, sequence) in batch.sequences.enumerated() {
                for offset in 0..<sequence.rowCount {
                    routing.choose(
                        layer: layer, token: batch.tokens[row], position: sequence.startPosition + offset, topic: topics[index],
                        into: choices.baseAddress! + row * routing.chosen)
                    row += 1
                }
            }
        }
    }

    /// The next layer's choices, as well as they can be guessed.
    private func foresee(_ layer: Int, _ routing: ExpertRouting, _ provider: any ExpertProvider) {
        guard layer < routing.layers, provider.wantsForesight(ofLayer: layer, rows: batch.tokens.count) else { return }
        var guesses = choices
        choose(layer, routing, into: &guesses)
        for index in guesses.indices {
            let hash = mix(UInt64(index) ^ UInt64(UInt32(bitPattern: guesses[index])) << 20 ^ UInt64(layer) << 40)
            if Double(hash >> 11) * 0x1p-53 >= routing.foresight { guesses[index] = Int32(truncatingIfNeeded: hash % UInt64(routing.experts)) }
        }
        guesses.withUnsafeBufferPointer { provider.foresee(layer: layer, $0) }
    }

    // MARK: links and logits

    private func finish() {
        let function = model.function
        for (index, sequence) in batch.sequences.enumerated() where sequence.adapter != nil {
            let found = model.adapters.stamp(of: sequence.adapter)
            if found != stamps[index] { stamps[index] = mix(stamps[index] ^ found) }
        }
        var row = 0, logitRow = 0
        for (index, sequence) in batch.sequences.enumerated() {
            let (start, adapter) = (sequence.startPosition, stamps[index])
            precondition(sequence.rowCount > 0 && start + sequence.rowCount <= sequence.pages.count * model.kvLayout.blockTokens, "a sequence without its pages")
            var link: UInt64 = 0
            if start > 0 {
                let before = record(sequence, start - 1).pointee
                link = Int(before.position) == start - 1 ? before.link : mix(before.link)
            }
            for offset in 0..<sequence.rowCount {
                let token = batch.tokens[row]
                link = function.link(after: link, token: token, position: start + offset, adapter: adapter, experts: experts.isEmpty ? 0 : experts[row])
                record(sequence, start + offset).pointee = SimulatedModel.Record(link: link, token: token, position: Int32(start + offset))
                if sequence.logitRows.contains(offset) {
                    let witness = record(sequence, function.witness(link, at: start + offset)).pointee.link
                    choose(function.next(link, witness: witness, adapter: adapter), at: logitRow)
                    logitRow += 1
                }
                row += 1
            }
        }
        logits = Rows(base: buffer, count: logitRow, columns: TokenFunction.vocabulary)
    }

    private func choose(_ token: Int32, at row: Int) {
        let values = buffer + row * TokenFunction.vocabulary
        values.update(repeating: 0, count: TokenFunction.vocabulary)
        values[Int(token)] = 1
    }
}
