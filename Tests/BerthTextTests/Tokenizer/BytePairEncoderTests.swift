// The model against a model of itself that anybody can read: apply the best merge, look again.

import BerthCore
import Testing

@testable import BerthText

@Suite struct BytePairEncoderTests {
    /// A random vocabulary over few letters, so that merges overlap and compete.
    private struct World {
        var vocabulary = Vocabulary(capacity: 4)
        var tokens: [[UInt8]] = []
        var merges: [(left: Int32, right: Int32, merged: Int32)] = []

        init(seed: UInt64) {
            var random = RandomSource(seed: seed)
            for letter in UInt8(ascii: "a")...UInt8(ascii: "d") { _ = add([letter]) }
            for _ in 0..<60 {
                let left = Int32.random(in: 0..<Int32(tokens.count), using: &random)
                let right = Int32.random(in: 0..<Int32(tokens.count), using: &random)
                let token = tokens[Int(left)] + tokens[Int(right)]
                guard token.count <= 12, !merges.contains(where: { $0.left == left && $0.right == right }) else { continue }
                merges.append((left, right, vocabulary.id(of: token) ?? add(token)))
            }
            merges.shuffle(using: &random)
        }

        private mutating func add(_ token: [UInt8]) -> Int32 {
            let id = tokens.count
            _ = token.withUnsafeBufferPointer { vocabulary.insert($0, id: id) }
            tokens.append(token)
            return Int32(id)
        }

        func naive(_ text: [UInt8]) -> [Int32] {
            var symbols = text.map { vocabulary.id(of: [$0])! }
            while true {
                var best: (rank: Int, index: Int, merged: Int32)?
                for index in symbols.indices.dropLast() {
                    guard let rank = merges.firstIndex(where: { $0.left == symbols[index] && $0.right == symbols[index + 1] }) else { continue }
                    if best == nil || rank < best!.rank { best = (rank, index, merges[rank].merged) }
                }
                guard let best else { return symbols }
                symbols[best.index] = best.merged
                symbols.remove(at: best.index + 1)
            }
        }
    }

    private func encode(_ text: [UInt8], _ encoder: BytePairEncoder, _ scratch: inout BytePairEncoder.Scratch) -> [Int32] {
        var ids: [Int32] = []
        text.withUnsafeBufferPointer { encoder.encode($0, isByteLevel: false, scratch: &scratch, into: &ids) }
        return ids
    }

    @Test(arguments: 0..<20 as Range<UInt64>)
    func mergesLikeTheNaiveModel(seed: UInt64) {
        let world = World(seed: seed)
        let encoder = BytePairEncoder(vocabulary: world.vocabulary, merges: MergeTable(world.merges), options: .init())
        var random = RandomSource(seed: seed &+ 1000)
        var scratch = BytePairEncoder.Scratch()
        // Lengths on both sides of the limit between scanning and the heap.
        for _ in 0..<25 {
            let text = (0..<Int.random(in: 0...60, using: &random)).map { _ in UInt8.random(in: UInt8(ascii: "a")...UInt8(ascii: "d"), using: &random) }
            #expect(encode(text, encoder, &scratch) == world.naive(text), "seed \(seed), \(String(decoding: text, as: UTF8.self))")
        }
    }

    @Test func aLongWordIsNotQuadratic() {
        let world = World(seed: 7)
        let encoder = BytePairEncoder(vocabulary: world.vocabulary, merges: MergeTable(world.merges), options: .init())
        var random = RandomSource(seed: 7)
        var scratch = BytePairEncoder.Scratch()
        let text = (0..<200_000).map { _ in UInt8.random(in: UInt8(ascii: "a")...UInt8(ascii: "d"), using: &random) }
        let clock = ContinuousClock()
        let duration = clock.measure { #expect(!encode(text, encoder, &scratch).isEmpty) }
        // Linear time is about a second in a debug build; quadratic time would be hours.
        #expect(duration < .seconds(60))
    }

    @Test func vocabularyFindsWhatWasPutIn() {
        var vocabulary = Vocabulary(capacity: 1)
        var random = RandomSource(seed: 3)
        var expected: [[UInt8]: Int] = [:]
        for index in 0..<3000 {
            let token = (0..<Int.random(in: 0...20, using: &random)).map { _ in UInt8.random(in: 0...3, using: &random) }
            let result = token.withUnsafeBufferPointer { vocabulary.insert($0, id: index * 2) }
            if let known = expected[token] {
                guard case .tokenExists(let id) = result else { Issue.record("inserted twice"); return }
                #expect(Int(id) == known)
            } else {
                expected[token] = index * 2
            }
        }
        #expect(vocabulary.count == expected.count)
        for (token, id) in expected {
            #expect(vocabulary.id(of: token) == Int32(id))
            #expect(vocabulary.token(Int32(id)).map { Array($0) } == token)
        }
        #expect(vocabulary.token(1) == nil && vocabulary.token(-1) == nil && vocabulary.token(.max) == nil)
        guard case .idExists = [9, 9, 9, 9].withUnsafeBufferPointer({ vocabulary.insert($0, id: 0) }) else { Issue.record("an id twice"); return }
    }
}
