import BerthCore
import BerthKernels
import BerthModels
import BerthStore
import BerthText
import Foundation
import Testing

@testable import berth_bench

@Suite struct WaveBenchmarkTests {
    @Test func sizesAreRead() {
        #expect(WaveBenchmark.Size("plain") == .plain && WaveBenchmark.Size("chosen") == .chosen)
        for text in ["8", "8:64", "8:64:16"] { #expect(WaveBenchmark.Size(text)?.name == text) }
        for text in ["", "0", "8:", "8:64:16:1", "many", "-1", "99999999999999999999"] { #expect(WaveBenchmark.Size(text) == nil, "\(text)") }
    }

    /// Every size gives the same tokens, a forced size is had, and the plain batch has no waves.
    @Test func everySizeRunsTheSameLoad() throws {
        let fixture = Repository.fixture("qwen2_moe")
        let folder = NSTemporaryDirectory() + "berth-waves-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: folder) }
        var plan = WaveBenchmark.Plan()
        (plan.requests, plan.prompt, plan.common, plan.generate, plan.poolBytes, plan.expertPercent) = (12, 3...6, 4, 5, 16 << 20, 50)
        // The fixture has no tokenizer; nobody reads the text.
        let benchmark = WaveBenchmark(tokenizer: try Tokenizer(directory: Repository.demo), plan: plan) { maxRows, logitRows in
            try Model(
                checkpoint: Checkpoint(directory: fixture), format: .f32, compute: Compute(threads: 2), maxRows: maxRows, maxLogitRows: logitRows,
                cache: WeightCache(ImageCache(directory: folder)), experts: .paged(.buffered))
        }
        let report = try benchmark.run(["chosen", "4:64:32", "plain"].map { try #require(WaveBenchmark.Size($0)) })
        for result in report.results { #expect(result.runs.count == 1 && result.runs[0].generatedTokens == 60 && result.runs[0].bytesRead > 0) }
        // Three times four requests, each with a prompt and four tokens after the first.
        #expect(report.results[1].runs[0].waves.waves >= 15 && report.results[1].runs[0].waves.lastRequests <= 4)
        #expect(report.results[0].runs[0].waves.waves > 0 && report.results[0].runs[0].waves.waves < 15)
        #expect(report.results[2].runs[0].waves.waves == 0)
        #expect(report.json["results"]?.array?.count == 3 && report.table.contains("4:64:32"))
    }
}
