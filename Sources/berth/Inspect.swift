// `berth models` and `berth status`: what there is, and how the daemon is doing.

import ArgumentParser
import BerthClient
import BerthCore
import Glibc

struct Models: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "List the base model and its adapters.")

    @OptionGroup var connection: SocketOptions

    func run() async throws {
        let models = try await connection.client.models()
        printTable(["NAME", "PARENT", "CONTEXT"], models.map { [$0.name, $0.parent ?? "-", $0.contextLength.map(String.init) ?? "-"] })
    }
}

struct Status: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Say whether the daemon answers, and what is in its memory.",
        discussion: "Memory, adapters and requests are shown where the admin socket may be opened.")

    @OptionGroup var connection: SocketOptions
    @OptionGroup var administration: AdminOptions

    func run() async throws {
        let client = connection.client
        let isReady = try await client.isReady()
        // Whoever administers the daemon need not be a tenant of it.
        let version = try? await client.version()
        print("berthd \(version.map { $0 + " " } ?? "")at \(client.socketPath): \(isReady ? "ready" : "not ready")")
        guard access(administration.adminSocket, R_OK | W_OK) == 0 else { return }
        let admin = administration.admin
        try await printPool(admin.pool())
        try await printRequests(admin.requests())
        try await printAdapters(admin.adapters())
        if let problem = try await admin.tenants().reloadProblem { print("the last reload changed no settings: \(problem)") }
        if !isReady { throw ExitCode(1) }
    }
}

/// Prints rows in columns as wide as their widest cell.
func printTable(_ header: [String], _ rows: [[String]]) { for line in tableLines(header, rows) { print(line) } }

func tableLines(_ header: [String], _ rows: [[String]]) -> [String] {
    let widths = header.indices.map { column in ([header] + rows).map { $0[column].count }.max() ?? 0 }
    return ([header] + rows).map { row in
        let cells = zip(row, widths).map { cell, width in cell + String(repeating: " ", count: width - cell.count) }
        let line = cells.joined(separator: "  ")
        return String(line.prefix(line.count - line.reversed().prefix { $0 == " " }.count))
    }
}

func printPool(_ json: JSON) {
    let pageBytes = json["page_bytes"]?.int ?? 0
    func size(_ pages: JSON?) -> String { ByteSize(bytes: (pages?.int ?? 0) * pageBytes).description }
    let classes = (json["classes"]?.object ?? [:]).map { "\($0.key) \(size($0.value))" }.joined(separator: ", ")
    print("pool: \(size(json["pages"])) in pages of \(ByteSize(bytes: pageBytes)): \(classes), free \(size(json["free"]))")
}

func printRequests(_ json: JSON) {
    print("requests: \(json["running"]?.int ?? 0) running, \(json["waiting"]?.int ?? 0) waiting")
}
