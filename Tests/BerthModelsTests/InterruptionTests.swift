// A pass that is left between any two of its pieces, and goes on after another one, gives the logits that it gives in one go.

import BerthKernels
import Testing

@testable import BerthModels

@Suite(.serialized) struct InterruptionTests {
    /// Passes that are under way at a time, of sequences of their own: a wave in small parts, and an ordinary step.
    @Test(arguments: InvarianceTests.models) func otherPassesBetweenPieces(_ test: TestModel) throws {
        let model = try test.model(.bf16, maxRows: 64)
        let prompts = (0..<4).map { InvarianceTests.tokens(12 + $0, seed: UInt64($0), vocabulary: model.vocabularySize) }
        let alone = prompts.map { model.logits($0, nil) }
        let size = WaveSize(rows: 64, logitRows: 64, partRows: 4)
        let memory = AlignedBuffer(bytes: model.waveBytes(size)!), beside = AlignedBuffer(bytes: model.waveBytes(size)!)

        func batch(_ indices: Range<Int>) -> (Batch, [TestSequence]) {
            let sequences = indices.map { TestSequence(prompts[$0], nil, layout: model.kvLayout) }
            return (Batch(sequences.map { $0.take($0.tokens.count) }), sequences)
        }
        /// Begun, advanced with all of another pass between its pieces.
        func check(_ pass: any InterruptiblePass, _ indices: Range<Int>, _ sequences: [TestSequence], _ name: String, between: () -> Void) {
            var pieces = 1
            while pass.advance() {
                between()
                pieces += 1
                guard pieces < 10_000 else {
                    Issue.record("\(name) does not end")
                    return
                }
            }
            #expect(pieces > 2)
            #expect(pass.logits!.copied == indices.flatMap { alone[$0] }, "\(name)")
            withExtendedLifetime(sequences) {}
        }

        let (wave, waveSequences) = batch(0..<2)
        check(model.beginWave(wave, size, in: memory.base), 0..<2, waveSequences, "a wave") {
            let (other, sequences) = batch(3..<4)
            #expect(model.forward(other).copied == alone[3])
            withExtendedLifetime(sequences) {}
        }
        let (step, stepSequences) = batch(1..<3)
        check(model.beginStep(step), 1..<3, stepSequences, "a step") {
            let (other, sequences) = batch(3..<4)
            let pass = model.beginWave(other, size, in: beside.base)
            while pass.advance() {}
            #expect(pass.logits!.copied == alone[3])
            withExtendedLifetime(sequences) {}
        }
        withExtendedLifetime((memory, beside)) {}
    }
}
