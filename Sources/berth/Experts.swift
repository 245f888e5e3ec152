// `berth experts`: how a mixture of experts that is larger than its memory does.

import ArgumentParser
import BerthClient
import BerthCore

struct Experts: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show which experts are in memory and what reading the others costs.", discussion: "Needs the admin socket.")

    @OptionGroup var administration: AdminOptions
    @Flag(help: "Print the daemon's answer as it is.")
    var json = false
    @Flag(help: "Show every layer.")
    var layers = false

    func run() async throws {
        let answer = try await administration.admin.experts()
        if json { return print(answer.text) }
        print(answer["summary"]?.string ?? "")
        guard answer["paged"]?.bool == true else { return }
        let expertBytes = answer["expert_bytes"]?.int ?? 0
        func count(_ name: String) -> Int { answer[name]?.int ?? 0 }
        func size(_ experts: Int) -> String { ByteSize(bytes: experts * expertBytes).description }
        print("memory: \(size(count("resident"))) of \(size(count("experts"))) now, room for \(size(count("capacity")))")
        print("policy: \(answer["policy"]?.string ?? "?"), tried beside it: " + trials(answer))
        print("uses: \(count("uses")), in memory \(percent(answer["hit_rate"])); evictions \(count("evictions"))")
        print("read: \(ByteSize(bytes: count("bytes_read"))) for \(count("tokens")) tokens, waited \(answer["waited_seconds"]?.double ?? 0) s")
        let curve = (answer["curve"]?.array ?? []).map { "\(percent($0["hit_rate"])) at \(percent($0["share"]))" }
        if !curve.isEmpty { print("with other budgets: " + curve.joined(separator: ", ")) }
        let guesses = answer["guesses"] ?? [:]
        print("read ahead: \(answer["prefetch"]?.bool == true ? "on" : "off"), \(guesses["begun"]?.int ?? 0) guesses, right \(percent(guesses["accuracy"]))")
        let queue = answer["queue_reads"] ?? [:]
        print("read between steps for the next: \(queue["begun"]?.int ?? 0), of use \(queue["in_time"]?.int ?? 0)")
        if count("failed_reads") > 0 { print("failed reads: \(count("failed_reads")), experts that a step did without: \(count("lost_experts"))") }
        if layers { printLayers(answer) }
    }

    private func trials(_ answer: JSON) -> String {
        let list = (answer["trials"]?.array ?? []).map { "\($0["policy"]?.string ?? "?") \(percent($0["hit_rate"]))" }
        return list.isEmpty ? "none" : list.joined(separator: ", ")
    }

    private func percent(_ value: JSON?) -> String { value?.double.map { "\((($0 * 1000).rounded()) / 10) %" } ?? "-" }

    private func printLayers(_ answer: JSON) {
        printTable(
            ["LAYER", "IN MEMORY", "USES", "HITS", "SRP", "SCH"],
            (answer["layers"]?.array ?? []).map { layer in
                ["layer", "resident", "uses"].map { String(layer[$0]?.int ?? 0) } + [
                    percent((layer["uses"]?.int).flatMap { $0 > 0 ? .number(Double(layer["hits"]?.int ?? 0) / Double($0)) : nil }), percent(layer["srp"]), percent(layer["sch"]),
                ]
            })
    }
}
