// How every command that computes with a real checkpoint opens it.

import ArgumentParser
import BerthCore
import BerthEngine
import BerthKernels
import BerthModels
import BerthStore

/// The checkpoint and the machine.
struct ModelOptions: ParsableArguments {
    @Argument(help: "A checkpoint's directory.") var directory: String
    @Option(help: "Threads.") var threads = 2
    @Option(help: "Which kernels.") var kernels = KernelChoice.best
    @Option(help: "Where prepared weights are kept; without it they are packed from the checkpoint each time.") var cacheDir: String?

    func validate() throws {
        guard (1...Limits.computeThreads).contains(threads) else { throw ValidationError("threads must be between 1 and \(Limits.computeThreads)") }
    }

    func compute() throws -> Compute { try Compute(kernels: kernels, threads: threads) }

    /// Packs the checkpoint or takes its prepared image.
    func open(_ format: WeightFormat, _ compute: Compute, maxRows: Int, maxLogitRows: Int, experts: ExpertPlacement = .resident) throws -> Model {
        try Model(
            checkpoint: Checkpoint(directory: directory), format: format, compute: compute, maxRows: maxRows, maxLogitRows: maxLogitRows,
            cache: cacheDir.map { WeightCache(ImageCache(directory: $0)) }, experts: experts)
    }

    /// For an engine in which so many requests run at once.
    func open(_ format: WeightFormat, running: Int) throws -> Model {
        let maxRows = max(EngineConfiguration().stepTokens, running)
        return try open(format, compute(), maxRows: maxRows, maxLogitRows: max(Model.defaultLogitRows(maxRows: maxRows), running))
    }
}

extension WeightFormat: ExpressibleByArgument {}
