import BerthCore
import Foundation
import Testing

@testable import BerthBatches

@Suite struct BatchStoreTests {
    @Test func aBatchFromItsInputToItsOutput() throws {
        let folder = TemporaryFolder()
        let store = try openStore(folder)
        // A byte order mark, Windows' line ends, a blank line, no break at the end.
        let text = "\u{FEFF}" + inputLine("first", prompt: "one") + "\r\n\n" + inputLine("second", prompt: "bad") + "\n" + inputLine("third", prompt: "ü")
        let file = try store.upload(text)
        var order = BatchOrder(input: file.id, endpoint: "/v1/completions", metadata: ["team": "red"], outputLifeSeconds: 3600)
        order.window = "24h"
        let batch = try store.create(order, of: .tester, now: 200)
        #expect(batch.json["status"] == "validating" && batch.json["expires_at"] == 86_600 && batch.json["metadata"] == ["team": "red"])
        #expect(try store.step(now: 201))
        #expect(try store.batch(batch.id).json["status"] == "in_progress")
        let lines = try store.claim(lines: 10, bytes: 1 << 20)
        #expect(lines.map(\.customID) == ["first", "second", "third"] && lines.map(\.number) == [1, 3, 4])
        #expect(try store.claim(lines: 10, bytes: 1 << 20).isEmpty, "a line is given out once")
        try store.finish(lines.reversed().map(BatchStore.answer), now: 202)
        try store.finish(lines.map(BatchStore.answer), now: 202)
        #expect(try store.batch(batch.id).json["status"] == "finalizing" && store.batch(batch.id).json["output_file_id"] == .null)
        try store.stepAll(now: 203)
        let ended = try store.batch(batch.id).json
        #expect(ended["status"] == "completed" && ended["completed_at"] == 203 && ended["in_progress_at"] == 201 && ended["finalizing_at"] == 202)
        #expect(ended["request_counts"] == ["total": 3, "completed": 2, "failed": 1], "an answer that comes twice counts once")
        #expect(ended["usage"]?["total_tokens"] == 10 && ended["usage"]?["input_tokens_details"]?["cached_tokens"] == 2)
        let output = try store.results(ended["output_file_id"])
        #expect(output.map { $0["custom_id"] } == ["first", "third"] && output[1]["response"]?["body"]?["text"] == "ü")
        #expect(output[0]["error"] == .null && output[0]["response"]?["status_code"] == 200)
        let errors = try store.results(ended["error_file_id"])
        #expect(errors.map { $0["custom_id"] } == ["second"] && errors[0]["response"]?["status_code"] == 400)
        let written = try store.file(ended["output_file_id"]!.string!)
        #expect(written.purpose == .batchOutput && written.expires == 203 + 3600)
        #expect(try store.database.int("SELECT count(*) FROM lines") == 0, "nothing is left of a batch that has ended")
        #expect(try !store.step(now: 204))
    }

