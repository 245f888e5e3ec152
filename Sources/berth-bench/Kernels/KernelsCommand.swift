// `berth-bench kernels`: every kernel over the shapes of a 1B Llama, as a percentage of what this machine can do at most. The limit of a
// kernel is the longer of two times: its operations at the measured peak of its table's instructions, its bytes at the measured read speed.

import ArgumentParser
import BerthCore
import BerthKernels

struct KernelsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "kernels", abstract: "Each kernel against the machine's measured peaks.")

    @Option(help: "Which kernels.") var kernels = KernelChoice.best
    @Option(help: "Threads.") var threads = 2
    @Option(help: "Weight formats, comma-separated.") var formats = "bf16,int8,int4"
    @Option(help: "Row counts of the linear layers, comma-separated.") var rows = "1,2,4,8,16,32,64,128,512"
    @Option(help: "Seconds for each measurement.") var seconds = 0.2
    @Flag(help: "Tiny shapes, for tests: says whether everything runs, not how fast.") var tiny = false
    @Flag(help: "Print JSON instead of a table.") var json = false

    func validate() throws {
        guard seconds > 0, threads > 0 else { throw ValidationError("seconds and threads must be positive") }
        guard !chosenFormats.isEmpty else { throw ValidationError("no such format among \(formats)") }
        guard !chosenRows.isEmpty else { throw ValidationError("no row count among \(rows)") }
    }

    private var chosenFormats: [WeightFormat] { formats.split(separator: ",").compactMap { WeightFormat(rawValue: String($0)) } }
    private var chosenRows: [Int] { rows.split(separator: ",").compactMap { Int($0) }.filter { $0 > 0 } }

    func run() throws {
        let plan = tiny
            ? KernelBenchmark.Plan(tinyWithFormats: chosenFormats) : KernelBenchmark.Plan(formats: chosenFormats, rows: chosenRows, seconds: seconds)
        let report = try KernelBenchmark(kernels: kernels, threads: threads, plan: plan).run()
        print(json ? report.json.text : report.table)
    }
}

extension KernelChoice: ExpressibleByArgument {}
