// Recorded workloads, and what their replay does with them.

import BerthCore
import BerthKernels
import Testing

@testable import BerthSimulator

@Suite struct RecordingTests {
    private static let machine = RecordedMachine(pages: 400, pageBytes: 1 << 19, blockTokens: 16, contextLength: 512, running: 8, stepTokens: 64, adapterPages: [2, 2, 2])

    /// Clients that wait for their answers, and others that come by themselves.
    private static func recording(seed: UInt64) -> Recording {
        var clients = TenantLoad(TenantName("a")!, .clients(count: 3, thinking: 0.5)), others = TenantLoad(TenantName("b")!, .poisson(rate: 0.5))
        (clients.mostRequests, clients.prompt, clients.output) = (12, .uniform(5...90), .fixed(8))
        (others.mostRequests, others.adapterShare, others.adapters) = (10, 1, 0..<3)
        return Recording(name: "both", seed: seed, loads: [clients, others])
    }

    private static func run(_ recording: Recording) throws -> SimulationReport {
        let scenario = machine.scenario(replaying: recording, costs: StepCosts())
        return try Simulation(scenario, seed: 1, compute: Compute(kernels: .scalar, threads: 1)).run()
    }

    /// A machine whose blocks are as large as a recording may name.
    @Test func theLargestBlocksArePlayed() throws {
        let machine = RecordedMachine(
            pages: 400, pageBytes: 1 << 20, blockTokens: SimulatedMachine.mostBlockTokens, contextLength: 512, running: 8, stepTokens: 64, adapterPages: [2, 2, 2])
        let scenario = machine.scenario(replaying: Self.recording(seed: 2), costs: StepCosts())
        let report = try Simulation(scenario, seed: 2, compute: Compute(kernels: .scalar, threads: 1)).run()
        #expect(report.violation == nil)
    }

    /// A recording out of its file comes to the same decisions, down to every event and its time.
    @Test(arguments: 1...5 as ClosedRange<UInt64>)
    func aFileReplaysToTheSameDecisions(seed: UInt64) throws {
        let recordings = Recordings(machine: Self.machine, workloads: [Self.recording(seed: seed)])
        let read = try Recordings(json: JSON(parsing: recordings.json.text))
        #expect(read == recordings)
        let reports = try [recordings, read].map { try Self.run($0.workloads[0]) }
        #expect(reports[0].violation == nil && reports[0].digest == reports[1].digest && reports[0].answers == reports[1].answers, "seed \(seed)")
        #expect(reports[0].requests == 22 && reports[0].outputTokens == recordings.workloads[0].requests.reduce(0) { $0 + $1.output }, "seed \(seed)")
    }

    /// Who waited for an answer asks after the simulated one; who came by itself comes when it came.
    @Test func requestsComeWhenTheyCame() throws {
        let recording = Self.recording(seed: 7)
        let answers = try Self.run(recording).answers.map { try #require($0) }
        for (request, answer) in zip(recording.requests, answers) {
            let wanted = (request.after.map { answers[$0].end } ?? 0) + Double(request.nanoseconds) / 1e9
            #expect(abs(answer.asked - wanted) < 1e-6 && answer.first > answer.asked && answer.end >= answer.first)
        }
        #expect(recording.requests.count { $0.after != nil } == 9)
    }

    /// The gauges of a workload are those that stand next to it, in a file, too.
    @Test func gaugesStandAroundWorkloads() throws {
        let (first, second) = (Recording.gauge(streams: 4, promptRows: 0, seed: 1), Recording.gauge(streams: 3, promptRows: 30, seed: 2))
        #expect(first.gaugedRows == 4 && second.gaugedRows == 32)
        let recordings = Recordings(machine: Self.machine, workloads: [first, Self.recording(seed: 3), second, first, Self.recording(seed: 4), Self.recording(seed: 5)])
        let read = try Recordings(json: JSON(parsing: recordings.json.text))
        #expect(read == recordings)
        #expect(read.gauges(around: 1).map(\.gaugedRows) == [4, 32, 4] && read.gauges(around: 4).map(\.gaugedRows) == [4, 32] && read.gauges(around: 5).isEmpty)
    }

    @Test(arguments: [
        "[]", #"{"machine": {}, "workloads": []}"#,
        file(#"{"name": "w", "seed": "1", "requests": []}"#), file(#"{"name": "w", "seed": "1", "requests": [{"nanoseconds": 0, "prompt": 0, "output": 1}]}"#),
        file(#"{"name": "w", "seed": "1", "requests": [{"nanoseconds": 0, "prompt": 60, "output": 60}]}"#),
        file(#"{"name": "w", "seed": "1", "requests": [{"after": 0, "nanoseconds": 0, "prompt": 1, "output": 1}]}"#),
        file(#"{"name": "w", "seed": "1", "requests": [{"nanoseconds": 0, "prompt": 1, "output": 1, "adapter": 0}]}"#),
        file(#"{"name": "w", "seed": "1", "requests": [{"nanoseconds": 0, "prompt": 1, "output": 1, "answer": [2, 1, 3]}]}"#),
    ]) func badRecordingsAreRefused(text: String) throws {
        #expect(throws: RecordingError.self) { try Recordings(json: JSON(parsing: text)) }
    }

    private static func file(_ workload: String) -> String {
        #"{"machine": {"pages": 9, "pageBytes": 4096, "blockTokens": 16, "contextLength": 99, "running": 4, "stepTokens": 8}, "workloads": [\#(workload)]}"#
    }
}
