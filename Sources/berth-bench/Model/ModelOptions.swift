// How every command that computes with a real checkpoint opens it.

import ArgumentParser
import BerthCore
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
}

extension WeightFormat: ExpressibleByArgument {}
