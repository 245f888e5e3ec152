import BerthCore
import Glibc
import Testing

@testable import BerthKernels

@Suite struct AttentionTests {
    /// A sequence's keys, values and queries, and its pages, filled with NaN before anything is stored.
    final class Sequence {
        let layout: KVLayout, tokens: Int, heads: Int
        let queries: Block, keys: Block, values: Block
        let pages: [AlignedBuffer]

        init(_ layout: KVLayout, tokens: Int, heads: Int, seed: UInt64) {
            (self.layout, self.tokens, self.heads) = (layout, tokens, heads)
            queries = Block(tokens, heads * layout.headDim, seed: seed, scale: 3)
            keys = Block(tokens, layout.kvHeads * layout.headDim, seed: seed + 1, scale: 3)
            values = Block(tokens, layout.kvHeads * layout.headDim, seed: seed + 2)
            pages = (0..<(tokens + layout.blockTokens - 1) / layout.blockTokens).map { _ in
                let page = AlignedBuffer(bytes: layout.pageBytes)
                memset(page.base, 0xFF, layout.pageBytes)
                return page
            }
        }

        func view(firstRow: Int, rows: Int, start: Int) -> AttentionSequence {
            AttentionSequence(firstRow: firstRow, rowCount: rows, startPosition: start, pages: pages.map(\.base))
        }

        /// Stores and attends in chunks of the given sizes.
        func run(_ compute: Compute, chunks: [Int], layer: Int, window: Int?) -> [[Float]] {
            for page in pages { memset(page.base, 0xFF, layout.pageBytes) }
            var out: [[Float]] = [], start = 0
            for size in chunks {
                let range = start..<start + size
                let sequence = view(firstRow: 0, rows: size, start: start)
                compute.storeKV(keys: keys.rows.rows(range), values: values.rows.rows(range), sequences: [sequence], layout: layout, layer: layer)
                let y = Block(size, heads * layout.headDim)
                compute.attention(queries: queries.rows.rows(range), sequences: [sequence], layout: layout, layer: layer, window: window, scale: 0.3, into: y.rows)
                out += y.all
                start += size
            }
            return out
        }

        /// One head's keys or values of one token as the cache holds them.
        private func cached(_ x: UnsafeMutablePointer<Float>) -> [Double] {
            let values = UnsafeBufferPointer(start: x, count: layout.headDim)
            switch layout.element {
            case .f32: return values.map(Double.init)
            case .f16: return values.map { Double(Float16($0)) }
            case .bf16: return values.map { Double(Float(bitPattern: ($0.bitPattern &+ 0x7FFF &+ ($0.bitPattern >> 16 & 1)) & 0xFFFF_0000)) }
            case .int8:
                return stride(from: 0, to: values.count, by: 32).flatMap { first -> [Double] in
                    let group = values[first..<min(first + 32, values.count)]
                    let largest = group.map(abs).max()! * (1 / 127)
                    let scale = Float(bitPattern: (largest.bitPattern + 0xFFFF) & 0xFFFF_0000)
                    return group.map { Double(($0 * (1 / scale)).rounded(.toNearestOrEven)) * Double(scale) }
                }
            }
        }
        private lazy var cachedKeys = (0..<tokens).map { t in (0..<layout.kvHeads).map { cached(keys.rows[t] + $0 * layout.headDim) } }
        private lazy var cachedValues = (0..<tokens).map { t in (0..<layout.kvHeads).map { cached(values.rows[t] + $0 * layout.headDim) } }

        /// Softmax in Double over the values as the cache holds them.
        func reference(row: Int, window: Int?) -> [Float] {
            let d = layout.headDim, group = heads / layout.kvHeads
            let first = window.map { max(0, row - $0 + 1) } ?? 0
            return (0..<heads).flatMap { head -> [Float] in
                let kv = head / group
                let scores = (first...row).map { j in
                    (0..<d).reduce(0.0) { $0 + Double(queries.rows[row][head * d + $1]) * 0.3 * cachedKeys[j][kv][$1] }
                }
                let top = scores.max()!
                let p = scores.map { exp($0 - top) }, sum = p.reduce(0, +)
                return (0..<d).map { i in
                    Float((first...row).reduce(0.0) { $0 + p[$1 - first] * cachedValues[$1][kv][i] } / sum)
                }
            }
        }
    }

    static let layouts: [(KVLayout, heads: Int)] = [
        (KVLayout(layers: 2, kvHeads: 2, headDim: 16, blockTokens: 16, element: .f32), 4),
        (KVLayout(layers: 2, kvHeads: 1, headDim: 20, blockTokens: 32, element: .bf16), 3),
        (KVLayout(layers: 2, kvHeads: 2, headDim: 64, blockTokens: 64, element: .bf16), 8),
        (KVLayout(layers: 2, kvHeads: 1, headDim: 36, blockTokens: 32, element: .f16), 5),
        (KVLayout(layers: 2, kvHeads: 2, headDim: 64, blockTokens: 16, element: .f16), 4),
        (KVLayout(layers: 2, kvHeads: 3, headDim: 4, blockTokens: 512, element: .f32), 3),
        (KVLayout(layers: 2, kvHeads: 1, headDim: 100, blockTokens: 32, element: .int8), 2),
        (KVLayout(layers: 2, kvHeads: 2, headDim: 64, blockTokens: 16, element: .int8), 8),
        (KVLayout(layers: 2, kvHeads: 1, headDim: 20, blockTokens: 256, element: .int8), 7),
    ]

