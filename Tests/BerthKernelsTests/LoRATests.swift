import BerthCore
import Glibc
import Testing

@testable import BerthKernels

@Suite struct LoRATests {
    /// An adapter's two matrices for one layer, in f32 or bf16.
    final class Adapter {
        let rank: Int, inputs: Int, outputs: Int, type: ElementType
        let a: AlignedBuffer, b: AlignedBuffer

        init(rank: Int, inputs: Int, outputs: Int, type: ElementType, seed: UInt64) {
            (self.rank, self.inputs, self.outputs, self.type) = (rank, inputs, outputs, type)
            var values = Values(seed: seed)
            a = AlignedBuffer(bytes: rank * inputs * 4)
            b = AlignedBuffer(bytes: rank * outputs * 4)
            for (buffer, count) in [(a, rank * inputs), (b, rank * outputs)] {
                for i in 0..<count {
                    // Values that bf16 holds exactly, so that one reference serves the types; f16 rounds the small ones a little.
                    let bits = values.float().bitPattern & 0xFFFF_0000
                    if type == .f32 {
                        buffer.floats[i] = Float(bitPattern: bits)
                    } else if type == .f16 {
                        buffer.base.storeBytes(of: Float16(Float(bitPattern: bits)).bitPattern, toByteOffset: i * 2, as: UInt16.self)
                    } else {
                        buffer.base.storeBytes(of: UInt16(bits >> 16), toByteOffset: i * 2, as: UInt16.self)
                    }
                }
            }
        }

        private func value(_ buffer: AlignedBuffer, _ i: Int) -> Double {
            if type == .f16 { return Double(Float16(bitPattern: buffer.base.load(fromByteOffset: i * 2, as: UInt16.self))) }
            return type == .f32 ? Double(buffer.floats[i]) : Double(Float(bitPattern: UInt32(buffer.base.load(fromByteOffset: i * 2, as: UInt16.self)) << 16))
        }

        func reference(_ x: [Float], scale: Double) -> [Double] {
            let t = (0..<rank).map { j in (0..<inputs).reduce(0.0) { $0 + Double(x[$1]) * value(a, j * inputs + $1) } * scale }
            return (0..<outputs).map { c in (0..<rank).reduce(0.0) { $0 + t[$1] * value(b, $1 * outputs + c) } }
        }

        func segment(_ rows: Range<Int>, scale: Float = 0.5, columns: Range<Int>? = nil) -> Compute.LoRASegment {
            .init(rows: rows, rank: rank, scale: scale, a: a.base, b: b.base, type: type, columns: columns)
        }
    }

    @Test func segmentsAddTheirAdapters() throws {
        let inputs = 45, outputs = 75
        let adapters = [(1, ElementType.bf16), (3, .f32), (8, .f16), (17, .bf16)].enumerated().map {
            Adapter(rank: $1.0, inputs: inputs, outputs: outputs, type: $1.1, seed: UInt64($0 + 1))
        }
        let ranges = [0..<1, 1..<4, 6..<11, 11..<13]
        for threads in [1, 2] {
            for compute in try everyCompute(threads: threads) {
                let x = Block(14, inputs, seed: 3), y = Block(14, outputs, seed: 4), before = y.all
                compute.lora(x.rows, segments: zip(ranges, adapters).map { $1.segment($0) }, into: y.rows)
                for row in 0..<14 {
                    guard let index = ranges.firstIndex(where: { $0.contains(row) }) else {
                        #expect(bits([y.row(row)]) == bits([before[row]]), "rows without an adapter stay as they are")
                        continue
                    }
                    let wanted = zip(adapters[index].reference(x.row(row), scale: 0.5), before[row]).map { Float($0 + Double($1)) }
                    #expect(relativeError([y.row(row)], [wanted]) < 1e-4, "\(compute.kernelName) row \(row)")
                }
            }
        }
    }

    /// One row alone, in a long segment, among many segments, on one thread or two: the same bits.
    @Test func rowsAreTheSameInEveryBatch() throws {
        let inputs = 130, outputs = 1100, x = Block(70, inputs, seed: 9)
        for type in [ElementType.f32, .f16, .bf16] {
            let adapter = Adapter(rank: 19, inputs: inputs, outputs: outputs, type: type, seed: 5)
            for (one, two) in zip(try everyCompute(threads: 1), try everyCompute(threads: 2)) {
                func run(_ compute: Compute, _ rows: Range<Int>, _ segments: [Range<Int>]) -> [[UInt32]] {
                    let y = Block(rows.count, outputs, fill: { 1 })
                    compute.lora(x.rows.rows(rows), segments: segments.map { adapter.segment($0) }, into: y.rows)
                    return bits(y.all)
                }
                let alone = (0..<70).map { run(one, $0..<$0 + 1, [0..<1])[0] }
                for count in [1, 2, 3, 4, 5, 7, 8, 9, 31, 32, 33, 70] {
                    #expect(run(one, 0..<count, [0..<count]) == Array(alone[0..<count]), "\(one.kernelName) \(type) \(count) rows")
                    #expect(run(two, 0..<count, [0..<count]) == Array(alone[0..<count]), "\(one.kernelName) \(type) \(count) rows, two threads")
                }
                #expect(run(two, 0..<40, (0..<40).map { $0..<$0 + 1 }) == Array(alone[0..<40]), "\(one.kernelName) \(type) forty segments")
            }
        }
    }

