// `berth-bench churn`: everything at once, for as long as one likes, and what is left of it afterwards.
//
// Streams of all lengths and priorities on all models, many of them given up; adapters that are loaded and unloaded under them; the memory limit up and down. Beside
// them the same few requests again and again, whose answers must stay what they were at rest. At the end the daemon must be as it was: no request, no adapter, no
// page and no descriptor left over, and its memory flat.

import ArgumentParser
import BerthClient
import BerthCore

struct ChurnCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "churn",
        abstract: "Loads, unloads, cancellations, prompts of all lengths and priorities and a moving memory limit; nothing may be lost.",
        discussion: """
            Drives a running daemon until the loads, the moves and the seconds are all done. The exit code is 1 where something was lost. \
            See Scripts/churn, which starts the daemon on the demo model.
            """)

    @Option(help: "The daemon's inference socket.") var socket: String = BerthClient.defaultSocketPath
    @Option(help: "The daemon's admin socket.") var adminSocket: String = BerthAdmin.defaultSocketPath
    @Option(help: "A directory of adapters, which are loaded under other names.") var adapters: String
    @Option(help: "The daemon's process, whose memory and descriptors are looked at.") var pid: Int?
    @Option(help: "Seconds, at least.") var seconds = 60
    @Option(help: "Loads and unloads, at least.") var loads = 0
    @Option(help: "Moves of the memory limit, at least.") var moves = 100
    @Option(help: "Streams at the same time.") var streams = 12
    @Option(help: "The highest limit, as a size; the lowest is what the daemon needs.") var most: String?
    @Option(help: "Seed of what is asked for.") var seed: UInt64 = 1
    @Flag(help: "Print JSON instead of lines.") var json = false

    func validate() throws {
        guard seconds >= 0, loads >= 0, moves >= 0, (1...1024).contains(streams) else { throw ValidationError("counts must not be negative, and streams from 1 to 1024") }
        if let most, ByteSize(most) == nil { throw ValidationError("\(most) is no size") }
    }

    func run() async throws {
        let churn = Churn(
            client: BerthClient(socketPath: socket), admin: BerthAdmin(socketPath: adminSocket), adapters: try Churn.folders(of: adapters),
            goal: .init(seconds: Double(seconds), loads: loads, moves: moves), streams: streams, most: most.flatMap { ByteSize($0) },
            process: pid.map { ProcessFiles(pid: $0) }, seed: seed)
        let report = try await churn.run()
        print(json ? report.json.text : report.lines.joined(separator: "\n"))
        if !report.problems.isEmpty { throw ExitCode(1) }
    }
}
