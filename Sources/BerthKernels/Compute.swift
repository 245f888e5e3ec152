// The compute engine: a table of kernels, the threads that run them and the scratch they need. Owned by the engine thread; all calls
// come from it, one at a time, and return when the work is done.
//
// What each operation does stands with its family: Linear.swift, LoRA.swift, Pointwise.swift, Attention.swift, Logits.swift.
//
// **Batch invariance** is kept by all of them: a row's result is the same, bit for bit, whatever rows run with it, whatever
// the number of threads and however a context is cut.

import CKernels

/// Kernels and threads.
public final class Compute {
    public let threads: Int
    let table: UnsafePointer<KernelTable>
    let pool: ThreadPool
    private let scratch: AlignedBuffer

    // Buffers that grow to what the largest call needs.
    var loraProducts = LoRAProducts()
    var attentionPartials = GrowingBuffer()
    var attentionTasks: [AttentionTask] = []
    var linearTasks: [LinearTask] = []

    /// Memory that every thread takes.
    public static let bytesPerThread = KernelScratchBytes

    /// - Parameters:
    ///   - kernels: which table; `.best` listens to `BERTH_KERNELS`.
    ///   - threads: how many threads compute, the caller's included.
    public convenience init(kernels: KernelChoice = .best, threads: Int) throws(KernelError) {
        try self.init(table: kernels.table(), threads: threads)
    }

    init(table: UnsafePointer<KernelTable>, threads: Int) throws(KernelError) {
        self.table = table
        self.threads = threads
        pool = try ThreadPool(threads: threads)
        scratch = AlignedBuffer(bytes: threads * KernelScratchBytes)
    }

    /// For tests: kernels of other processors whose special instruction this one can imitate.
    static func imitations(threads: Int) throws(KernelError) -> [Compute] {
        var found = [UnsafePointer<KernelTable>?](repeating: nil, count: KernelMostTables)
        let count = kernel_tables_for_tests(&found)
        var all: [Compute] = []
        for table in found.prefix(count) { all.append(try Compute(table: table!, threads: threads)) }
        return all
    }

    /// The table's name: "avx512vnni".
    public var kernelName: String { String(cString: table.pointee.name) }

    /// Runs `body(i)` for 0..<count on all threads and returns when all have run.
    public func parallel(_ count: Int, _ body: (Int) -> Void) {
        pool.section(count) { task, _ in body(task) }
    }

    /// The same for bodies with memory of their own for every thread: 0 <= worker < threads, and no two tasks run as the same worker at a time.
    public func parallel(_ count: Int, byWorker body: (_ task: Int, _ worker: Int) -> Void) {
        pool.section(count, body)
    }

    /// The same for kernels that need scratch memory.
    func section(_ count: Int, _ body: (_ task: Int, _ scratch: UnsafeMutableRawPointer) -> Void) {
        let base = scratch.base
        pool.section(count) { task, worker in body(task, base + worker * KernelScratchBytes) }
    }

    /// Runs `body` over 0..<count in runs of rows; on the caller alone when the whole is less work than waking others. In the same section and
    /// before the rows, `other` runs for every task in 0..<others.
    func overRows(_ count: Int, columns: Int, after others: Int = 0, _ other: (Int) -> Void = { _ in }, _ body: (Range<Int>) -> Void) {
        let valuesPerTask = 16 << 10
        let rowsPerTask = max(1, valuesPerTask / max(columns, 1))
        let tasks = (count + rowsPerTask - 1) / rowsPerTask
        if others == 0, tasks <= 1 {
            if count > 0 { body(0..<count) }
            return
        }
        pool.section(others + tasks) { task, _ in
            if task < others { return other(task) }
            let first = (task - others) * rowsPerTask
            body(first..<min(count, first + rowsPerTask))
        }
    }
}
