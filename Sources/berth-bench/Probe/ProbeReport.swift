// What a probe has seen, and whether it was something.

import BerthCore

struct ProbeReport: Sendable {
    var victimFirst: [Probe.Shot] = []
    var victimAgain: [Probe.Shot] = []
    var proberSame: [Probe.Shot] = []
    var proberFresh: [Probe.Shot] = []

    /// That the prober's times differ as much as they do by chance alone; and the victim's, which do differ where there is anything to see.
    var probeP: Double { RankTest.mannWhitney(proberSame.map(\.seconds), proberFresh.map(\.seconds)) }
    var controlP: Double { RankTest.mannWhitney(victimAgain.map(\.seconds), victimFirst.map(\.seconds)) }
    /// The same for what the prober is told of the cache: of both prompts it may have sent a first token itself, by chance.
    var toldP: Double { RankTest.mannWhitney(proberSame.map { Double($0.cachedTokens) }, proberFresh.map { Double($0.cachedTokens) }) }

    /// A probe that finds nothing is wrong about that once in a thousand.
    static let significance = 1e-3

    enum Verdict: String { case leak = "LEAK", nothing = "nothing to see", blind = "blind: the victim's own hits show no difference, either" }
    var verdict: Verdict {
        if min(probeP, toldP) < Self.significance { return .leak }
        return controlP < Self.significance ? .nothing : .blind
    }

    private var rows: [(name: String, shots: [Probe.Shot])] {
        [
            ("victim, first time", victimFirst), ("victim, again", victimAgain), ("prober, the victim's prompt", proberSame),
            ("prober, never seen", proberFresh),
        ]
    }

    private static func milliseconds(_ fraction: Double, _ shots: [Probe.Shot]) -> Double { percentile(fraction, of: shots.map(\.seconds)) * 1000 }

    var table: String {
        var table = TextTable(["first token, ms", "25 %", "median", "75 %", "cached tokens"])
        for (name, shots) in rows {
            table.append([name] + [0.25, 0.5, 0.75].map { fixed(Self.milliseconds($0, shots), 2) } + ["\(shots.reduce(0) { $0 + $1.cachedTokens })"])
        }
        return """
            \(table.text)
            \(victimFirst.count) rounds; Mann-Whitney p: prober \(scientific(probeP)), what it is told \(scientific(toldP)), victim (control) \(scientific(controlP)): \(verdict.rawValue)
            """
    }

    var json: JSON {
        [
            "rounds": JSON(victimFirst.count), "probe_p": .number(probeP), "told_p": .number(toldP), "control_p": .number(controlP), "verdict": .string(verdict.rawValue),
            "shots": .array(rows.map { name, shots in
                [
                    "name": .string(name), "seconds": .array(shots.map { .number($0.seconds) }), "cached_tokens": .array(shots.map { JSON($0.cachedTokens) }),
                ]
            }),
        ]
    }
}
