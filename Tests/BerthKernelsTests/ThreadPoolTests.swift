import Glibc
import Synchronization
import Testing

@testable import BerthKernels

@Suite struct ThreadPoolTests {
    /// Every task runs once, whatever the number of tasks, thousands of sections in a row and after pauses that let workers sleep.
    @Test(arguments: [1, 2, 3, 5])
    func everyTaskRunsOnce(threads: Int) throws {
        let compute = try Compute(kernels: .scalar, threads: threads)
        let most = 70
        let runs = UnsafeMutablePointer<Int>.allocate(capacity: most)
        defer { runs.deallocate() }
        for round in 0..<3000 {
            let count = round % most
            for i in 0..<most { runs[i] = 0 }
            compute.parallel(count) { runs[$0] += 1 }
            var wrong = 0
            for i in 0..<most where runs[i] != (i < count ? 1 : 0) { wrong += 1 }
            #expect(wrong == 0, "round \(round)")
            if round % 1000 == 999 { usleep(3000) }
        }
    }

    /// An idle daemon uses no processor time: workers stop looking for work and sleep, and wake for the next section.
    @Test func idleWorkersSleep() throws {
        let compute = try Compute(kernels: .scalar, threads: 3)
        for round in 0..<5 {
            compute.parallel(8) { _ in }
            var waits = 0
            while compute.pool.sleepingWorkers < 2, waits < 10_000 {
                usleep(1000)
                waits += 1
            }
            #expect(compute.pool.sleepingWorkers == 2, "round \(round)")
        }
    }

    /// Tools show what a thread is for.
    @Test func workersHaveNames() throws {
        let names = UnsafeMutablePointer<String>.allocate(capacity: 3)
        names.initialize(repeating: "", count: 3)
        defer {
            names.deinitialize(count: 3)
            names.deallocate()
        }
        let compute = try Compute(kernels: .scalar, threads: 3)
        // Tasks that wait for each other, so that each thread takes one.
        let arrived = Atomic<Int>(0)
        compute.pool.section(3) { _, worker in
            arrived.wrappingAdd(1, ordering: .sequentiallyConsistent)
            while arrived.load(ordering: .sequentiallyConsistent) < 3 { sched_yield() }
            let file = fopen("/proc/thread-self/comm", "r")
            var name = [CChar](repeating: 0, count: 32)
            let count = fread(&name, 1, 31, file)
            fclose(file)
            names[worker] = String(decoding: name[..<count].map(UInt8.init(bitPattern:)), as: UTF8.self)
        }
        #expect(names[1] == "berth-worker\n" && names[2] == names[1])
    }

    @Test func badChoicesAreErrors() {
        #expect(throws: KernelError.self) { try Compute(threads: 0) }
        #expect(throws: KernelError.self) { try Compute(threads: 100_000) }
        #expect(KernelChoice.available.first == .scalar)
    }
}
