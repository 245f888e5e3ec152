import BerthKernels
import BerthModels
import Glibc
import Testing

@testable import berth_bench

@Suite struct DivergenceTests {
    private static let text = (0..<40).map { "\($0 * 7919 % 1000) = seven hundred and something\n" }.joined()

    private func command(_ arguments: String...) throws -> DivergenceCommand { try DivergenceCommand.parse([Repository.demo] + arguments) }

    /// Exact weights do not differ from themselves, and fewer bits differ more.
    @Test func fewerBitsDivergeMore() throws {
        let folder = try TemporaryFolder(), text = try folder.write(Self.text.utf8, to: "text")
        let report = try command("--text", text, "--weights", "f32,bf16,int8,int4", "--against", "f32", "--tokens", "70", "--window", "32").measure()
        #expect(report.windows == 2)
        let results = report.results.map(\.divergence)
        #expect(report.results.map(\.name) == ["f32", "bf16", "int8", "int4"])
        for result in results { #expect(result.nats.count == 64) }
        #expect(results[0].nats.allSatisfy { $0 == 0 } && results[0].agreement == 1)
        #expect(results[0].perplexity == results[0].referencePerplexity)
        // Medians: a row whose router chooses another expert moves a mean of so few.
        let medians = results.map { median($0.nats) }
        #expect(0 < medians[1] && medians[1] < medians[2] && medians[2] < medians[3] && medians[3] < 0.1)
        #expect(results[3].mean > 0 && results[3].error > 0)
        #expect(report.table.contains("int4") && report.json["results"]?.array?.count == 4)
    }

    /// Another engine's logits: here our own, written to a file, which must agree with the model that wrote them.
    @Test func logitsOfAFileAreComparedPositionByPosition() throws {
        let folder = try TemporaryFolder(), text = try folder.write(Self.text.utf8, to: "text"), tokens = folder.path + "/tokens"
        let empty = try command("--text", text, "--weights", "", "--tokens", "48", "--window", "24", "--write-tokens", tokens).measure()
        #expect(empty.results.isEmpty && empty.windows == 2)
        let file = try #require(fopen(tokens, "rb"))
        defer { fclose(file) }
        var ids = [Int32](repeating: 0, count: 49)
        #expect(fread(&ids, 4, 49, file) == 48)

        let model = try Repository.model(Repository.demo, .int8)
        let windows = try TokenWindows(cutting: [Array(ids.prefix(48))], begin: [], length: 24, most: 48)
        let source = ModelLogits(model, windows: windows)
        var logits: [UInt8] = []
        for window in 0..<2 {
            let rows = source.logits(window: window, rows: 0..<24)
            logits += UnsafeRawBufferPointer(start: rows.base, count: rows.count * rows.columns * 4)
        }
        let path = try folder.write(logits, to: "logits")
        let arguments = ["--text", text, "--tokens", "48", "--window", "24", "--logits", "other=" + path]
        let same = try DivergenceCommand.parse([Repository.demo] + arguments + ["--weights", "", "--against", "int8"]).measure()
        #expect(same.results.map(\.name) == ["other"] && same.results[0].divergence.nats == [Double](repeating: 0, count: 48))
        let against = try DivergenceCommand.parse([Repository.demo] + arguments + ["--weights", "int4", "--against", "other"]).measure()
        #expect(against.results.map(\.name) == ["int4"] && against.results[0].divergence.mean > 0)

        let short = try folder.write(logits.dropLast(4), to: "logits")
        #expect(throws: BenchError.self) { try FileLogits(name: "short", path: short, windows: windows, vocabularySize: model.vocabularySize) }
    }

    /// Against the definition, on distributions whose divergence is known.
    @Test func aPositionIsTheDefinition() {
        let p: [Float] = [0, log(3), -.infinity], q: [Float] = [5 + log(2), 5 + log(2), 5]
        // p is (1/4, 3/4, 0), q is (2/5, 2/5, 1/5).
        let position = Divergence.Position(reference: p, q, count: 3)
        #expect(abs(position.nats - (0.25 * log(0.25 / 0.4) + 0.75 * log(0.75 / 0.4))) < 1e-6)
        #expect(!position.agrees)
    }

    @Test func windowsBeginAnewAndDocumentsStayApart() throws {
        let one = try TokenWindows(cutting: [Array(10..<20)], begin: [1], length: 4, most: 100)
        #expect(one.tokens == [1, 10, 11, 12, 1, 13, 14, 15, 1, 16, 17, 18])
        let documents = try TokenWindows(cutting: [[10, 11], [20, 21, 22, 23], [30, 31, 32]], begin: [], length: 3, most: 7)
        #expect(documents.tokens == [20, 21, 22, 30, 31, 32])
        #expect(throws: BenchError.self) { try TokenWindows(cutting: [[1, 2]], begin: [], length: 3, most: 100) }
    }

    @Test func refusesWhatItCannotCompare() {
        #expect(throws: (any Error).self) { try command("--text", "x", "--weights", "int3") }
        #expect(throws: (any Error).self) { try command("--text", "x", "--logits", "nofile") }
        #expect(throws: (any Error).self) { try command("--text", "x", "--against", "nobody") }
        #expect(throws: BenchError.self) { try command("--text", "/nonexistent").measure() }
    }
}
