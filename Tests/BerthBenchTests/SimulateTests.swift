// `simulate` and `calibrate`, tiny.

import BerthCore
import BerthKernels
import BerthSimulator
import BerthText
import Testing

@testable import berth_bench

@Suite struct SimulateTests {
    /// A machine is played, reported and drawn.
    @Test func aMachineIsPlayed() throws {
        let command = try SimulateCommand.parse([
            "--memory", "64M", "--adapters", "40", "--adapter-size", "2M", "--rate", "2", "--seconds", "20", "--tenants", "2", "--flood", "3", "--prompt", "20",
            "--output", "8", "--arrivals", "bursts",
        ])
        let scenario = try command.capacity.scenario(memory: #require(command.capacity.memory))
        #expect(scenario.machine.pages == 64 && scenario.adapters.count == 40 && scenario.tenants.count == 2)
        let simulation = try Simulation(scenario, seed: 1, compute: Compute(kernels: .scalar, threads: 1))
        simulation.samples = 20
        let report = simulation.run()
        #expect(report.violation == nil && report.requests > 10)
        #expect(report.table.contains("tenant-2") && report.json["tenants"]?.array?.count == 2)
        #expect(report.svg(pages: 64).hasPrefix("<svg") && report.samples.count > 10)
    }

    @Test(arguments: [["--memory", "1"], ["--seeds", "0"], ["--seeds", "3", "--memory", "1G"], ["--arrivals", "never"], ["--experts", "4x4"], ["--experts", "4x4x9"]])
    func badQuestionsAreRefused(arguments: [String]) { #expect(throws: (any Error).self) { try SimulateCommand.parse(arguments) } }

    /// The costs of a checkpoint are positive, rise with the rows, and are read back as they were.
    @Test func aCheckpointIsCalibrated() throws {
        let model = try Repository.model(Repository.demo, maxRows: 32)
        var calibration = Calibration(model: model, tokenizer: try Tokenizer(directory: Repository.demo), adapters: [])
        (calibration.rounds, calibration.streams) = (2, 4)
        let costs = try calibration.run()
        #expect(costs.passes.points.map(\.rows) == [1, 2, 3, 4, 6, 8, 12, 16, 24, 32] && costs.logits.points.map(\.rows) == [1, 4, 16])
        #expect(costs.passes.nanoseconds(rows: 32) > costs.passes.nanoseconds(rows: 1) && costs.step >= 0)
        #expect(try StepCosts(json: JSON(parsing: costs.json.text)).passes.points.count == 10)
    }
}
