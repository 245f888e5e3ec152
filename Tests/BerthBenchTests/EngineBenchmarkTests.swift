import BerthModels
import BerthText
import Testing

@testable import berth_bench

@Suite struct EngineBenchmarkTests {
    /// Every measured step decodes every request, prompts that took several steps before included.
    @Test func everyStepDecodesEveryRequest() throws {
        let model = try Repository.model(Repository.demo, maxRows: 20)
        var plan = EngineBenchmark.Plan()
        (plan.requests, plan.steps, plan.rounds, plan.temperature) = ([1, 9], 5, 2, 0.7)
        let report = try EngineBenchmark(model: model, tokenizer: Tokenizer(directory: Repository.demo), plan: plan).run()
        #expect(report.results.map(\.generatedTokens) == [5, 45])
        for result in report.results {
            #expect(result.stepSeconds.count == 2 && result.overhead > 0 && result.forwardShare > 0 && result.forwardShare < 1)
        }
        #expect(report.json["results"]?.array?.count == 2)
        #expect(report.table.contains("µs engine"))
    }

    /// A cache that never hits is always full and always evicting, computes the same number of tokens, and the ratio follows from the engine's own time.
    @Test func aCacheThatNeverHitsIsMeasuredFull() throws {
        let model = try Repository.model(Repository.demo, maxRows: 64)
        var plan = TurnoverBenchmark.Plan()
        (plan.running, plan.requests, plan.prompt, plan.generate, plan.rounds) = (4, 32, 40, 6, 2)
        let report = try TurnoverBenchmark(model: model, tokenizer: Tokenizer(directory: Repository.demo), plan: plan).run()
        #expect(report.with.count == 2 && report.without.count == 2)
        for run in report.with { #expect(run.evictedBlocks > 0 && run.cachedTokens < 32 * 4 && run.generatedTokens == 32 * 6, "\(run)") }
        for run in report.without { #expect(run.evictedBlocks == 0 && run.cachedTokens == 0 && run.generatedTokens == 32 * 6 && run.engineSeconds > 0) }
        #expect(report.throughputRatio > 0 && report.throughputRatio.isFinite)
        #expect(report.table.contains("never hits") && report.json["withoutCache"] != nil)
    }
}