    /// Adapters that a linear layer expands task by task are those that are added to its finished result, bit for bit; so are experts'.
    @Test(arguments: WeightFormat.allCases)
    func linearLayersExpandWhatTheyHaveJustWritten(format: WeightFormat) throws {
        let inputs = 33
        for (count, outputs) in [(1, 300), (6, 300), (45, 140), (520, 70)] {
            let half = outputs / 2 + 5
            let q = Adapter(rank: 5, inputs: inputs, outputs: half, type: .f16, seed: 1)
            let v = Adapter(rank: 16, inputs: inputs, outputs: outputs - half, type: .f16, seed: 2)
            let middle = count / 3, end = count - count / 2
            let segments =
                [q.segment(0..<end, columns: 0..<half), v.segment(0..<end, columns: half..<outputs), q.segment(end..<count, columns: 3..<3 + half)]
                .filter { !$0.rows.isEmpty }
            let one = Matrix(outputs: outputs, inputs: inputs, format: format, seed: 3), two = Matrix(outputs: outputs, inputs: inputs, format: format, seed: 4)
            let x = Block(count, inputs, seed: 5)
            for compute in try everyCompute(threads: 2) {
                let prepared = PreparedRows()
                for groups in [false, true] {
                    func run(_ adapters: [Compute.LoRASegment]) -> Block {
                        let y = Block(count, outputs, fill: { 1 })
                        compute.prepare(x.rows, for: format, adapters: adapters, into: prepared)
                        if groups {
                            compute.linear(
                                prepared, groups: [.init(rows: 0..<middle, weights: one.packed), .init(rows: middle..<count, weights: two.packed)], into: y.rows)
                        } else {
                            compute.linear(prepared, one.packed, into: y.rows, accumulate: true)
                        }
                        return y
                    }
                    let fused = run(segments), apart = run([]), base = run([])
                    compute.lora(x.rows, segments: segments, into: apart.rows)
                    let name = "\(compute.kernelName) \(format) \(count) rows, groups: \(groups)"
                    #expect(memcmp(fused.buffer.base, apart.buffer.base, count * outputs * 4) == 0, "\(name)")
                    #expect(memcmp(fused.buffer.base, base.buffer.base, count * outputs * 4) != 0, "\(name): the adapters add something")
                }
            }
        }
    }

    /// Prepared rows in the owner's memory: what adapters make of them lies there, too, and in memory of their own where that is too small.
    @Test func preparedRowsInLentMemory() throws {
        let inputs = 33, outputs = 70, count = 9
        let adapter = Adapter(rank: 16, inputs: inputs, outputs: outputs, type: .f16, seed: 1)
        let matrix = Matrix(outputs: outputs, inputs: inputs, format: .bf16, seed: 3), x = Block(count, inputs, seed: 5)
        for compute in try everyCompute(threads: 2) {
            func run(_ prepared: PreparedRows) -> Block {
                let y = Block(count, outputs, fill: { 1 })
                compute.prepare(x.rows, for: .bf16, adapters: [adapter.segment(2..<count)], into: prepared)
                compute.linear(prepared, matrix.packed, into: y.rows, accumulate: true)
                return y
            }
            let own = run(PreparedRows())
            for bytes in [count * 16 * 4, 64] {
                let values = AlignedBuffer(bytes: count * PreparedRows.mostBytes(columns: inputs)), products = AlignedBuffer(bytes: bytes)
                let lent = run(PreparedRows(
                    values: UnsafeMutableRawBufferPointer(start: values.base, count: values.bytes),
                    adapters: UnsafeMutableRawBufferPointer(start: products.base, count: bytes)))
                #expect(memcmp(own.buffer.base, lent.buffer.base, count * outputs * 4) == 0, "\(compute.kernelName), \(bytes) bytes")
                let written = UnsafeRawBufferPointer(start: products.base, count: bytes).contains { $0 != 0 }
                #expect(written == (bytes > 64), "\(compute.kernelName), \(bytes) bytes")
            }
        }
    }

    @Test func stackedLayersTakeColumns() throws {
        let inputs = 32, q = Adapter(rank: 4, inputs: inputs, outputs: 20, type: .bf16, seed: 1), v = Adapter(rank: 2, inputs: inputs, outputs: 12, type: .bf16, seed: 2)
        let x = Block(3, inputs, seed: 3)
        for compute in try everyCompute(threads: 2) {
            let y = Block(3, 40, fill: { 0 })
            compute.lora(x.rows, segments: [q.segment(0..<3, columns: 0..<20), v.segment(1..<3, columns: 28..<40)], into: y.rows)
            for row in 0..<3 {
                var wanted = q.reference(x.row(row), scale: 0.5) + [Double](repeating: 0, count: 8)
                wanted += row == 0 ? [Double](repeating: 0, count: 12) : v.reference(x.row(row), scale: 0.5)
                #expect(relativeError([y.row(row)], [wanted.map(Float.init)]) < 1e-4)
            }
        }
    }
}
