// Adapters as the benchmark holds them: loaded the way the engine loads them, with what they cost a step.

import BerthKernels
import BerthModels
import BerthStore
import Glibc

/// An adapter in memory. `memory` must live as long as `weights` are used.
struct BenchAdapter {
    let weights: AdapterWeights
    let cost: AdapterCost
    private let memory: AlignedBuffer

    init(directory: String, model: Model) throws {
        let checkpoint = try AdapterCheckpoint(directory: directory, base: model.catalog)
        let plan = model.plan(checkpoint)
        memory = AlignedBuffer(bytes: plan.bytes)
        weights = try plan.load(into: memory.base)
        cost = AdapterCost(checkpoint, elementBytes: model.format == .f32 ? 4 : 2)
    }

    /// The first `count` adapters of a directory of adapters, by name; fewer where there are fewer.
    static func load(_ count: Int, from directory: String, model: Model) throws -> [BenchAdapter] {
        let names = try subdirectories(of: directory).filter { access("\(directory)/\($0)/\(AdapterCheckpoint.configurationName)", R_OK) == 0 }
        guard !names.isEmpty else { throw BenchError("there is no adapter in \(directory)") }
        return try names.prefix(count).map { try BenchAdapter(directory: "\(directory)/\($0)", model: model) }
    }

    private static func subdirectories(of directory: String) throws -> [String] {
        guard let stream = opendir(directory) else { throw BenchError("cannot open \(directory): \(String(cString: strerror(errno)))") }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
            if !name.hasPrefix(".") { names.append(name) }
        }
        return names.sorted()
    }
}

/// What an adapter adds to a step that has it.
struct AdapterCost {
    /// For each row: two operations for each number of both factors, and the factors' bytes.
    private var row = StepWork()
    /// For each row whose logits are wanted.
    private var head = StepWork()
    /// For each row that chooses one expert, of an expert's mean adapter.
    private var expert = StepWork()

    init(_ checkpoint: AdapterCheckpoint, elementBytes: Int) {
        for module in checkpoint.modules {
            var work = StepWork()
            // An embedding's A is looked up, not multiplied.
            let parameters = module.kind == .embedding ? module.rank * module.outputs : module.parameters
            work.compute(2 * Double(parameters), in: .f32)
            work.read(Double(parameters * elementBytes))
            if module.kind == .head {
                head.add(work)
            } else if module.path.contains(".experts.") {
                expert.add(work)
            } else {
                row.add(work)
            }
        }
    }

    func add(to work: inout StepWork, rows: Double, logitRows: Double, experts: ModelConfiguration.Experts?) {
        work.add(row, operationsTimes: rows)
        if logitRows > 0 { work.add(head, operationsTimes: logitRows) }
        guard let experts else { return }
        let one = 1 / Double(experts.count)
        work.add(
            expert, operationsTimes: rows * Double(experts.chosen) * one, bytesTimes: experts.expectedTouched(byRows: rows) * one)
    }
}
