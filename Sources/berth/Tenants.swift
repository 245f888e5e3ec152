// `berth tenants` and `berth tenant …`: who uses the daemon, and keys for those who may.

import ArgumentParser
import BerthClient
import BerthCore

struct Tenants: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Show what each tenant uses and has used.", discussion: "Needs the admin socket.")

    @OptionGroup var administration: AdminOptions
    @Flag(help: "Print the daemon's answer as it is, with each tenant's settings.")
    var json = false
    @Flag(help: "Show the adapters of each tenant.")
    var adapters = false

    func run() async throws {
        let list = try await administration.admin.tenants()
        if json { return print(list.json.text) }
        var rows: [[String]] = []
        for tenant in list.tenants {
            let refused = tenant.refused.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }.joined(separator: ", ")
            rows.append([tenant.name, String(tenant.running), String(tenant.waiting)] + Self.cells(tenant.use) + [refused])
            guard adapters else { continue }
            for adapter in tenant.adapters { rows.append(["  " + (adapter.name ?? "(base)"), "", ""] + Self.cells(adapter.use) + [""]) }
        }
        printTable(["TENANT", "RUNNING", "WAITING", "REQUESTS", "PROMPT", "CACHED", "OUTPUT", "COMPUTE", "DISK", "REFUSED"], rows)
        if let problem = list.reloadProblem { print("the last reload changed no settings: \(problem)") }
    }

    private static func cells(_ use: TenantUse) -> [String] {
        [use.requests, use.promptTokens, use.cachedTokens, use.generatedTokens].map(String.init)
            + ["\((use.computeSeconds * 10).rounded() / 10) s", ByteSize(bytes: use.diskBytes).description]
    }
}

struct TenantCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "tenant", abstract: "Make keys for tenants.", subcommands: [Key.self])

    struct Key: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make an API key, and print it this once.",
            discussion: "The second line goes into the tenant's section of berthd's configuration; the key cannot be had from it.")

        func run() {
            let key = APIKey.random()
            print(key.text)
            print("key-sha256 = \(key.digest)")
        }
    }
}
