// How `--memory` is divided: what the model must have, what the process takes beside it, and the pool that gets the rest.

import BerthCore
import BerthKernels
import BerthModels

struct MemoryBudget {
    /// Code, stacks, sockets' buffers, bodies under way, the allocator's slack.
    private static let processBytes = 64 << 20
    /// What a thread takes for itself: its kernels' scratch and a row of logits that it samples.
    private static func bytesPerThread(vocabulary: Int) -> Int { Compute.bytesPerThread + vocabulary * 4 }
    /// What the tokenizer's tables take for each token of the vocabulary; measured on vocabularies of 32 and 128 thousand.
    private static let tokenizerBytesPerToken = 256
    /// The pool must let at least this many sequences of one step's tokens run; fewer is no service.
    private static let leastSequences = 2

    let total: Int
    let weights: Int
    let scratch: Int
    let process: Int
    let pool: Int
    let pageBytes: Int
    let blockTokens: Int

    /// Throws, with the least that would do, where the model does not fit.
    init(total: ByteSize, plan: MemoryPlan, vocabulary: Int, tokenizerTokens: Int, maxRows: Int, threads: Int) throws {
        self.total = total.bytes
        weights = plan.weightBytes
        scratch = plan.scratchBytes
        process = Self.processBytes + tokenizerTokens * Self.tokenizerBytesPerToken + threads * Self.bytesPerThread(vocabulary: vocabulary)
        pageBytes = (plan.pageBytes + 4095) / 4096 * 4096
        blockTokens = plan.blockTokens
        let fixed = weights + scratch + process
        let leastPages = Self.leastSequences * ((maxRows + blockTokens - 1) / blockTokens + 1)
        let least = fixed + leastPages * pageBytes
        guard total.bytes >= least else {
            // Rounded up to the next MiB, so that the number can be given back as it is.
            let rounded = ((least + (1 << 20) - 1) >> 20)
            throw AssemblyError(
                "the model does not fit into \(total): it needs \(ByteSize(bytes: weights)) for weights, \(ByteSize(bytes: scratch)) for activations, "
                    + "\(ByteSize(bytes: process)) for the process and at least \(ByteSize(bytes: leastPages * pageBytes)) for the pool; the least is --memory \(rounded)M")
        }
        pool = (total.bytes - fixed) / pageBytes * pageBytes
    }

    /// The plan, for the log.
    var lines: [String] {
        let tokens = pool / pageBytes * blockTokens
        return [
            "memory \(ByteSize(bytes: total)): weights \(ByteSize(bytes: weights)), activations \(ByteSize(bytes: scratch)), process \(ByteSize(bytes: process)), pool \(ByteSize(bytes: pool))",
            "pool: \(pool / pageBytes) pages of \(ByteSize(bytes: pageBytes)), each the KV of \(blockTokens) tokens (\(tokens) in all), shared with adapters",
        ]
    }
}
