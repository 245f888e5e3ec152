// `capacity`, tiny; and what its prepared questions ask.

import BerthCore
import BerthSimulator
import Glibc
import Testing

@testable import berth_bench

@Suite struct CapacityCommandTests {
    /// A question is asked of two machines, answered, told and drawn; the same seed tells the same, on however many threads.
    @Test func aQuestionIsAnswered() async throws {
        let directory = try Self.model()
        defer { unlink(directory + "/config.json"); rmdir(directory) }
        let command = try CapacityCommand.parse([
            directory, "--memory", "400M,600M", "--adapters", "50", "--rate", "20", "--played", "20", "--prompt", "16", "--output", "4", "--first-token", "3",
            "--between-tokens", "1", "--bandwidth", "10", "--operations", "1",
        ])
        let plan = try command.options.plan()
        #expect(plan.offers.count == 4 && plan.question.objective.firstToken == 3)
        let report = try await CapacityCommand.report(plan, machinePrice: 1 << 30, threads: 2)
        #expect(report.text.contains("extrapolated") && report.text.contains("affinity") && report.text.contains("twice the disk"))
        #expect(report.json["answers"]?.array?.count == 4 && report.json["isExtrapolated"] == true && report.svg.hasPrefix("<svg"))
        #expect(report.lines.count == 2 && report.lines.allSatisfy { $0.answers.count == 2 })
        #expect(try await CapacityCommand.report(plan, machinePrice: 1 << 30, threads: 1).json.text == report.json.text)
    }

    /// A directory with the sizes of a small dense model.
    private static func model() throws -> String {
        var template = Array("/tmp/berth-capacity-XXXXXX".utf8CString)
        let directory = String(cString: try #require(mkdtemp(&template)))
        try TextFile.write(#"{"architectures": ["LlamaForCausalLM"], "hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 4, "num_attention_heads": 4, "vocab_size": 2000}"#, to: directory + "/config.json")
        return directory
    }

    /// The prepared questions are of the models that they name.
    @Test func presetsAreWhatTheySay() throws {
        let adapters = try CapacityCommand.parse(["adapters"]).options.plan(), mixture = try CapacityCommand.parse(["mixture", "--consistency", "0.5"]).options.plan()
        #expect(adapters.question.adapters == 10_000 && abs(adapters.question.shape.allWeights / 7.5e9 - 1) < 0.02 && adapters.question.shape.adapterBytes(rank: 16) == 83_886_080)
        #expect(abs(mixture.question.shape.allWeights / 234.5e9 - 1) < 0.01 && abs(mixture.question.shape.activeWeights / 21.5e9 - 1) < 0.02)
        #expect(mixture.offers.allSatisfy { $0.layout.expertPages == 3 && $0.consistency == 0.5 } && mixture.offers.count == 10)
        #expect(adapters.extrapolation != nil && mixture.extrapolation != nil)
    }

    @Test(arguments: [
        [], ["adapters", "--memory", "much"], ["adapters", "--disks", "0"], ["adapters", "--router", "hash"], ["adapters", "--consistency", "2"], ["adapters", "--rate", "0"],
        ["adapters", "--costs-of", "x"], ["adapters", "--requests-in-time", "101"], ["adapters", "--rank", "0"],
    ]) func badQuestionsAreRefused(arguments: [String]) { #expect(throws: (any Error).self) { try CapacityCommand.parse(arguments) } }

    /// A directory without a model, and what cannot be played, are named.
    @Test func whatCannotBePlayedIsSaid() {
        for arguments in [["/nonexistent"], ["mixture", "--adapters", "3"], ["adapters", "--costs", "/nonexistent"]] {
            #expect(throws: (any Error).self) { try CapacityCommand.parse(arguments).options.plan() }
        }
    }
}
