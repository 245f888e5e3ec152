// What the tests of this target share: where checkpoints are, pages for sequences, and expected outputs.

import BerthCore
import BerthKernels
import BerthStore
import Glibc
import Testing

@testable import BerthModels

/// Folders of checkpoints.
enum Checkpoints {
    private static let here = String(#filePath[..<#filePath.lastIndex(of: "/")!])
    static let fixtures = here + "/Fixtures"
    /// Larger ones that a checkout may have beside it.
    static let shared = here + "/../../../shared/models"

    static func folders(in directory: String) -> [String] {
        guard let stream = opendir(directory) else { return [] }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if !name.hasPrefix(".") { names.append(name) }
        }
        return names.sorted()
    }
}

/// A checkpoint folder with `golden.json`.
struct TestModel: CustomTestStringConvertible {
    let folder: String
    var testDescription: String { String(folder.split(separator: "/").last!) }

    static let fixtures = Checkpoints.folders(in: Checkpoints.fixtures).map { TestModel(folder: "\(Checkpoints.fixtures)/\($0)") }
    static let shared = Checkpoints.folders(in: Checkpoints.shared).map { TestModel(folder: "\(Checkpoints.shared)/\($0)") }

    static func fixture(_ name: String) -> TestModel { TestModel(folder: "\(Checkpoints.fixtures)/\(name)") }

    func model(_ format: WeightFormat, _ kernels: KernelChoice = .best, kv: KVElement? = nil, threads: Int = 2, maxRows: Int = 512) throws -> Model {
        try Model(
            checkpoint: Checkpoint(directory: folder), format: format, kv: kv, compute: Compute(kernels: kernels, threads: threads), maxRows: maxRows,
            maxLogitRows: maxRows)
    }

    /// Names of the adapters beside the checkpoint.
    var adapters: [String] { Checkpoints.folders(in: folder + "/adapters") }

    func adapter(_ name: String, of model: Model) throws -> LoadedAdapter {
        let plan = model.plan(try AdapterCheckpoint(directory: "\(folder)/adapters/\(name)", base: model.catalog))
        let memory = AlignedBuffer(bytes: plan.bytes)
        return LoadedAdapter(weights: try plan.load(into: memory.base), memory: memory)
    }

    func golden() throws -> [Completion] {
        let json = try JSON(parsing: contents(of: folder + "/golden.json"))
        return json["completions"]!.array!.map { completion in
            Completion(
                adapter: completion["adapter"]?.string,
                prompt: completion["prompt_ids"]!.array!.map { Int32($0.int!) },
                steps: completion["steps"]!.array!.map { step in
                    step["top"]!.array!.map { (token: Int32($0.array![0].int!), logprob: Float($0.array![1].double!)) }
                })
        }
    }
}

struct LoadedAdapter {
    let weights: AdapterWeights
    let memory: AlignedBuffer
}

/// A prompt with what transformers made of it.
struct Completion {
    let adapter: String?
    let prompt: [Int32]
    /// The five most probable tokens of each step, the first being the one that was appended.
    let steps: [[(token: Int32, logprob: Float)]]

    /// The prompt and all generated tokens but the last.
    var tokens: [Int32] { prompt + steps.dropLast().map { $0[0].token } }
}

func contents(of path: String) throws -> [UInt8] {
    let file = try #require(fopen(path, "rb"), "cannot open \(path)")
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    while true {
        let count = fread(&buffer, 1, buffer.count, file)
        if count == 0 { return bytes }
        bytes.append(contentsOf: buffer[..<count])
    }
}

/// A request as the tests run it: its tokens, its pages, and how far it has come.
final class TestSequence {
    let tokens: [Int32]
    let adapter: AdapterWeights?
    private(set) var done = 0
    private let memory: AlignedBuffer
    private let pages: [UnsafeMutableRawPointer]

    init(_ tokens: [Int32], _ adapter: AdapterWeights? = nil, layout: KVLayout) {
        self.tokens = tokens
        self.adapter = adapter
        let count = (tokens.count + layout.blockTokens - 1) / layout.blockTokens
        let stride = (layout.pageBytes + 4095) / 4096 * 4096
        memory = AlignedBuffer(bytes: count * stride)
        // What an earlier owner left in a page must not matter.
        memset(memory.base, 0x3C, memory.bytes)
        let base = memory.base
        pages = (0..<count).map { base + $0 * stride }
    }

    /// The next `count` tokens, with logits of the rows from `logitsFrom` on (counted from the sequence's first token).
    func take(_ count: Int, logitsFrom: Int = 0) -> (tokens: [Int32], sequence: Batch.Sequence) {
        let range = done..<done + count
        done += count
        let first = min(max(logitsFrom - range.lowerBound, 0), count)
        return (
            Array(tokens[range]),
            Batch.Sequence(rowCount: count, startPosition: range.lowerBound, pages: pages, adapter: adapter, logitRows: first..<count)
        )
    }
}

extension Batch {
    init(_ parts: [(tokens: [Int32], sequence: Batch.Sequence)]) {
        self.init(tokens: parts.flatMap(\.tokens), sequences: parts.map(\.sequence))
    }
}

extension Model {
    /// Logits of all rows from `logitsFrom` on, the sequence run in chunks of the given sizes, or at once.
    func logits(_ tokens: [Int32], _ adapter: AdapterWeights? = nil, chunks: [Int]? = nil, logitsFrom: Int = 0) -> [[Float]] {
        let sequence = TestSequence(tokens, adapter, layout: kvLayout)
        return (chunks ?? [tokens.count]).flatMap { forward(Batch([sequence.take($0, logitsFrom: logitsFrom)])).copied }
    }
}

extension Rows {
    var copied: [[Float]] { (0..<count).map { Array(UnsafeBufferPointer(start: self[$0], count: columns)) } }
}
