import Glibc
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

    @Test func idleWorkersSleep() throws {
        let compute = try Compute(kernels: .scalar, threads: 3)
        compute.parallel(8) { _ in }
        usleep(20_000)
        func processorTime() -> Double {
            var usage = rusage()
            getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
            return Double(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) + Double(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6
        }
        // Other tests run beside this one, so look for a quiet stretch rather than trust a single one.
        let quiet = (0..<50).contains { _ in
            let before = processorTime()
            usleep(20_000)
            return processorTime() - before < 0.008
        }
        #expect(quiet, "workers burn processor time while there is nothing to do")
        withExtendedLifetime(compute) {}
    }

    @Test func badChoicesAreErrors() {
        #expect(throws: KernelError.self) { try Compute(threads: 0) }
        #expect(throws: KernelError.self) { try Compute(threads: 100_000) }
        #expect(KernelChoice.available.first == .scalar)
    }
}
