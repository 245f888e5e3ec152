import BerthCore
import Testing

@testable import BerthEngine

@Suite struct RoutingConsistencyTests {
    /// Against the definitions, over every window of the trace.
    @Test(arguments: TraceShape.allCases) func figuresAreThoseOfTheDefinitions(_ shape: TraceShape) throws {
        let trace = shape.trace(steps: 120, layers: 2, experts: 20, chosen: 3, seed: 9)
        let policy = ExpertPolicy(shape: ExpertShape(layers: 2, experts: 20), kind: .fixed(.lru), capacity: 10)
        for step in trace.steps {
            policy.beginStep()
            // Another request's rows are in the way.
            for (layer, row) in step.enumerated() { policy.noteUse(layer: layer, choices: row + [0, 1, 2], slots: [4, 5]) }
        }
        for layer in 0..<2 {
            let rows = trace.steps.map { $0[layer].map(Int.init) }
            let srp = try #require(policy.consistency.layers[layer].srp)
            let sch = try #require(policy.consistency.layers[layer].sch)
            #expect(abs(srp - Self.srp(rows, 20)) < 1e-12 && abs(sch - Self.sch(rows)) < 1e-12, "\(shape)")
        }
    }

    private static func uses(_ rows: ArraySlice<[Int]>, _ expert: Int) -> Int { rows.count { $0.contains(expert) } }

    private static func srp(_ rows: [[Int]], _ experts: Int) -> Double {
        let m = LayerConsistency.segmentRows
        let f = (0...(rows.count - m)).flatMap { start in (0..<experts).map { uses(rows[start..<start + m], $0) } }
        return (1...m).map { least in
            let group = f.filter { $0 >= least }
            return Double(2 * group.reduce(0, +)) / Double(group.count * m + f.reduce(0, +))
        }.max()!
    }

    private static func sch(_ rows: [[Int]]) -> Double {
        let (m, room) = (LayerConsistency.segmentRows, LayerConsistency.cacheFactor * rows[0].count)
        var (cache, last, clock, hits, wanted) = ([Int](), [Int: Int](), 0, 0, 0)
        for row in 0..<(rows.count - m) {
            for expert in rows[row] {
                (clock, wanted) = (clock + 1, wanted + 1)
                last[expert] = clock
                if cache.contains(expert) {
                    hits += 1
                    continue
                }
                if cache.count == room {
                    let victim = cache.filter { !rows[row].contains($0) }.min {
                        (uses(rows[row + 1...row + m], $0), last[$0]!) < (uses(rows[row + 1...row + m], $1), last[$1]!)
                    }!
                    cache.removeAll { $0 == victim }
                }
                cache.append(expert)
            }
        }
        return Double(hits) / Double(wanted)
    }

    /// More memory hits more, and the advice says the least that keeps the speed.
    @Test func adviceFollowsDiskAndCurve() {
        let curve = [0.125, 0.25, 0.5].map { ExpertAdvice.Point(share: $0, hitRate: [0.125: 0.45, 0.25: 0.65, 0.5: 0.85][$0]!) }
        func advice(_ disk: Double) -> ExpertAdvice {
            ExpertAdvice(curve: curve, expertBytes: 1_600_000, expertCount: 1280, expertsPerToken: 120, diskBytesPerSecond: disk, residentTokensPerSecond: 70)
        }
        #expect(advice(2e9).share == 0.5 && advice(2e9).sentence.hasPrefix("This model suits offloading") && advice(2e9).sentence.contains("1024 MB"))
        #expect(advice(20e9).share == 0.125 && advice(20e9).speed == 1)
        #expect(advice(1e9).sentence.hasPrefix("Offloading is possible") && advice(0.1e9).sentence.hasPrefix("This model does not suit"))
        #expect(advice(0).sentence.hasPrefix("Too little"))
    }

    /// The curve's shadow caches grow with their budgets.
    @Test func theCurveRises() {
        let trace = TraceShape.topics.trace(steps: 100, layers: 2, experts: 24, chosen: 3, seed: 2)
        let policy = ExpertPolicy(shape: ExpertShape(layers: 2, experts: 24), capacity: 12, curveShares: [0.2, 0.5, 1])
        for step in trace.steps {
            policy.beginStep()
            for (layer, row) in step.enumerated() { policy.noteUse(layer: layer, choices: row, slots: [0]) }
        }
        let rates = policy.curve.map(\.hitRate)
        #expect(rates == rates.sorted() && rates[0] > 0.1 && rates[2] > 0.8)
    }
}
