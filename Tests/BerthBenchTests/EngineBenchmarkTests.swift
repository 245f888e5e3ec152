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
}
