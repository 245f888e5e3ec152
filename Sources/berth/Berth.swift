// The command line tool. It knows the daemon through `BerthClient` alone, so whatever it does any program can do.

import ArgumentParser
import BerthClient

@main
struct Berth: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "berth",
        abstract: "Talk to a Berth daemon: run models, work through files, look at its state, load adapters.",
        subcommands: [
            Run.self, Models.self, Status.self, Experts.self, PoolCommand.self, WavesCommand.self, Memory.self, Adapter.self, BatchCommand.self, Tenants.self, TenantCommand.self,
        ])

    static func main() async {
        do {
            var command = try parseAsRoot()
            if var command = command as? any AsyncParsableCommand { try await command.run() } else { try command.run() }
        } catch let error as BerthClientError {
            exit(withError: AdvisedError(error))
        } catch {
            exit(withError: error)
        }
    }
}

/// Where the daemon listens; shared by all commands.
struct SocketOptions: ParsableArguments {
    @Option(help: "The daemon's inference socket.")
    var socket: String = BerthClient.defaultSocketPath

    @Option(help: "An API key, if the daemon asks for one. Others see it in the list of processes: $BERTH_API_KEY is better.")
    var key: String?

    var client: BerthClient { BerthClient(socketPath: socket, apiKey: key ?? BerthClient.environmentKey) }
}

/// Where the administrator's socket is.
struct AdminOptions: ParsableArguments {
    @Option(help: "The daemon's admin socket.")
    var adminSocket: String = BerthAdmin.defaultSocketPath

    var admin: BerthAdmin { BerthAdmin(socketPath: adminSocket) }
}
