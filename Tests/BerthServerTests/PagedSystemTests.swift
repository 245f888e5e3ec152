// The whole daemon with experts on disk: the same tokens, told to operators, and a broken image that ends requests and nothing else.

import BerthClient
import BerthCore
import Foundation
import Testing

@testable import BerthServer

@Suite(.serialized) struct PagedSystemTests {
    private static let models = ["base", "french", "german", "spanish", "roman", "ordinal", "digits"]

    private func request(_ index: Int) -> CompletionRequest {
        let options = SamplingOptions(maxTokens: 30, temperature: index % 2 == 0 ? 0 : 0.8, seed: index)
        return CompletionRequest(model: Self.models[index % Self.models.count], prompt: "\(index * 271 + 19) =", options: options)
    }

    private func together(_ client: BerthClient) async throws -> [String] {
        try await withThrowingTaskGroup(of: (Int, String).self) { group in
            for index in 0..<16 {
                let request = request(index)
                group.addTask { (index, try await client.complete(request).text) }
            }
            return try await group.reduce(into: Array(repeating: "", count: 16)) { $0[$1.0] = $1.1 }
        }
    }

    @Test func expertsOnDiskChangeNothing() async throws {
        let resident = try await RealDaemon()
        let wanted = try await together(resident.client)
        #expect(try await resident.admin.experts()["paged"]?.bool == false)
        resident.stop()
        #expect(Set(wanted).count > 10)

        let cache = NSTemporaryDirectory() + "berth-paged-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: cache) }
        func paged(_ share: String, _ read: ExpertReadChoice, recording: String? = nil) async throws -> RealDaemon {
            try await RealDaemon(cache: cache) {
                $0.expertMemory = PoolAmount(share)
                $0.expertRead = read
                $0.recordRouting = recording
            }
        }
        let recording = cache + "-routing"
        defer { try? FileManager.default.removeItem(atPath: recording) }
        let first = try await paged("10%", .direct, recording: recording)
        for _ in 0..<2 { #expect(try await together(first.client) == wanted) }
        let experts = try await first.admin.experts()
        #expect(experts["paged"]?.bool == true && (experts["evictions"]?.int ?? 0) > 0 && (experts["bytes_read"]?.int ?? 0) > 0)
        #expect((experts["resident"]?.int ?? 0) <= (experts["capacity"]?.int ?? 0))
        // One sentence out of what was measured.
        let summary = try #require(experts["summary"]?.string)
        #expect(summary.lowercased().contains("offloading") && summary.hasSuffix(".") && (experts["resident_tokens_per_second"]?.double ?? 0) > 0, "\(summary)")
        let waste = try await first.admin.pool()["waste_bytes"]
        #expect(waste?["expert"]?.int != nil && waste?["kv"]?.int != nil)
        first.stop()
        let recorded = try Data(contentsOf: URL(fileURLWithPath: recording))
        #expect(recorded.starts(with: Array("{\"format\":\"berth-routing-1\"".utf8)) && recorded.count > 5_000)

        // The floor, reading nothing ahead: one request after another, and all together.
        let least = try await RealDaemon(cache: cache) {
            $0.expertMemory = PoolAmount("1%")
            $0.expertPrefetch = .off
        }
        for index in 0..<4 { #expect(try await least.client.complete(request(index)).text == wanted[index]) }
        #expect(try await together(least.client) == wanted)
        let bare = try await least.admin.experts()
        #expect(bare["guesses"]?["begun"]?.int == 0 && bare["queue_reads"]?["begun"]?.int == 0)
        least.stop()

        // The next life begins with what was used most, without being asked anything.
        let second = try await paged("50%", .buffered)
        var warm = 0
        for _ in 0..<500 where warm == 0 {
            warm = try await second.admin.experts()["warm_reads"]?.int ?? 0
            if warm == 0 { try await Task.sleep(nanoseconds: 10_000_000) }
        }
        #expect(warm > 0)
        #expect(try await together(second.client) == wanted)
        second.stop()
    }

    @Test func aBrokenImageEndsRequestsAndNothingElse() async throws {
        let cache = NSTemporaryDirectory() + "berth-paged-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: cache) }
        let daemon = try await RealDaemon(cache: cache) { $0.expertMemory = PoolAmount("10%") }
        defer { daemon.stop() }
        let wanted = try await together(daemon.client)
        let image = try #require(FileManager.default.contentsOfDirectory(atPath: cache).first { $0.hasSuffix(".image") })
        let file = try #require(FileHandle(forUpdatingAtPath: "\(cache)/\(image)"))
        defer { try? file.close() }
        let bytes = try #require(try file.readToEnd())
        // Experts lie behind everything else: the second half is theirs alone.
        let half = bytes.count / 2
        try file.seek(toOffset: UInt64(half))
        try file.write(contentsOf: Data(bytes[half...].map { ~$0 }))
        let error = await #expect(throws: BerthClientError.self) {
            for index in 0..<16 { _ = try await daemon.client.complete(request(index)) }
        }
        #expect(error.map { "\($0)" }?.contains("could not be read") == true, "\(String(describing: error))")
        #expect(try await daemon.client.isReady())
        #expect((try await daemon.admin.experts()["failed_reads"]?.int ?? 0) > 0)
        try file.seek(toOffset: UInt64(half))
        try file.write(contentsOf: bytes[half...])
        #expect(try await together(daemon.client) == wanted)
    }
}
