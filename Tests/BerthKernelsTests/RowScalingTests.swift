// No linear layer and no attention may take longer for a row when there are more of them: what a batch shares can only save.
//
// Times of one run are compared with each other alone, each the least of several. Another process can only lengthen a time, so
// rounds go on until all ratios hold; kernels with a cliff never get there.

import BerthCore
import Testing

@testable import BerthKernels

@Suite(.serialized) struct RowScalingTests {
    /// How much longer a row may take than with any smaller number of rows. Tiles of uneven rows cost up to a sixth; accumulators that do not fit
    /// into registers cost half.
    static let margin = 1.4
    static let mostRounds = 200

    /// The first pair of row counts that breaks the rule after all rounds.
    private func cliff(_ rows: [Int], _ body: (_ index: Int) -> Void) -> String? {
        var least = [Double](repeating: .infinity, count: rows.count)
        var found: String?
        for _ in 0..<Self.mostRounds {
            for (index, count) in rows.enumerated() {
                let start = monotonicSeconds()
                body(index)
                least[index] = min(least[index], (monotonicSeconds() - start) / Double(count))
            }
            found = nil
            for index in rows.indices.dropFirst() {
                let best = least[..<index].min()!
                if least[index] > best * Self.margin {
                    found = "a row takes \(least[index] / best) times as long among \(rows[index]) as among \(rows[least.firstIndex(of: best)!])"
                    break
                }
            }
            if found == nil { return nil }
        }
        return found
    }

    @Test(arguments: WeightFormat.allCases)
    func linearLayersGetNoSlowerPerRow(format: WeightFormat) throws {
        let rows = [1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 16, 17, 24, 32, 48, 64]
        let x = Block(64, 512, seed: 61), w = Matrix(outputs: 128, inputs: 512, format: format, seed: 67), y = Block(64, 128)
        for compute in try everyCompute() where compute.kernelName != "scalar" {
            let prepared = rows.map { count in
                let prepared = PreparedRows()
                compute.prepare(x.rows.rows(0..<count), for: format, into: prepared)
                return prepared
            }
            let found = cliff(rows) { compute.linear(prepared[$0], w.packed, into: y.rows.rows(0..<rows[$0])) }
            #expect(found == nil, "\(compute.kernelName) \(format): \(found ?? "")")
        }
    }

    /// After a context of 256 tokens, one and four query heads per key-value head.
    @Test(arguments: [KVElement.f16, .bf16, .int8], [1, 4])
    func attentionGetsNoSlowerPerRow(element: KVElement, groupHeads: Int) throws {
        let rows = [1, 2, 3, 4, 6, 7, 8, 12, 16, 24, 32], context = 256
        let layout = KVLayout(layers: 1, kvHeads: 2, headDim: 64, blockTokens: 16, element: element)
        let sequence = AttentionTests.Sequence(layout, tokens: context + 32, heads: 2 * groupHeads, seed: 71)
        let y = Block(32, 2 * groupHeads * layout.headDim)
        for compute in try everyCompute() where compute.kernelName != "scalar" {
            _ = sequence.run(compute, chunks: [sequence.tokens], layer: 0, window: nil)
            let found = cliff(rows) { index in
                let count = rows[index]
                compute.attention(
                    queries: sequence.queries.rows.rows(0..<count), sequences: [sequence.view(firstRow: 0, rows: count, start: context)], layout: layout,
                    layer: 0, window: nil, scale: 0.3, into: y.rows.rows(0..<count))
            }
            #expect(found == nil, "\(compute.kernelName) \(element) \(groupHeads): \(found ?? "")")
        }
    }
}
