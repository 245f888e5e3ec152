// `berth waves`: bulk work, its plan, and what became of the plan.

import ArgumentParser
import BerthClient
import BerthCore

struct WavesCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "waves", abstract: "Show how bulk work runs: the plan of its waves beside the time that they take.",
        discussion: "Needs the admin socket.")

    @OptionGroup var administration: AdminOptions
    @Flag(help: "Print the daemon's answer as it is.") var json = false

    func run() async throws {
        let answer = try await administration.admin.waves()
        print(json ? answer.text : Self.lines(answer).joined(separator: "\n"))
    }

    /// The answer of `GET /waves` for people.
    static func lines(_ answer: JSON) -> [String] {
        func count(_ json: JSON?, _ name: String) -> Int { json?[name]?.int ?? 0 }
        func seconds(_ json: JSON?, _ name: String) -> String { "\(((json?[name]?.double ?? 0) * 1000).rounded() / 1000) s" }
        var lines = ["requests: \(count(answer, "running")) run, \(count(answer, "waiting")) wait"]
        guard count(answer, "waves") > 0 else { return lines + ["no wave has ended yet"] }
        let (planned, schedule, last, all) = (answer["planned"], answer["schedule"], answer["last"], answer["all"])
        lines.append("plan: \(count(planned, "requests")) requests in a wave, \(seconds(planned, "seconds")) where each gets a token")
        if (schedule?["seconds"]?.double ?? 0) > 0 {
            lines.append("while there are prompts: \(count(schedule, "rows")) rows in a wave; then all was to be done in \(seconds(schedule, "seconds"))")
        }
        lines.append("last wave: \(count(last, "requests")) requests, \(count(last, "rows")) rows, \(seconds(last, "seconds")), foreseen \(seconds(last, "foreseen_seconds"))")
        lines.append(
            "all \(count(answer, "waves")) waves: \(seconds(all, "seconds")), foreseen \(seconds(all, "foreseen_seconds")); \(count(answer, "abandoned")) given up")
        return lines
    }
}