    @Test func badLinesAreNamedAndTheOthersRun() throws {
        let folder = TemporaryFolder()
        let store = try openStore(folder)
        let long = inputLine("long", prompt: String(repeating: "x", count: LineScanner.longestLine))
        let text = [
            inputLine("a"), "{not json", "[]", #"{"method":"POST"}"#, #"{"custom_id":"e","url":"/v1/completions","body":{}}"#, inputLine("f", url: "/v1/embeddings"),
            inputLine("a"), #"{"custom_id":"h","method":"POST","url":"/v1/completions","body":3}"#, long,
            #"{"custom_id":"j","method":"POST","url":"/v1/completions","body":{"stream":true}}"#, inputLine("k"), #"{"custom_id":7}"#,
        ].joined(separator: "\n")
        let batch = try store.order(text)
        try store.runToTheEnd()
        let ended = try store.batch(batch.id).json
        #expect(ended["request_counts"] == ["total": 12, "completed": 2, "failed": 10])
        #expect(try store.results(ended["output_file_id"]).map { $0["custom_id"] } == ["a", "k"])
        let errors = try store.results(ended["error_file_id"])
        let named = errors.map { "\($0["error"]?["line"]?.int ?? 0) \($0["error"]?["code"]?.string ?? "") \($0["custom_id"]?.string ?? "-")" }
        #expect(named == [
            "2 invalid_json_line -", "3 invalid_json_line -", "4 missing_required_parameter -", "5 missing_required_parameter e", "6 invalid_url f",
            "7 duplicate_custom_id a", "8 invalid_type h", "9 line_too_long -", "10 invalid_value j", "12 invalid_value -",
        ])
        #expect(errors[5]["error"]?["message"]?.string?.contains("line 1") == true)
    }

    @Test func inputsThatAreWrongAsAWholeFail() throws {
        let folder = TemporaryFolder()
        let store = try openStore(folder)
        let empty = try store.order("\n \n")
        let bad = try store.order("x\n{}\n")
        let many = try store.order((0...Limits.batchLines).map { "{\"custom_id\":\"\($0)\",\"method\":\"POST\",\"url\":\"/v1/completions\",\"body\":{}}\n" }.joined())
        try store.runToTheEnd()
        func errors(_ batch: Batch) throws -> [JSON] { try store.batch(batch.id).json["errors"]?["data"]?.array ?? [] }
        #expect(try store.batch(empty.id).json["status"] == "failed" && store.batch(empty.id).json["failed_at"] == 100)
        #expect(try errors(empty).map { $0["code"] } == ["empty_file"])
        #expect(try errors(bad).map { $0["line"] } == [1, 2] && errors(bad).map { $0["code"] } == ["invalid_json_line", "missing_required_parameter"])
        #expect(try errors(many).map { $0["code"] } == ["too_many_lines"] && errors(many).map { $0["line"] } == [.integer(Int64(Limits.batchLines + 1))])
        #expect(try store.files(of: .tester, purpose: "batch_output", limit: 10).elements.isEmpty)
        #expect(try store.database.int("SELECT count(*) FROM lines") == 0)
    }

    @Test func cancellingKeepsWhatIsAnswered() throws {
        let folder = TemporaryFolder()
        let store = try openStore(folder)
        let text = (0..<700).map { inputLine("\($0)") }.joined(separator: "\n")
        let batch = try store.order(text)
        try store.stepAll()
        let lines = try store.claim(lines: 10, bytes: 1 << 20)
        try store.finish(lines.prefix(3).map(BatchStore.answer), now: 100)
        #expect(try store.cancel(batch.id, of: .tester, now: 150).json["status"] == "cancelling")
        #expect(try store.cancel(batch.id, of: .tester, now: 151).json["cancelling_at"] == 150, "a second time says the same")
        #expect(try store.claim(lines: 10, bytes: 1 << 20).isEmpty)
        try store.stepAll(now: 160)
        try store.finish(lines.map(BatchStore.answer), now: 161)
        let ended = try store.batch(batch.id).json
        #expect(ended["status"] == "cancelled" && ended["cancelled_at"] == 160)
        #expect(ended["request_counts"] == ["total": 700, "completed": 3, "failed": 697])
        #expect(try store.results(ended["output_file_id"]).count == 3)
        let errors = try store.results(ended["error_file_id"])
        #expect(errors.count == 697 && errors[0]["error"]?["code"] == "batch_cancelled" && errors[0]["custom_id"] == "3")
        #expect(throws: BatchError(.conflict, "A batch that is 'cancelled' cannot be cancelled.", parameter: "batch_id")) { try store.cancel(batch.id, of: .tester, now: 170) }
    }

    /// Every line of a batch that is cancelled while it is scanned is in its files, too.
    @Test func cancellingWhileScanning() throws {
        let folder = TemporaryFolder()
        let store = try openStore(folder)
        let batch = try store.order((0..<1200).map { inputLine("\($0)") }.joined(separator: "\n"))
        #expect(try store.step(now: 100))
        _ = try store.cancel(batch.id, of: .tester, now: 110)
        try store.stepAll(now: 120)
        let ended = try store.batch(batch.id).json
        #expect(ended["status"] == "cancelled" && ended["request_counts"] == ["total": 1200, "completed": 0, "failed": 1200])
        #expect(try store.results(ended["error_file_id"]).count == 1200)
    }

    @Test func timeRunsOut() throws {
        let folder = TemporaryFolder()
        let store = try openStore(folder)
        let batch = try store.order(inputLine("a") + "\n" + inputLine("b"), window: 60)
        try store.stepAll()
        let lines = try store.claim(lines: 1, bytes: 1 << 20)
        try store.finish(lines.map(BatchStore.answer), now: 120)
        let early = try store.expire(now: 159)
        #expect(early.batches.isEmpty && early.next == 160)
        #expect(try store.expire(now: 160).batches == [batch.id])
        try store.stepAll(now: 161)
        let ended = try store.batch(batch.id).json
        #expect(ended["status"] == "expired" && ended["expired_at"] == 161 && ended["request_counts"] == ["total": 2, "completed": 1, "failed": 1])
        #expect(try store.results(ended["error_file_id"])[0]["error"]?["code"] == "batch_expired")
    }

    @Test func filesAreListedDeletedAndExpire() throws {
        let folder = TemporaryFolder()
        let store = try openStore(folder)
        let files = try (0..<5).map { try store.upload("\($0)", now: 100 + $0, lifeSeconds: 3600) }
        #expect(try store.files(of: .tester, limit: 2).elements == [files[4], files[3]] && store.files(of: .tester, limit: 2).hasMore)
        let rest = try store.files(of: .tester, after: files[3].id, limit: 3)
        #expect(rest.elements == [files[2], files[1], files[0]] && !rest.hasMore)
        #expect(try store.files(of: .tester, limit: 10, ascending: true).elements == files)
        #expect(try store.files(of: .tester, purpose: "batch_output", limit: 10).elements.isEmpty)
        #expect(throws: BatchError.self) { try store.files(of: .tester, after: "file-none", limit: 3) }
        try store.deleteFile(files[1].id, of: .tester)
        #expect(throws: BatchError(.notFound, "There is no file '\(files[1].id)'.", parameter: "file_id")) { try store.content(files[1].id, of: .tester, at: 0) }
        #expect(access(store.contentPath(files[1].id), F_OK) != 0)
        // A file that a batch reads stays, and its time waits, too.
        let batch = try store.create(BatchOrder(input: files[0].id, endpoint: "/v1/completions"), of: .tester, now: 105)
        #expect(throws: BatchError.self) { try store.deleteFile(files[0].id, of: .tester) }
        #expect(try store.expire(now: 3702).next == 3703)
        #expect(try store.files(of: .tester, limit: 10, ascending: true).elements == [files[0], files[3], files[4]])
        _ = try store.cancel(batch.id, of: .tester, now: 3702)
        try store.stepAll(now: 3702)
        try store.deleteFile(files[0].id, of: .tester)
        #expect(try store.batch(batch.id).json["input_file_id"] == .string(files[0].id), "the batch is remembered")
    }

    @Test func ordersAreChecked() throws {
        let folder = TemporaryFolder()
        let store = try openStore(folder)
        let file = try store.upload(inputLine("a"))
        func refusal(_ order: BatchOrder) -> String? {
            do throws(BatchError) {
                _ = try store.create(order, of: .tester, now: 100)
                return nil
            } catch { return error.parameter }
        }
        #expect(refusal(BatchOrder(input: "file-none", endpoint: "/v1/completions")) == "input_file_id")
        #expect(refusal(BatchOrder(input: file.id, endpoint: "/v1/embeddings")) == "endpoint")
        let batch = try store.order(inputLine("a"))
        try store.runToTheEnd()
        let output = try store.batch(batch.id).json["output_file_id"]!.string!
        #expect(refusal(BatchOrder(input: output, endpoint: "/v1/completions")) == "input_file_id", "an output is no input")
        #expect(throws: BatchError.self) { try store.batch("batch_none") }
    }

    /// A small batch does not wait for a large one before it.
    @Test func batchesShareWhatIsClaimed() throws {
        let folder = TemporaryFolder()
        let store = try openStore(folder)
        let large = try store.order((0..<400).map { inputLine("\($0)") }.joined(separator: "\n"))
        let small = try store.order((0..<30).map { inputLine("\($0)") }.joined(separator: "\n"))
        try store.stepAll()
        let first = try store.claim(lines: 20, bytes: 1 << 20)
        #expect(first.count { $0.batch == large.id } == 10 && first.count { $0.batch == small.id } == 10)
        let second = try store.claim(lines: 100, bytes: 1 << 20)
        #expect(second.count { $0.batch == large.id } == 80 && second.count { $0.batch == small.id } == 20, "what one lacks the other gets")
        #expect(try store.claim(lines: 100, bytes: 1).count == 1, "no more bytes than asked for, but for one line")
    }

    @Test func batchesAreListedNewestFirst() throws {
        let folder = TemporaryFolder()
        let store = try openStore(folder)
        let batches = try (0..<5).map { try store.order(inputLine("a"), now: 100 + $0).id }
        let first = try store.batches(of: .tester, limit: 2)
        #expect(first.elements.map(\.id) == [batches[4], batches[3]] && first.hasMore)
        let last = try store.batches(of: .tester, after: batches[3], limit: 3)
        #expect(last.elements.map(\.id) == [batches[2], batches[1], batches[0]] && !last.hasMore)
    }

    /// An input that cannot be read fails its batch, and no other.
    @Test func aMissingInputHarmsNobodyElse() throws {
        let folder = TemporaryFolder()
        let store = try openStore(folder)
        let lost = try store.order(inputLine("a"))
        let good = try store.order(inputLine("b"))
        unlink(store.contentPath(lost.input))
        try store.runToTheEnd()
        #expect(try store.batch(lost.id).json["errors"]?["data"]?.array?.first?["code"] == "input_unreadable")
        #expect(try store.batch(good.id).status == .completed)
        // The same while its lines run: what is answered stays.
        let later = try store.order(inputLine("c") + "\n" + inputLine("d"))
        let other = try store.order(inputLine("e"))
        try store.stepAll()
        try store.finish(try store.claim(lines: 1, bytes: 1 << 20).map(BatchStore.answer), now: 100)
        unlink(store.contentPath(later.input))
        try store.runToTheEnd(now: 200)
        let ended = try store.batch(later.id).json
        #expect(ended["status"] == "completed" && ended["request_counts"] == ["total": 2, "completed": 1, "failed": 1] && ended["finalizing_at"] == 200)
        #expect(try store.results(ended["error_file_id"]).first?["error"]?["code"] == "input_unreadable")
        #expect(try store.batch(other.id).status == .completed)
    }

    @Test func oneDaemonAtATime() throws {
        let folder = TemporaryFolder()
        let store = try openStore(folder)
        #expect(throws: BatchError.self) { try openStore(folder) }
        withExtendedLifetime(store) {}
    }

    @Test func aNewerDatabaseIsNotTouched() throws {
        let folder = TemporaryFolder()
        try openStore(folder).database.run("PRAGMA user_version = 99")
        #expect { try openStore(folder) } throws: { "\($0)".contains("version 99") }
    }
}
