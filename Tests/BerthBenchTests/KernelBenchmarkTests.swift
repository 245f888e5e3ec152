import BerthCore
import BerthKernels
import Testing

@testable import berth_bench

/// The benchmark runs tiny here, so that it never rots.
@Suite struct KernelBenchmarkTests {
    @Test func tinyRunMeasuresEverything() throws {
        let plan = KernelBenchmark.Plan(tinyWithFormats: WeightFormat.allCases)
        let report = try KernelBenchmark(kernels: .best, threads: 2, plan: plan).run()
        #expect(report.results.count == 4 * 2 + 2 + 1)
        for result in report.results { #expect(result.seconds > 0 && result.percentOfLimit.isFinite && result.percentOfLimit > 0, "\(result.name)") }
        #expect(report.allThreads.readBytesPerSecond > 0 && report.oneThread.f32OperationsPerSecond > 0)
        #expect(report.json["results"]?.array?.count == report.results.count)
        #expect(report.table.contains("attention"))
    }

    /// Every table says what its own instructions do at most in every format, so that a percentage of the limit means something.
    @Test(arguments: KernelChoice.available)
    func everyTableHasPeaksOfItsOwn(kernels: KernelChoice) throws {
        let peaks = Peaks(try Compute(kernels: kernels, threads: 1), seconds: 0.001, readBytes: 64 << 10)
        for format in WeightFormat.allCases { #expect(peaks.operationsPerSecond(of: format) > 0, "\(kernels) \(format)") }
        #expect(peaks.readBytesPerSecond > 0)
        #expect(peaks.line.contains("int4"))
    }
}
