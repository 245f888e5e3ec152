// `berth adapter …`: adapters come and go while requests run.

import ArgumentParser
import BerthClient
import BerthCore
import Glibc

struct Adapter: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Load, unload, pin and list adapters.", subcommands: [Load.self, Unload.self, Pin.self, List.self], defaultSubcommand: List.self)

    struct Load: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Serve the adapter in a directory, replacing one of the same name.",
            discussion: "Everything is checked before anything changes. Requests that run on the old adapter finish on it.")

        @OptionGroup var administration: AdminOptions
        @Argument(help: "The name under which requests find it.") var name: String
        @Argument(help: "A directory with adapter_config.json and adapter_model.safetensors.") var path: String
        @Flag(help: "Keep it in memory, whatever else is needed.") var pinned = false
        @Option(help: "A tenant that may use it; may stand several times, and \"*\" is everybody. Without: as before, and at first as the configuration says.")
        var tenant: [String] = []

        func run() async throws {
            // The daemon has a working directory of its own.
            guard let absolute = realpath(path, nil) else { throw ValidationError("\(path): \(String(cString: strerror(errno)))") }
            defer { free(absolute) }
            let receipt = try await administration.admin.loadAdapter(name, path: String(cString: absolute), pinned: pinned, tenants: tenant.isEmpty ? nil : tenant)
            print("\(name): \(AdapterRow(receipt).summary)")
            for warning in (receipt["warnings"]?.array ?? []).compactMap(\.string) { print("warning: \(warning)") }
        }
    }

    struct Unload: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Stop serving an adapter and free its memory.")

        @OptionGroup var administration: AdminOptions
        @Argument var name: String

        func run() async throws {
            try await administration.admin.unloadAdapter(name)
            print("\(name): unloaded")
        }
    }

    struct Pin: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Keep an adapter in memory, or let it go again.")

        @OptionGroup var administration: AdminOptions
        @Argument var name: String
        @Flag(help: "Let it go again.") var off = false

        func run() async throws { try await administration.admin.pinAdapter(name, pinned: !off) }
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List the adapters and where they are.")

        @OptionGroup var administration: AdminOptions

        func run() async throws { try await printAdapters(administration.admin.adapters()) }
    }
}

/// What the admin socket says about one adapter, ready for print.
struct AdapterRow {
    let json: JSON

    init(_ json: JSON) { self.json = json }

    private var size: String { json["bytes"]?.int.map { ByteSize(bytes: $0).description } ?? "-" }
    private var ranks: String {
        let ranks = (json["ranks"]?.array ?? []).compactMap(\.int)
        return ranks.isEmpty ? "-" : ranks.map(String.init).joined(separator: ",")
    }

    var cells: [String] {
        [
            json["name"]?.string ?? "?", json["state"]?.string ?? "?", size, ranks, json["modules"]?.int.map(String.init) ?? "-",
            json["uses"]?.int.map(String.init) ?? "-", json["tenants"]?.array.map { $0.compactMap(\.string).joined(separator: ",") } ?? "-", json["reason"]?.string ?? "",
        ]
    }

    var summary: String { "\(json["modules"]?.int ?? 0) modules, rank \(ranks), \(size)" }
}

func printAdapters(_ json: JSON) {
    printTable(["ADAPTER", "STATE", "SIZE", "RANKS", "MODULES", "USES", "TENANTS", ""], (json["adapters"]?.array ?? []).map { AdapterRow($0).cells })
}
