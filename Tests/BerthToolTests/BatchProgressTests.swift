import BerthCore
import Testing

@testable import BerthClient
@testable import berth

@Suite struct BatchProgressTests {
    private func batch(_ status: String, done: Int = 0, failed: Int = 0, total: Int = 200) throws -> Batch {
        try Batch(json: [
            "id": "batch_1", "status": .string(status), "request_counts": ["total": JSON(total), "completed": JSON(done), "failed": JSON(failed)],
        ])
    }

    @Test func aLineWhileItRuns() throws {
        var progress = BatchProgress(try batch("validating", total: 0), now: 10)
        #expect(progress.line == "validating")
        progress.update(try batch("in_progress"), now: 11)
        #expect(progress.line == "[                              ] 0/200")
        progress.update(try batch("in_progress", done: 99, failed: 1), now: 20)
        #expect(progress.line == "[###############               ] 100/200  10/s  about 10 s left  1 errors")
        progress.update(try batch("finalizing", done: 200), now: 30)
        #expect(progress.line == "finalizing")
        // Who comes back later measures from there.
        var later = BatchProgress(try batch("in_progress", done: 100), now: 1000)
        later.update(try batch("in_progress", done: 110), now: 1020)
        #expect(later.line.hasSuffix("110/200  0.5/s  about 3 min 0 s left"))
        #expect(BatchProgress.duration(0.2) == "1 s" && BatchProgress.duration(7261) == "2 h 1 min" && BatchProgress.duration(.infinity).hasSuffix("min"))
        #expect(BatchProgress.summary(try batch("completed", done: 200)) == "batch_1: completed, 200 lines, 200 answered, 0 errors")
    }

    @Test func theWayBackNamesEverything() throws {
        let options = try ResultOptions.parse(["-o", "out.jsonl", "--errors", "bad.jsonl"])
        #expect(options.wayBack(to: "batch_1") == "the daemon goes on; to come back: berth batch show batch_1 --wait -o out.jsonl --errors bad.jsonl")
        let command = try BatchCommand.parseAsRoot(["in.jsonl", "-o", "out.jsonl"])
        #expect((command as? BatchCommand.Run)?.input == "in.jsonl" && (command as? BatchCommand.Run)?.results.output == "out.jsonl")
        #expect(try BatchCommand.parseAsRoot(["list"]) is BatchCommand.List)
    }
}
