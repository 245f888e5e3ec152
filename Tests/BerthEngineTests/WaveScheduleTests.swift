// How many rows waves have, played to the end of the work.

import BerthCore
import BerthModels
import Testing

@testable import BerthEngine

@Suite struct WaveScheduleTests {
    /// A wave waits for the disk or computes, whichever takes longer.
    private struct Costs {
        var row: Double
        var wave: Double
        var reading: Double

        func callAsFunction(_ load: StepLoad) -> Double { max(wave + row * Double(load.rows), reading) }
    }

    private func requests(_ count: Int, using random: inout RandomSource) -> [WaveSchedule.Request] {
        (0..<count).map { _ in
            WaveSchedule.Request(
                prompt: Bool.random(using: &random) ? 1 : Int.random(in: 2...600, using: &random), computed: Int.random(in: 0...100, using: &random),
                generates: Int.random(in: 1...150, using: &random))
        }
    }

    /// Plays the waves request by request, without any of the shortcuts.
    private func naive(_ requests: [WaveSchedule.Request], width: Int, rows: Int, _ costs: Costs) -> (time: Double, loads: [StepLoad]) {
        var running = requests.filter { $0.prompt == 1 }.map { (context: $0.computed, left: $0.generates) }
        var prompts = requests.filter { $0.prompt > 1 }
        var (time, loads): (Double, [StepLoad]) = (0, [])
        while !running.isEmpty || !prompts.isEmpty {
            var load = StepLoad()
            for index in running.indices {
                load.add(rows: 1, after: running[index].context)
                running[index].context += 1
                running[index].left -= 1
            }
            var room = max(rows - running.count, 32)
            var places = width - running.count
            var joined: [(context: Int, left: Int)] = []
            while room > 0, places > 0, let prompt = prompts.first {
                let part = min(room, prompt.prompt)
                load.add(rows: part, after: prompt.computed)
                room -= part
                prompts[0].prompt -= part
                prompts[0].computed += part
                if prompts[0].prompt > 0 { break }
                prompts.removeFirst()
                places -= 1
                if prompt.generates > 1 { joined.append((prompt.computed + prompt.prompt, prompt.generates - 1)) }
            }
            running.removeAll { $0.left == 0 }
            running += joined
            time += costs(load)
            loads.append(load)
        }
        return (time, loads)
    }

    @Test(arguments: 0..<100 as Range<UInt64>)
    func agreesWithPlayingEachRequest(seed: UInt64) {
        var random = RandomSource(seed: seed)
        let requests = requests(Int.random(in: 1...80, using: &random), using: &random)
        let generating = requests.count { $0.prompt == 1 }
        let width = max(generating, 1) + Int.random(in: 0...60, using: &random)
        let rows = Int.random(in: 1...2000, using: &random)
        let costs = Costs(row: 1e6, wave: 5e6, reading: Double.random(in: 0...5e8, using: &random))
        var loads: [StepLoad] = []
        let time = WaveSchedule(requests, width: width).nanoseconds(rows: rows) {
            loads.append($0)
            return costs($0)
        }
        let expected = naive(requests, width: width, rows: rows, costs)
        #expect(loads.map(\.rows) == expected.loads.map(\.rows) && loads.map(\.attended) == expected.loads.map(\.attended), "seed \(seed)")
        #expect(abs(time! - expected.time) <= 1e-9 * expected.time, "seed \(seed)")
    }

    /// The bound is what the disk or the processor alone would take. With prompts before everything else, both are paid one after the other; spread, they come
    /// near the bound.
    @Test(arguments: 0..<20 as Range<UInt64>)
    func promptsHideBehindReading(seed: UInt64) {
        var random = RandomSource(seed: seed)
        let requests = (0..<256).map { _ in
            WaveSchedule.Request(prompt: Int.random(in: 64...512, using: &random), computed: 0, generates: Int.random(in: 32...128, using: &random))
        }.sorted { $0.generates > $1.generates }
        let costs = Costs(row: 0.7e6, wave: 5e6, reading: 0.75e9)
        let schedule = WaveSchedule(requests, width: 256)
        let choice = schedule.choose(most: 4096) { costs($0) }
        let rows = requests.reduce(0) { $0 + $1.prompt + $1.generates - 1 }
        let bound = max(Double(requests[0].generates) * costs.reading, Double(rows) * costs.row)
        #expect(choice.nanoseconds < 1.1 * bound, "seed \(seed): \(choice) against \(bound)")
        #expect(schedule.nanoseconds(rows: 4096, { costs($0) })! > 1.25 * bound, "seed \(seed)")
        #expect(schedule.nanoseconds(rows: choice.rows, { costs($0) }) == choice.nanoseconds)
    }

    /// Where nothing is read, or reading is short, prompts do not wait.
    @Test func nothingIsSpreadWithoutReading() {
        let requests = (0..<100).map { WaveSchedule.Request(prompt: 300, computed: 0, generates: 20 + $0 % 50) }
        let costs = Costs(row: 1e6, wave: 1e7, reading: 1e6)
        #expect(WaveSchedule(requests, width: 100).choose(most: 4096) { costs($0) }.rows == 4096)
    }

    /// A file of a million long prompts is looked at only so far.
    @Test func aLongWayIsNotPlayed() {
        let requests = (0..<4096).map { _ in WaveSchedule.Request(prompt: 100_000, computed: 0, generates: 50_000) }
        let schedule = WaveSchedule(requests, width: 512)
        #expect(schedule.nanoseconds(rows: 4096, { Double($0.rows) }) == nil)
        #expect(schedule.choose(most: 4096) { Double($0.rows) }.rows == 4096)
    }
}

@Suite struct WavePartsTests {
    /// Whatever size is fastest is found, though times tremble.
    @Test(arguments: [512, 256, 128], [1, 2, 3, 4] as [UInt64])
    func findsTheFastest(fastest: Int, seed: UInt64) {
        var random = RandomSource(seed: seed)
        var parts = WaveParts()
        var taken = 0
        for wave in 0..<400 {
            let size = parts.next(rows: 1000, most: 512)
            let share = (size == fastest ? 0.85 : 1) * Double.random(in: 0.95...1.05, using: &random)
            parts.observe(size, rows: 1000, share: share)
            if wave >= 200, size == fastest { taken += 1 }
        }
        #expect(WaveParts.sizes[parts.best] == fastest && taken > 170, "seed \(seed): \(taken) of 200 waves")
    }

    /// Waves that have one part only, and sizes that memory does not allow.
    @Test func smallWavesAndSmallMemory() {
        var parts = WaveParts()
        for _ in 0..<50 {
            #expect(parts.next(rows: 300, most: 512) == 512)
            parts.observe(512, rows: 300, share: 9)
            #expect(parts.next(rows: 1000, most: 64) == 64)
        }
        #expect(parts.best == 0)
    }
}
