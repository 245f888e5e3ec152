// What `berth-bench kernels` measures. Weights lie in enough copies that none is in a cache when its turn comes, as in a model, where a
// layer's weights are read once per step.

import BerthCore
import BerthKernels

struct KernelBenchmark {
    /// What to measure, and how long.
    struct Plan {
        struct Shape {
            var name: String
            var inputs, outputs: Int
        }
        var formats: [WeightFormat]
        var shapes: [Shape]
        var rows: [Int]
        /// (sequences, rows each, tokens before them)
        var attention: [(sequences: Int, rows: Int, context: Int)]
        /// Of the KV cache, one for each of its formats.
        var layouts: [KVLayout]
        var heads: Int
        /// (segments, rows each, rank)
        var lora: [(segments: Int, rows: Int, rank: Int)]
        var loraInputs, loraOutputs: Int
        var seconds: Double
        /// Bytes that copies of one weight matrix take together, to be in no cache.
        var coldBytes: Int

        /// Llama-3.2-1B.
        init(formats: [WeightFormat], rows: [Int], seconds: Double) {
            self.formats = formats
            self.rows = rows
            self.seconds = seconds
            shapes = [
                Shape(name: "qkv", inputs: 2048, outputs: 3072), Shape(name: "o", inputs: 2048, outputs: 2048),
                Shape(name: "gate+up", inputs: 2048, outputs: 16384), Shape(name: "down", inputs: 8192, outputs: 2048),
                Shape(name: "head", inputs: 2048, outputs: 128_256),
            ]
            attention = [(1, 1, 4095), (16, 1, 511), (1, 16, 511), (1, 512, 0), (1, 128, 4096)]
            layouts = [.f16, .int8].map { KVLayout(layers: 16, kvHeads: 8, headDim: 64, blockTokens: 16, element: $0) }
            heads = 32
            lora = [(1, 1, 16), (16, 1, 8), (16, 1, 16), (16, 1, 64), (1, 512, 16), (4, 128, 64)]
            (loraInputs, loraOutputs) = (2048, 2048)
            coldBytes = 256 << 20
        }

        init(tinyWithFormats formats: [WeightFormat]) {
            self.init(formats: formats, rows: [1, 7], seconds: 0.001)
            shapes = [Shape(name: "tiny", inputs: 64, outputs: 80)]
            attention = [(1, 1, 40), (2, 5, 0)]
            layouts = [KVLayout(layers: 1, kvHeads: 1, headDim: 16, blockTokens: 16, element: .int8)]
            heads = 2
            lora = [(2, 3, 4)]
            (loraInputs, loraOutputs) = (64, 48)
            coldBytes = 64 << 10
        }
    }

    let kernels: KernelChoice
    let compute: Compute
    let plan: Plan

    init(kernels: KernelChoice, threads: Int, plan: Plan) throws {
        self.kernels = kernels
        compute = try Compute(kernels: kernels, threads: threads)
        self.plan = plan
    }

    func run() throws -> KernelReport {
        let one = Peaks(try Compute(kernels: kernels, threads: 1), seconds: plan.seconds, readBytes: plan.coldBytes)
        let all = compute.threads == 1 ? one : Peaks(compute, seconds: plan.seconds, readBytes: plan.coldBytes)
        var report = KernelReport(kernels: compute.kernelName, oneThread: one, allThreads: all)
        report.sectionMicroseconds = time { compute.parallel(compute.threads) { _ in } } * 1e6
        for format in plan.formats {
            for shape in plan.shapes { report.results += linear(format, shape, all) }
        }
        for case let (sequences, rows, context) in plan.attention {
            for layout in plan.layouts { report.results.append(attention(sequences, rows, context, layout, all)) }
        }
        for case let (segments, rows, rank) in plan.lora { report.results.append(lora(segments, rows, rank, all)) }
        return report
    }

    /// Median seconds of one call, after one that does not count.
    private func time(_ body: () -> Void) -> Double {
        body()
        var times: [Double] = []
        let end = monotonicSeconds() + plan.seconds
        repeat {
            let start = monotonicSeconds()
            body()
            times.append(monotonicSeconds() - start)
        } while monotonicSeconds() < end || times.count < 3
        return times.sorted()[times.count / 2]
    }

    private func values(_ count: Int, seed: UInt64) -> AlignedBuffer {
        let buffer = AlignedBuffer(bytes: count * 4)
        var state = seed | 1
        for i in 0..<count {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            buffer.floats[i] = Float(Int32(truncatingIfNeeded: state >> 32)) * 0x1p-31
        }
        return buffer
    }

