// `berth-bench load`: many streams at once over a socket, end to end; for this daemon and for others that speak OpenAI's API.
//
// Several targets are measured in turn, round by round, so that a drifting machine touches them alike. A llama-server is driven with the very
// same requests (it speaks OpenAI's API too); its adapters go by number in its own `lora` field.

import ArgumentParser
import BerthClient
import BerthCore

struct LoadCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "load",
        abstract: "Concurrent streams over one or several sockets, in turn.",
        discussion: """
            A target is NAME=SOCKET, optionally followed by ,adapters=A+B+C (names for Berth; with ,style=llama, \
            the number of adapters that the llama-server holds). Example: \
            berth-bench load berth=/run/berth/berth.sock,adapters=fr+de llama=/tmp/l.sock,style=llama,adapters=2
            """)

    @Argument(help: "What to measure: NAME=SOCKET[,style=llama][,adapters=…]")
    var targets: [String]

    @Option(help: "Streams at the same time.") var streams = 16
    @Option(help: "Words of each prompt.") var promptWords = 31
    @Option(help: "Tokens to generate per stream.") var tokens = 24
    @Option(help: "Rounds per target.") var rounds = 3
    @Option(help: "Seed of the prompts.") var seed: UInt64 = 1
    @Flag(help: "Print JSON instead of a table.") var json = false

    func validate() throws {
        guard streams > 0, streams <= 4096, tokens > 0, promptWords > 0, rounds > 0 else { throw ValidationError("counts must be positive") }
        for target in targets where Target(target) == nil { throw ValidationError("\(target) is not NAME=SOCKET[,style=llama][,adapters=…]") }
    }

    func run() async throws {
        let parsed = targets.compactMap(Target.init)
        var results: [String: [LoadRound]] = [:]
        for round in 0..<rounds {
            for target in parsed {
                let result = try await LoadRound.run(
                    target, streams: streams, promptWords: promptWords, tokens: tokens, seed: seed &+ UInt64(round) &* 1_000_003)
                results[target.name, default: []].append(result)
            }
        }
        let summaries = parsed.map { LoadSummary(name: $0.name, rounds: results[$0.name] ?? []) }
        if json {
            print(JSON.array(summaries.map(\.json)).text)
        } else {
            print(LoadSummary.table(summaries))
        }
    }
}

/// A server to measure.
struct Target: Sendable {
    var name: String
    var socket: String
    var isLlama = false
    /// Berth: the names in turn. llama-server: how many it holds.
    var adapters: [String] = []
    var llamaAdapterCount = 0

    init?(_ text: String) {
        let parts = text.split(separator: ",").map(String.init)
        guard let equal = parts.first?.firstIndex(of: "="), let first = parts.first else { return nil }
        name = String(first[..<equal])
        socket = String(first[first.index(after: equal)...])
        for option in parts.dropFirst() {
            let pair = option.split(separator: "=", maxSplits: 1).map(String.init)
            switch (pair.first, pair.last) {
            case ("style", "llama"): isLlama = true
            case ("adapters", let value?): adapters = value.split(separator: "+").map(String.init)
            default: return nil
            }
        }
        if isLlama {
            llamaAdapterCount = adapters.first.flatMap { Int($0) } ?? 0
            adapters = []
        }
    }

    /// The request of stream number `index`.
    func request(prompt: String, tokens: Int, index: Int) -> CompletionRequest {
        var options = SamplingOptions(maxTokens: tokens, temperature: 0)
        options.ignoresEndTokens = true
        var request = CompletionRequest(prompt: prompt, options: options)
        if isLlama {
            request.options.extra["cache_prompt"] = false
            // An empty list would mean the server's default scales, so every adapter is named.
            request.options.extra["lora"] = .array(
                (0..<llamaAdapterCount).map { ["id": JSON($0), "scale": .number($0 == index % llamaAdapterCount ? 1 : 0)] })
        } else if !adapters.isEmpty {
            request.model = adapters[index % adapters.count]
        }
        return request
    }
}
