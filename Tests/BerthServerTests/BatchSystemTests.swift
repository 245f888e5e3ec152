// Batches with the demo model: answers are those of single requests, also where the daemon is killed in between.

import BerthClient
import BerthCore
import Foundation
import Testing

@testable import BerthServer

@Suite(.serialized) struct BatchSystemTests {
    private static let models = ["base", "french", "german", "spanish", "roman", "ordinal", "digits"]

    /// - Parameter length: nil is a short answer that ends where the model ends it, mostly.
    private func request(_ index: Int, length: Int? = nil) -> CompletionRequest {
        var options = SamplingOptions(maxTokens: length ?? 6 + index % 7, temperature: index % 2 == 0 ? 0 : 0.9, seed: index)
        options.ignoresEndTokens = length != nil || index % 5 == 1 ? true : nil
        return CompletionRequest(model: Self.models[index % Self.models.count], prompt: "\(index * 37 % 4000) =", options: options)
    }

    private func write(_ count: Int, length: Int? = nil, _ path: String) throws {
        let lines = (0..<count).map { index -> String in
            let request = request(index, length: length)
            var body: [String: JSON] = [
                "model": .string(request.model!), "prompt": .string("\(index * 37 % 4000) ="), "max_tokens": JSON(request.options.maxTokens!),
                "temperature": .number(request.options.temperature!), "seed": JSON(index),
            ]
            if request.options.ignoresEndTokens == true { body["ignore_eos"] = true }
            let line: JSON = ["custom_id": .string("\(index)"), "method": "POST", "url": "/v1/completions", "body": .object(.init(body.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }, uniquingKeysWith: { $1 }))]
            return line.text
        }
        try lines.joined(separator: "\n").write(toFile: path, atomically: true, encoding: .utf8)
    }

    private func end(of id: String, _ client: BerthClient) async throws -> Batch {
        for _ in 0..<6000 {
            let batch = try await client.batch(id)
            if batch.hasEnded { return batch }
            try await Task.sleep(nanoseconds: 10_000_000)
        }
        Issue.record("the batch does not end")
        return try await client.batch(id)
    }

    /// The texts of the answers by custom id; a line that is there twice is an issue.
    private func texts(_ path: String) throws -> [Int: String] {
        var texts: [Int: String] = [:]
        for line in try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n") {
            let json = try JSON(parsing: String(line))
            let index = try #require(json["custom_id"]?.string.flatMap { Int($0) })
            #expect(texts[index] == nil, "line \(index) is there twice")
            texts[index] = json["response"]?["body"]?["choices"]?.array?.first?["text"]?.string
        }
        return texts
    }

    /// With all experts in memory, and with a tenth of them.
    @Test(arguments: [nil, "10%"] as [String?])
    func answersAreThoseOfSingleRequests(experts: String?) async throws {
        let daemon = try await RealDaemon { $0.expertMemory = experts.flatMap { PoolAmount($0) } }
        defer { daemon.stop() }
        let (input, output) = (daemon.directory + "/in.jsonl", daemon.directory + "/out.jsonl")
        try write(70, input)
        let file = try await daemon.client.uploadFile(input)
        #expect(try await daemon.client.files() == [file] && file.purpose == "batch" && file.name == "in.jsonl")
        var order = BatchRequest(input: file.id, endpoint: "/v1/completions")
        order.metadata = ["a": "b"]
        let id = try await daemon.client.createBatch(order).id
        // Somebody else asks meanwhile.
        let beside = try await daemon.client.complete(request(500)).text
        let batch = try await end(of: id, daemon.client)
        #expect(batch.status == "completed" && batch.completedLines == 70 && batch.failedLines == 0 && batch.errorFile == nil && batch.metadata == ["a": "b"])
        #expect(try await daemon.client.batches().map(\.id) == [id])
        let waves = try await daemon.admin.waves()
        #expect((waves["waves"]?.int ?? 0) > 0 && waves["running"]?.int == 0 && waves["rows"]?.int == 0, "lines run in waves, whose memory is given back")
        try await daemon.client.downloadFile(try #require(batch.outputFile), to: output)
        let texts = try texts(output)
        for index in 0..<70 { #expect(try await daemon.client.complete(request(index)).text == texts[index], "line \(index)") }
        #expect(try await daemon.client.complete(request(500)).text == beside)
        try await daemon.client.deleteFile(file.id)
        await #expect(throws: BerthClientError.self) { try await daemon.client.file(file.id) }
        await #expect(throws: BerthClientError.localFile("/none", reason: "No such file or directory")) { try await daemon.client.uploadFile("/none") }
        await #expect(throws: BerthClientError.self) { try await daemon.client.cancelBatch(id) }
    }

    /// The daemon as a process, killed again and again in the middle of a batch: in the end every line is answered once, as it would have been.
    @Test func killed() async throws {
        let seed = UInt64.random(in: 0 ... .max)
        var random = RandomSource(seed: seed)
        let folder = NSTemporaryDirectory() + "berth-killed-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let (count, length) = (600, 40)
        try write(count, length: length, folder + "/in.jsonl")
        let client = BerthClient(socketPath: folder + "/s")
        var daemon = try await start(folder, client)
        let file = try await client.uploadFile(folder + "/in.jsonl")
        let id = try await client.createBatch(BatchRequest(input: file.id, endpoint: "/v1/completions")).id
        var interrupted = 0
        // Five times, unless the environment wants more of it.
        let kills = ProcessInfo.processInfo.environment["BERTH_KILLS"].flatMap { Int($0) } ?? 5
        for _ in 0..<kills {
            try await Task.sleep(nanoseconds: UInt64.random(in: 0..<200_000_000, using: &random))
            kill(daemon.processIdentifier, SIGKILL)
            daemon.waitUntilExit()
            daemon = try await start(folder, client)
            if try await !client.batch(id).hasEnded { interrupted += 1 }
        }
        print("seed \(seed): killed \(kills) times, \(interrupted) of them before the end")
        #expect(interrupted > 0, "seed \(seed)")
        let batch = try await end(of: id, client)
        #expect(batch.status == "completed" && batch.completedLines == count && batch.failedLines == 0, "seed \(seed)")
        try await client.downloadFile(try #require(batch.outputFile), to: folder + "/out.jsonl")
        let texts = try texts(folder + "/out.jsonl")
        #expect(texts.count == count, "seed \(seed)")
        for index in stride(from: 0, to: count, by: 9) { #expect(try await client.complete(request(index, length: length)).text == texts[index], "seed \(seed), line \(index)") }
        daemon.terminate()
        daemon.waitUntilExit()
        #expect(daemon.terminationStatus == 0)
    }

    private func start(_ folder: String, _ client: BerthClient) async throws -> Process {
        let process = Process()
        process.executableURL = try Programs.url("berthd")
        process.arguments = [
            "--model", RealDaemon.demo, "--adapters", RealDaemon.demo + "/adapters", "--memory", "256M", "--socket", folder + "/s", "--admin-socket", folder + "/a",
            "--state-dir", folder + "/state", "--cache-dir", folder + "/cache", "--threads", "1",
        ]
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        for _ in 0..<3000 {
            if (try? await client.isReady()) == true { return process }
            guard process.isRunning else { break }
            try await Task.sleep(nanoseconds: 10_000_000)
        }
        Issue.record("the daemon did not become ready")
        return process
    }
}