    private func linear(_ format: WeightFormat, _ shape: Plan.Shape, _ peaks: Peaks) -> [KernelReport.Result] {
        // One panel of real values, repeated: what is in the weights does not matter to the speed.
        let panelOutputs = 16, panel = PackedMatrix.byteCount(outputs: panelOutputs, inputs: shape.inputs, format: format)
        let bytes = PackedMatrix.byteCount(outputs: shape.outputs, inputs: shape.inputs, format: format)
        let copies = max(1, plan.coldBytes / bytes)
        let memory = AlignedBuffer(bytes: bytes * copies), source = values(panelOutputs * shape.inputs, seed: 1)
        PackedMatrix.pack(
            [.init(base: source.base, type: .f32, outputs: panelOutputs)], inputs: shape.inputs, format: format, into: memory.base, using: nil)
        for offset in stride(from: panel, to: memory.bytes, by: panel) { memory.base.advanced(by: offset).copyMemory(from: memory.base, byteCount: panel) }
        let matrices = (0..<copies).map {
            PackedMatrix(outputs: shape.outputs, inputs: shape.inputs, format: format, memory: memory.base + $0 * bytes)
        }
        let peak = peaks.operationsPerSecond(of: format)
        return plan.rows.map { rows in
            let x = values(rows * shape.inputs, seed: 2), y = AlignedBuffer(bytes: rows * shape.outputs * 4)
            let prepared = PreparedRows()
            compute.prepare(Rows(base: x.floats, count: rows, columns: shape.inputs), for: format, into: prepared)
            var next = 0
            let seconds = time {
                compute.linear(prepared, matrices[next % copies], into: Rows(base: y.floats, count: rows, columns: shape.outputs))
                next += 1
            }
            return KernelReport.Result(
                name: "linear \(format.rawValue) \(shape.name) \(shape.inputs)->\(shape.outputs)", rows: rows, seconds: seconds,
                operations: 2 * Double(rows) * Double(shape.inputs) * Double(shape.outputs), bytes: Double(bytes), peakOperations: peak,
                peakBytes: peaks.readBytesPerSecond)
        }
    }

    /// Layers take turns, so that keys and values are in no cache where a model's would not be.
    private func attention(_ count: Int, _ rows: Int, _ context: Int, _ layout: KVLayout, _ peaks: Peaks) -> KernelReport.Result {
        let width = plan.heads * layout.headDim, tokens = context + rows
        let pagesEach = (tokens + layout.blockTokens - 1) / layout.blockTokens
        let memory = AlignedBuffer(bytes: pagesEach * count * layout.pageBytes)
        let sequences = (0..<count).map { sequence in
            AttentionSequence(
                firstRow: sequence * rows, rowCount: rows, startPosition: context,
                pages: (0..<pagesEach).map { memory.base + (sequence * pagesEach + $0) * layout.pageBytes })
        }
        let q = values(count * rows * width, seed: 3), y = AlignedBuffer(bytes: count * rows * width * 4)
        let queries = Rows(base: q.floats, count: count * rows, columns: width), out = Rows(base: y.floats, count: count * rows, columns: width)
        let kv = values(tokens * layout.kvHeads * layout.headDim, seed: 5)
        let stored = Rows(base: kv.floats, count: tokens, columns: layout.kvHeads * layout.headDim)
        for sequence in sequences {
            let whole = AttentionSequence(firstRow: 0, rowCount: tokens, startPosition: 0, pages: sequence.pages)
            for layer in 0..<layout.layers { compute.storeKV(keys: stored, values: stored, sequences: [whole], layout: layout, layer: layer) }
        }
        var layer = 0
        let seconds = time {
            compute.attention(queries: queries, sequences: sequences, layout: layout, layer: layer, window: nil, scale: 0.125, into: out)
            layer = (layer + 1) % layout.layers
        }
        // Causal: row i sees context + i + 1 tokens; two products.
        let seen = Double(count) * (Double(rows) * Double(context) + Double(rows) * Double(rows + 1) / 2)
        return KernelReport.Result(
            name: "attention \(layout.element.rawValue) \(count) x \(rows) rows after \(context)", rows: count * rows, seconds: seconds,
            operations: 4 * seen * Double(width), bytes: Double(memory.bytes / layout.layers), peakOperations: peaks.f32OperationsPerSecond,
            peakBytes: peaks.readBytesPerSecond)
    }

    private func lora(_ count: Int, _ rows: Int, _ rank: Int, _ peaks: Peaks) -> KernelReport.Result {
        let (inputs, outputs) = (plan.loraInputs, plan.loraOutputs)
        let aBytes = rank * inputs * 2, bytes = rank * (inputs + outputs) * 2 * count
        let copies = max(1, plan.coldBytes / bytes)
        let memory = AlignedBuffer(bytes: bytes * copies)
        let x = values(count * rows * inputs, seed: 4), y = AlignedBuffer(bytes: count * rows * outputs * 4)
        var next = 0
        let seconds = time {
            let base = memory.base + next % copies * bytes
            next += 1
            let segments = (0..<count).map { index in
                let a = base + index * (bytes / count)
                return Compute.LoRASegment(
                    rows: index * rows..<(index + 1) * rows, rank: rank, scale: 1, a: UnsafeRawPointer(a), b: UnsafeRawPointer(a + aBytes), type: .bf16)
            }
            compute.lora(
                Rows(base: x.floats, count: count * rows, columns: inputs), segments: segments,
                into: Rows(base: y.floats, count: count * rows, columns: outputs))
        }
        return KernelReport.Result(
            name: "lora \(count) adapters x \(rows) rows, rank \(rank), \(inputs)->\(outputs)", rows: count * rows, seconds: seconds,
            operations: 2 * Double(count * rows * rank) * Double(inputs + outputs), bytes: Double(bytes),
            peakOperations: peaks.f32OperationsPerSecond, peakBytes: peaks.readBytesPerSecond)
    }
}
