import BerthCore
import Foundation
import Testing

@testable import BerthBatches

@Suite struct CrashTests {
    private static let lineCount = 1300

    /// Bad and refused lines among good ones.
    private static let input = (0..<lineCount).map { number in
        number % 97 == 5 ? "{" : inputLine("line \(number)", prompt: number % 31 == 7 ? "bad" : "\(number)")
    }.joined(separator: "\n")

    private static let goodIDs = (0..<lineCount).filter { $0 % 97 != 5 && $0 % 31 != 7 }.map { JSON.string("line \($0)") }
    private static let refusedIDs = (0..<lineCount).filter { $0 % 97 != 5 && $0 % 31 == 7 }.map { JSON.string("line \($0)") }
    private static let badNumbers = (0..<lineCount).filter { $0 % 97 == 5 }.map { JSON($0 + 1) }

    /// Every line is in the files once, with its own answer, in order.
    private func expectWhole(_ store: BatchStore, _ id: String, _ place: Comment) throws {
        let batch = try store.batch(id).json
        #expect(batch["status"] == "completed", place)
        #expect(batch["request_counts"] == ["total": JSON(Self.lineCount), "completed": JSON(Self.goodIDs.count), "failed": JSON(Self.lineCount - Self.goodIDs.count)], place)
        let output = try store.results(batch["output_file_id"])
        #expect(output.map { $0["custom_id"] } == Self.goodIDs, place)
        #expect(output.allSatisfy { "line " + ($0["response"]?["body"]?["text"]?.string ?? "") == $0["custom_id"]?.string }, place)
        let errors = try store.results(batch["error_file_id"])
        #expect(errors.compactMap { $0["custom_id"]!.isNull ? nil : $0["custom_id"] } == Self.refusedIDs, place)
        #expect(errors.compactMap { $0["error"]!.isNull ? nil : $0["error"]!["line"] } == Self.badNumbers, place)
        #expect(try store.files(of: .tester, purpose: "batch_output", limit: 10).elements.count == 2, place)
        let contents = try FileManager.default.contentsOfDirectory(atPath: store.directory + "/files")
        #expect(Set(contents) == Set(try store.files(of: .tester, limit: 10).elements.map(\.id)), "no content without its row: \(place)")
    }

    /// The daemon is killed after each of its steps; whatever it had done, the next one ends the batch with every line once.
    @Test func afterEachStep() throws {
        let folder = TemporaryFolder()
        let store = try openStore(folder)
        let batch = try store.order(Self.input)
        var left: [TemporaryFolder] = [try folder.copy()]
        while true {
            while try store.step(now: 100) { left.append(try folder.copy()) }
            let lines = try store.claim(lines: 200, bytes: 1 << 20)
            if lines.isEmpty { break }
            // Half of what is under way is answered before the next kill.
            try store.finish(lines.prefix(lines.count / 2).map(BatchStore.answer), now: 100)
            left.append(try folder.copy())
            try store.finish(lines.dropFirst(lines.count / 2).map(BatchStore.answer), now: 100)
        }
        try expectWhole(store, batch.id, "without a kill")
        #expect(left.count > 15)
        for (place, folder) in left.enumerated() {
            let next = try openStore(folder, seed: 2)
            try next.runToTheEnd()
            try expectWhole(next, batch.id, "killed at \(place)")
        }
    }

    /// Kills at random points of a storm of batches, several of them in a row.
    @Test(arguments: [1, 2, 3, 4] as [UInt64]) func storm(seed: UInt64) throws {
        var random = RandomSource(seed: seed)
        var folder = TemporaryFolder()
        var store = try openStore(folder, seed: seed)
        var batches: [String: Int] = [:]
        var cancelled: Set<String> = []
        var underWay: [ClaimedLine] = []
        for round in 0..<300 {
            switch Int.random(in: 0..<10, using: &random) {
            case 0 where batches.count < 6:
                let count = Int.random(in: 1...900, using: &random)
                batches[try store.order((0..<count).map { inputLine("\($0)", prompt: $0 % 10 == 3 ? "bad" : "\($0)") }.joined(separator: "\n")).id] = count
            case 1 where round > 100 && Bool.random(using: &random):
                if let id = batches.keys.sorted().randomElement(using: &random), try !store.batch(id).status.hasEnded, try store.batch(id).status != .finalizing {
                    _ = try store.cancel(id, of: .tester, now: 100)
                    cancelled.insert(id)
                }
            case 2, 3, 4: _ = try store.step(now: 100)
            case 5, 6: underWay += try store.claim(lines: Int.random(in: 1...300, using: &random), bytes: 1 << 20)
            case 7, 8:
                underWay.shuffle(using: &random)
                let few = underWay.prefix(Int.random(in: 0...underWay.count, using: &random))
                try store.finish(few.map(BatchStore.answer), now: 100)
                underWay.removeFirst(few.count)
            case _ where Int.random(in: 0..<4, using: &random) == 0:
                folder = try folder.copy()
                store = try openStore(folder, seed: seed &+ UInt64(round))
                underWay = []
            default: break
            }
        }
        try store.finish(underWay.map(BatchStore.answer), now: 100)
        try store.runToTheEnd()
        #expect(!batches.isEmpty)
        for (id, count) in batches {
            let batch = try store.batch(id)
            #expect(batch.status == (cancelled.contains(id) ? .cancelled : .completed), "seed \(seed), \(id)")
            #expect(batch.goodLines + batch.failedLines == count, "seed \(seed), \(id)")
            let lines = try store.results(batch.json["output_file_id"]) + store.results(batch.json["error_file_id"])
            #expect(lines.compactMap { $0["custom_id"]?.string.flatMap { Int($0) } }.sorted() == Array(0..<count), "seed \(seed), \(id)")
        }
    }
}