    @Test func everyTableAgreesWithDoubleSoftmax() throws {
        for (layout, heads) in Self.layouts {
            let sequence = Sequence(layout, tokens: 300, heads: heads, seed: 7)
            let rows = [0, 1, 15, 16, 255, 256, 257, 299]
            for window in [nil, 1, 7, 40, 270] {
                let wanted = rows.map { sequence.reference(row: $0, window: window) }
                for compute in try everyCompute(threads: 2) {
                    let got = sequence.run(compute, chunks: [300], layer: 1, window: window)
                    for (row, wanted) in zip(rows, wanted) {
                        #expect(relativeError([got[row]], [wanted]) < 1e-4, "\(compute.kernelName) head \(layout.headDim) window \(window ?? 0) row \(row)")
                    }
                }
            }
        }
    }

    /// A prompt in one chunk, in ragged chunks or token by token, on one thread or two: the same bits.
    @Test func chunkingLeavesNoTrace() throws {
        for (layout, heads) in Self.layouts {
            let sequence = Sequence(layout, tokens: 540, heads: heads, seed: 11)
            for (one, two) in zip(try everyCompute(threads: 1), try everyCompute(threads: 2)) {
                for window in [nil, 37, 300] {
                    let whole = bits(sequence.run(one, chunks: [540], layer: 0, window: window))
                    let ragged = bits(sequence.run(two, chunks: [1, 6, 30, 100, 119, 1, 140, 143], layer: 0, window: window))
                    #expect(whole == ragged, "\(one.kernelName) \(layout.element) head \(layout.headDim) window \(window ?? 0)")
                    if window != nil { continue }
                    let single = bits(sequence.run(two, chunks: [Int](repeating: 1, count: 540), layer: 0, window: window))
                    #expect(whole == single, "\(one.kernelName) token by token")
                }
            }
        }
    }

    /// What is stored of a token as int8 keeps every number within half a step of its group, and tells NaN.
    @Test func int8KeepsWhatItCan() throws {
        let layout = KVLayout(layers: 1, kvHeads: 1, headDim: 64, blockTokens: 16, element: .int8)
        for compute in try everyCompute() {
            // One token: its values come out as they are stored.
            func stored(_ change: (UnsafeMutablePointer<Float>) -> Void) -> [Float] {
                let sequence = Sequence(layout, tokens: 1, heads: 1, seed: 5)
                change(sequence.values.rows[0])
                return sequence.run(compute, chunks: [1], layer: 0, window: nil)[0]
            }
            let plain = Sequence(layout, tokens: 1, heads: 1, seed: 5).values.row(0)
            // An outlier spoils its own 32 dimensions only.
            let outlier = stored { $0[3] = 400 }
            #expect(abs(outlier[3] - 400) <= 2 && zip(outlier, plain).dropFirst(32).allSatisfy { abs($0 - $1) < 0.05 })
            #expect(stored { $0.update(repeating: 0, count: 64) }.allSatisfy { $0 == 0 })
            #expect(stored { $0.update(repeating: .leastNormalMagnitude / 8, count: 64) }.allSatisfy { $0 == 0 })
            let bad = stored { ($0[1], $0[40]) = (.nan, -.infinity) }
            #expect(bad[0..<32].allSatisfy(\.isNaN) && bad[32...].allSatisfy(\.isFinite) && bad[40] < -1e37, "\(compute.kernelName)")
        }
    }

    /// Sequences of one batch do not see each other.
    @Test func batchesLeaveNoTrace() throws {
        let (layout, heads) = Self.layouts[2]
        let lengths = [1, 33, 280, 5], sequences = lengths.enumerated().map { Sequence(layout, tokens: $1 + 3, heads: heads, seed: UInt64(20 + $0)) }
        for compute in try everyCompute(threads: 2) {
            let alone = zip(sequences, lengths).map { bits($0.run(compute, chunks: [$1, 3], layer: 0, window: nil)).suffix(3) }
            for (s, length) in zip(sequences, lengths) { _ = s.run(compute, chunks: [length], layer: 0, window: nil) }
            let width = heads * layout.headDim
            let q = Block(12, width), k = Block(12, layout.kvHeads * layout.headDim), v = Block(12, layout.kvHeads * layout.headDim), y = Block(12, width)
            for (i, (s, length)) in zip(sequences, lengths).enumerated() {
                for r in 0..<3 {
                    for c in 0..<width { q.rows[i * 3 + r][c] = s.queries.rows[length + r][c] }
                    for c in 0..<k.rows.columns {
                        k.rows[i * 3 + r][c] = s.keys.rows[length + r][c]
                        v.rows[i * 3 + r][c] = s.values.rows[length + r][c]
                    }
                }
            }
            let views = zip(sequences, lengths).enumerated().map { $1.0.view(firstRow: $0 * 3, rows: 3, start: $1.1) }
            compute.storeKV(keys: k.rows, values: v.rows, sequences: views, layout: layout, layer: 0)
            compute.attention(queries: q.rows, sequences: views, layout: layout, layer: 0, window: nil, scale: 0.3, into: y.rows)
            #expect(bits(y.all) == Array(alone.joined()), "\(compute.kernelName)")
        }
    }
}
