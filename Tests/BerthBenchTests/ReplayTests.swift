import BerthCore
import BerthEngine
import Testing

@testable import berth_bench

@Suite struct ReplayTests {
    /// A small routing with runs of rows that prefer some experts.
    static func trace(steps: Int = 60, layers: Int = 3, experts: Int = 12, chosen: Int = 2) -> RoutingTrace {
        var random = RandomSource(seed: 3)
        let shape = ExpertShape(layers: layers, experts: experts)
        var turns: [RoutingTrace.Turn] = []
        for step in 1...steps {
            for layer in 0..<layers {
                let near = (0..<experts).filter { ($0 + layer + step / 15 * 5) % experts < 5 }
                let pool = random.unit() < 0.8 ? near : Array(0..<experts)
                turns.append(RoutingTrace.turn(step: step, layer: layer, slots: [0], choices: pool.shuffled(using: &random).prefix(chosen).map(Int32.init), shape))
            }
        }
        return RoutingTrace(shape: shape, inputs: [turns])
    }

    /// With every next use known nobody hits more; with everything resident only the first uses miss.
    @Test func beladyBoundsEveryRule() throws {
        let trace = Self.trace()
        let report = ReplayCommand.replay(trace, budgets: [20, 40, 60, 100], seed: 1)
        #expect(report.lines.count == ReplayRule.all.count)
        let belady = try #require(report.lines.last)
        for line in report.lines {
            #expect(zip(line.hitRates, belady.hitRates).allSatisfy { $0 <= $1 + 1e-9 }, "\(line)")
            #expect(line.hitRates[3] == belady.hitRates[3], "\(line)")
        }
        #expect(report.table.contains("mark-and-predict") && report.json["rules"]?.array?.count == report.lines.count)
        #expect(report.svg.hasPrefix("<svg") && report.svg.contains("Belady"))
    }

    /// Recency in the engine and recency by the book are the same.
    @Test func recencyIsRecency() {
        let trace = Self.trace()
        for capacity in [6, 12, 20] {
            #expect(ReplayRule.lru.run(trace, capacity: capacity, seed: 1) == ReplayRule.policy(.fixed(.lru)).run(trace, capacity: capacity, seed: 1))
        }
    }

    /// What the recorder wrote is what the replay reads, a torn end aside.
    @Test func recordingsAreReadBack() throws {
        let (folder, trace) = (try TemporaryFolder(), Self.trace(steps: 5))
        var recorder = RoutingRecorder(shape: trace.shape)
        for turn in trace.inputs[0] {
            turn.choices.withUnsafeBufferPointer { choices in
                turn.slots.withUnsafeBufferPointer { recorder.turn(step: turn.step, layer: turn.layer, choices: choices, slots: $0) }
            }
        }
        recorder.requestEnded(step: 5, slot: 0)
        let bytes = recorder.take()
        for torn in [0, 3] {
            let read = try RoutingTrace(file: folder.write(bytes.dropLast(torn), to: "tokens"))
            #expect(read.shape == trace.shape)
            #expect(read.inputs[0].map(\.choices) == trace.inputs[0].map(\.choices) && read.inputs[0].map(\.step) == trace.inputs[0].map(\.step))
        }
        #expect(throws: BenchError.self) { try RoutingTrace(file: folder.write("nothing".utf8, to: "text")) }
    }

    /// An archive with a stored and a deflated member, as NumPy writes them.
    @Test func archivesAreRead() throws {
        let folder = try TemporaryFolder()
        let bytes = Self.archive
        let trace = try RoutingTrace(file: folder.write(bytes, to: "tokens"))
        #expect(trace.shape == ExpertShape(layers: 2, experts: 4) && trace.inputs.count == 1)
        #expect(trace.inputs[0].map(\.choices) == [[0, 1], [2, 3], [1, 0], [3, 2]])
        // Whatever is cut off or flipped is an error that names the file, or the same numbers; never a crash.
        for length in stride(from: 0, to: bytes.count, by: 7) {
            #expect(throws: BenchError.self) { try RoutingTrace(file: folder.write(bytes.prefix(length), to: "tokens")) }
        }
        for place in bytes.indices {
            var damaged = bytes
            damaged[place] ^= 0xff
            _ = try? RoutingTrace(file: folder.write(damaged, to: "tokens"))
        }
    }
}

extension ReplayTests {
    /// Two arrays: `routes` (deflated) and `experts` (stored).
    static let archive: [UInt8] = [
        80, 75, 3, 4, 20, 0, 0, 0, 8, 0, 0, 0, 33, 0, 236, 145, 109, 101, 80, 0, 0, 0, 136, 0,
        0, 0, 10, 0, 0, 0, 114, 111, 117, 116, 101, 115, 46, 110, 112, 121, 155, 236, 23, 234, 27, 16, 201, 200,
        80, 198, 80, 173, 158, 146, 90, 156, 92, 164, 110, 165, 160, 94, 83, 106, 168, 174, 163, 160, 158, 150, 95, 84,
        82, 148, 152, 23, 159, 95, 148, 146, 10, 18, 119, 75, 204, 41, 78, 5, 138, 23, 103, 36, 22, 164, 2, 249,
        26, 134, 58, 10, 70, 16, 164, 169, 163, 80, 171, 64, 6, 224, 98, 96, 100, 98, 102, 100, 96, 102, 2, 0,
        80, 75, 3, 4, 20, 0, 0, 0, 0, 0, 0, 0, 33, 0, 192, 191, 127, 226, 136, 0, 0, 0, 136, 0,
        0, 0, 11, 0, 0, 0, 101, 120, 112, 101, 114, 116, 115, 46, 110, 112, 121, 147, 78, 85, 77, 80, 89, 1,
        0, 118, 0, 123, 39, 100, 101, 115, 99, 114, 39, 58, 32, 39, 60, 105, 56, 39, 44, 32, 39, 102, 111, 114,
        116, 114, 97, 110, 95, 111, 114, 100, 101, 114, 39, 58, 32, 70, 97, 108, 115, 101, 44, 32, 39, 115, 104, 97,
        112, 101, 39, 58, 32, 40, 41, 44, 32, 125, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32,
        32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32,
        32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32,
        10, 4, 0, 0, 0, 0, 0, 0, 0, 80, 75, 1, 2, 20, 3, 20, 0, 0, 0, 8, 0, 0, 0, 33,
        0, 236, 145, 109, 101, 80, 0, 0, 0, 136, 0, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        0, 128, 1, 0, 0, 0, 0, 114, 111, 117, 116, 101, 115, 46, 110, 112, 121, 80, 75, 1, 2, 20, 3, 20,
        0, 0, 0, 0, 0, 0, 0, 33, 0, 192, 191, 127, 226, 136, 0, 0, 0, 136, 0, 0, 0, 11, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 128, 1, 120, 0, 0, 0, 101, 120, 112, 101, 114, 116, 115, 46, 110,
        112, 121, 80, 75, 5, 6, 0, 0, 0, 0, 2, 0, 2, 0, 113, 0, 0, 0, 41, 1, 0, 0, 0, 0,
    ]
}
