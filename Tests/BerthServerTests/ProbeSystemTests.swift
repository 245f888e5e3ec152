// A tenant probes a daemon for what another has sent.

import BerthClient
import BerthCore
import Testing

@testable import BerthServer
@testable import berth_bench

@Suite(.serialized) struct ProbeSystemTests {
    private static let (acmeKey, betaKey) = (APIKey.random(), APIKey.random())

    private func probe(_ daemon: RealDaemon) -> Probe {
        let socket = daemon.client.socketPath
        return Probe(
            victim: BerthClient(socketPath: socket, apiKey: Self.acmeKey.text), prober: BerthClient(socketPath: socket, apiKey: Self.betaKey.text), model: "french",
            promptTokens: 96, vocabulary: 60)
    }

    /// Times are compared by rank, and a machine that is busy with other things is as busy with both: one run in a million finds what is not there.
    @Test(arguments: [false, true]) func whatIsNotSharedIsNotSeen(isShared: Bool) async throws {
        let daemon = try await RealDaemon {
            $0.tenants = tenants("[tenant acme]\nkey-sha256 = \(Self.acmeKey.digest)\nadapters = *\n[tenant beta]\nkey-sha256 = \(Self.betaKey.digest)\nadapters = *\n")
            $0.prefixCache = isShared ? .shared : .on
        }
        defer { daemon.stop() }
        let report = try await probe(daemon).run(rounds: 24, seed: 11)
        #expect(report.victimAgain.allSatisfy { $0.cachedTokens > 64 } && report.victimFirst.allSatisfy { $0.cachedTokens < 32 }, "\(report.table)")
        #expect(report.proberFresh.allSatisfy { $0.cachedTokens < 32 })
        if isShared {
            #expect(report.proberSame.allSatisfy { $0.cachedTokens > 64 }, "the probe sees what there is to see: \(report.table)")
        } else {
            #expect(report.probeP > 1e-6, "\(report.table)")
            // A beginning of one token or two may be its own by chance, as often with either prompt.
            #expect(report.proberSame.allSatisfy { $0.cachedTokens < 32 }, "\(report.table)")
        }
    }
}
