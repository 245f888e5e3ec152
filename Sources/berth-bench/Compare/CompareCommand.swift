// `berth-bench compare`: recorded workloads, served again by the simulator.

import ArgumentParser
import BerthCore
import BerthSimulator

struct CompareCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "compare", abstract: "How near the simulator comes to a daemon: recorded workloads, served again.",
        discussion: "Takes what record has written, and the costs that calibrate has measured on the same machine. See Scripts/compare.")

    @Argument(help: "Recordings, as record writes them.") var recordings: [String]
    @Option(help: "Costs of steps, as calibrate writes them.") var costs: String
    @Option(help: "Draw times to the first token into this file, as SVG.") var svg: String?
    @Flag(help: "Print JSON instead of a table.") var json = false

    func validate() throws { if recordings.isEmpty { throw ValidationError("there is nothing to compare") } }

    func run() throws {
        let costs = try StepCosts(json: TextFile.json(costs))
        var comparisons: [Comparison] = []
        for path in recordings {
            let recordings = try Recordings(json: TextFile.json(path))
            for (index, workload) in recordings.workloads.enumerated() where !workload.isGauge {
                comparisons.append(try Comparison(workload, between: recordings.gauges(around: index), on: recordings.machine, costs: costs))
            }
        }
        if let svg { try TextFile.write(comparisons.svg, to: svg) }
        print(json ? comparisons.json.text : comparisons.table)
    }
}
