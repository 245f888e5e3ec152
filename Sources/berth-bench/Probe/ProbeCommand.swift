// `berth-bench probe`: whether one tenant of a daemon can tell what another has sent.

import ArgumentParser
import BerthClient
import BerthCore
import Glibc

struct ProbeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "probe", abstract: "Whether one tenant can tell what another has sent, by what it is told of the cache or by the time to the first token.",
        discussion: """
            The prober's key is taken from BERTH_API_KEY, the victim's from BERTH_VICTIM_API_KEY. Fails where there is a difference, and where the victim's own \
            second request is no faster than its first: then nothing could have been seen.
            """)

    @Option(help: "The daemon's socket.") var socket = BerthClient.defaultSocketPath
    @Option(help: "An adapter that both may use; by default the base model.") var model: String?
    @Option(help: "Rounds of four requests.") var rounds = 60
    @Option(help: "Tokens of each prompt.") var tokens = 200
    @Option(help: "Prompts are made of the tokens below this.") var vocabulary: Int32 = 256
    @Option(help: "Seed of the prompts.") var seed: UInt64 = 1
    @Flag(help: "Print JSON instead of a table.") var json = false

    func validate() throws {
        guard (8...100_000).contains(rounds), (1...1_000_000).contains(tokens), vocabulary > Probe.firstToken + 1 else {
            throw ValidationError("a probe takes 8 to 100000 rounds, at least a token and a vocabulary of more than \(Probe.firstToken + 1)")
        }
    }

    func run() async throws {
        guard let key = BerthClient.environmentKey, let victimKey = getenv("BERTH_VICTIM_API_KEY").map({ String(cString: $0) }), key != victimKey else {
            throw ValidationError("BERTH_API_KEY and BERTH_VICTIM_API_KEY are to be the keys of two tenants")
        }
        let probe = Probe(
            victim: BerthClient(socketPath: socket, apiKey: victimKey), prober: BerthClient(socketPath: socket, apiKey: key), model: model, promptTokens: tokens,
            vocabulary: vocabulary)
        let report = try await probe.run(rounds: rounds, seed: seed)
        print(json ? report.json.text : report.table)
        if report.verdict != .nothing { throw ExitCode(1) }
    }
}
