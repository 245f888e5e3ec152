// `berth memory`: how much the daemon may take, and another bound from now on.

import ArgumentParser
import BerthClient
import BerthCore

struct Memory: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show the daemon's memory, or bound it anew while it runs.",
        discussion: """
            Where the bound falls, what is worth least leaves memory first; then requests give up their place and go on later. \
            Nothing is written down: after a restart --memory holds. Needs the admin socket.
            """)

    @OptionGroup var administration: AdminOptions
    @Argument(help: "The new bound for the whole process, such as 6G.") var size: ByteSize?
    @Flag(help: "Print the daemon's answer as it is.") var json = false

    func run() async throws {
        let admin = administration.admin
        let answer = if let size { try await admin.setMemory(bytes: size.bytes) } else { try await admin.memory() }
        print(json ? answer.text : MemoryReport(answer).lines.joined(separator: "\n"))
    }
}

extension ByteSize: ExpressibleByArgument {
    public init?(argument: String) { self.init(argument) }
}

/// The answer of `/memory` in lines for people.
struct MemoryReport {
    let json: JSON

    init(_ json: JSON) { self.json = json }

    private func size(_ value: JSON?) -> String { ByteSize(bytes: value?.int ?? 0).description }

    var lines: [String] {
        let plan = (json["plan"]?.object ?? [:]).map { "\($0.key) \(size($0.value))" }.joined(separator: ", ")
        var lines = ["memory \(size(json["limit_bytes"])): \(plan)"]
        lines.append("the least is \(size(json["least_bytes"])), the most \(size(json["most_bytes"]))" + (json["group_limit_bytes"]?.int.map { "; the control group allows \(ByteSize(bytes: $0))" } ?? ""))
        if let withheld = json["withheld_bytes"]?.int, withheld > 0 {
            lines.append("the machine is short of memory: the pool's caches do without \(ByteSize(bytes: withheld))")
        }
        return lines + (json["warnings"]?.array ?? []).compactMap(\.string).map { "warning: " + $0 }
    }
}
