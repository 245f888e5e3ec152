// Adapters come, wait for the disk, are shared, replaced, pinned, evicted and removed.

import BerthCore
import BerthMemory
import Testing

@testable import BerthEngine

@Suite struct AdapterTests {
    func state(_ harness: Harness, _ name: String) -> AdapterStatus.State? { harness.engine.adapters.first { $0.name.text == name }?.state }

    @Test func readOnFirstUseWhileOthersRun() throws {
        let harness = try Harness()
        try harness.register("french", version: 1, pages: 3)
        #expect(state(harness, "french") == .absent && harness.unusedPageCount == 64)
        let adapted = harness.submit([3, 4], adapter: "french")
        let plain = harness.submit([3, 4])
        harness.run(completingReads: false)
        #expect(harness.outcomes[plain]!.isOver && !harness.outcomes[adapted]!.isOver)
        #expect(!harness.engine.hasWork && state(harness, "french") == .loading)
        harness.run()
        #expect(state(harness, "french") == .resident)
        #expect(harness.outcomes[adapted]!.tokens.count == 8 && harness.outcomes[adapted]!.tokens != harness.outcomes[plain]!.tokens)
        let status = try #require(harness.engine.adapters.first)
        #expect(status.uses == 1 && status.pages == 3 && status.bytes == 3 * 4096 && status.digest == "digest-1" && status.modules == ["layer"])
        // It stays for the next.
        harness.submit([3], adapter: "french")
        harness.run(completingReads: false)
        #expect(harness.engine.isEmpty && harness.engine.counterSnapshot.adapterLoads == 1)
    }

    @Test func aFailedReadFailsOnlyThoseWhoWait() throws {
        let harness = try Harness()
        try harness.register("broken", version: 1, failure: "q_proj.lora_A holds a NaN")
        try harness.register("sound", version: 2)
        let bad = (0..<2).map { _ in harness.submit([3], adapter: "broken") }
        let good = harness.submit([3], adapter: "sound")
        harness.run()
        for id in bad {
            #expect(harness.outcomes[id]!.failure?.code == .adapterRejected)
            #expect(harness.outcomes[id]!.failure?.message.contains("q_proj.lora_A holds a NaN") == true)
        }
        #expect(harness.outcomes[good]!.finish == .length)
        #expect(harness.engine.adapters.first { $0.name.text == "broken" }?.reason?.contains("NaN") == true)
        #expect(harness.unusedPageCount == 63)
    }

    @Test func aRunningRequestEndsOnTheVersionItBeganWith() throws {
        let harness = try Harness()
        try harness.register("tuned", version: 1, pages: 2)
        let old = harness.submit([3, 4], maxTokens: 20, adapter: "tuned")
        harness.step()
        harness.reader.completeAll(in: harness.engine)
        for _ in 0..<5 { harness.step() }
        try harness.register("tuned", version: 2, pages: 1)
        #expect(harness.engine.adapters.map(\.state) == [.absent, .retired])
        let new = harness.submit([3, 4], maxTokens: 20, adapter: "tuned")
        harness.run()
        var request = GenerationRequest(id: RequestID(1), adapter: AdapterName("tuned"), prompt: [3, 4], maxTokens: 20)
        request.sampling.temperature = 0
        request.ignoresEndTokens = true
        #expect(try harness.outcomes[old] == Harness.alone(request, adapter: (1, 2)))
        #expect(try harness.outcomes[new] == Harness.alone(request, adapter: (2, 1)))
        // The old version is gone with its request.
        #expect(harness.engine.adapters.count == 1 && harness.unusedPageCount == 63)
    }

    @Test func unregisteringFreesAfterTheLastRequest() throws {
        let harness = try Harness()
        try harness.register("gone", version: 1, pages: 4)
        let running = harness.submit([3], maxTokens: 10, adapter: "gone")
        harness.step()
        harness.reader.completeAll(in: harness.engine)
        harness.step()
        var waiting = RequestID(0)
        waiting = harness.submit([4], adapter: "gone")
        try harness.engine.unregisterAdapter(AdapterName("gone")!)
        #expect(throws: GenerationFailure.self) { try harness.engine.unregisterAdapter(AdapterName("gone")!) }
        harness.step()
        #expect(harness.outcomes[waiting]!.failure?.code == .unknownAdapter)
        #expect(harness.pool.pageCount(of: .adapter) == 4)
        harness.run()
        #expect(harness.outcomes[running]!.finish == .length && harness.outcomes[running]!.tokens.count == 10)
        #expect(harness.unusedPageCount == 64 && harness.engine.adapters.isEmpty)
        // And its memory is the machine's again; what is left was KV.
        #expect(harness.pool.snapshot.touched <= 1)
    }

    @Test func removedWhileItIsRead() throws {
        let harness = try Harness()
        try harness.register("gone", version: 1, pages: 4)
        let id = harness.submit([3], adapter: "gone")
        harness.step()
        try harness.engine.unregisterAdapter(AdapterName("gone")!)
        harness.step()
        #expect(harness.outcomes[id]!.failure?.code == .unknownAdapter)
        // The reader still writes into the pages.
        #expect(harness.pool.pageCount(of: .adapter) == 4)
        harness.reader.completeAll(in: harness.engine)
        harness.engine.checkInvariants()
        #expect(harness.unusedPageCount == 64)
    }

    @Test func idleAdaptersLeaveLeastRecentlyUsedFirst() throws {
        let harness = try Harness(pages: 10, configuration: .withoutPrefixes)
        for (index, name) in ["a", "b", "c", "d"].enumerated() { try harness.register(name, version: UInt64(index + 1), pages: 3) }
        for name in ["a", "b", "a", "c"] {
            harness.submit([3], adapter: name)
            harness.run()
        }
        #expect(["a", "b", "c", "d"].map { state(harness, $0) } == [.resident, .resident, .resident, .absent])
        harness.submit([3], adapter: "d")
        harness.run()
        #expect(["a", "b", "c", "d"].map { state(harness, $0) } == [.resident, .absent, .resident, .resident])
        #expect(harness.engine.counterSnapshot.adapterEvictions == 1)
        // KV blocks drive idle adapters out too, and only as many as needed.
        let id = harness.submit([3], maxTokens: 60)
        harness.run()
        #expect(harness.outcomes[id]!.finish == .length)
        #expect(["a", "b", "c", "d"].map { state(harness, $0) } == [.absent, .absent, .resident, .resident])
    }

    @Test func pinnedAdaptersStay() throws {
        let harness = try Harness(pages: 10, configuration: .withoutPrefixes)
        for (index, name) in ["a", "b", "c", "d"].enumerated() { try harness.register(name, version: UInt64(index + 1), pages: 3) }
        try harness.engine.setPinned(AdapterName("a")!, true)
        harness.run()
        #expect(state(harness, "a") == .resident)
        for name in ["b", "c", "d", "b"] {
            harness.submit([3], adapter: name)
            harness.run()
            #expect(state(harness, "a") == .resident)
        }
        #expect(harness.engine.capacityTokens() == 7 * 16)
        let tooLong = harness.submit([3], maxTokens: 150)
        harness.run()
        #expect(harness.outcomes[tooLong]!.failure?.code == .overloaded)
        try harness.engine.setPinned(AdapterName("b")!, true)
        try harness.engine.setPinned(AdapterName("c")!, true)
        #expect(throws: GenerationFailure.self) { try harness.engine.setPinned(AdapterName("d")!, true) }
        #expect(throws: GenerationFailure.self) { try harness.engine.setPinned(AdapterName("nobody")!, true) }
        // A new version is pinned as the old one was.
        try harness.register("a", version: 9, pages: 3)
        harness.run()
        #expect(harness.engine.adapters.first { $0.name.text == "a" }?.isPinned == true)
        try harness.engine.setPinned(AdapterName("a")!, false)
        harness.engine.checkInvariants()
    }

    /// An adapter whose request still waits is not thrown out and read again for nothing.
    @Test func manyAdaptersThroughASmallPool() throws {
        let harness = try Harness(pages: 8, configuration: .withoutPrefixes)
        for index in 0..<20 { try harness.register("a\(index)", version: UInt64(index + 1), pages: 2) }
        let ids = (0..<60).map { harness.submit([Int32($0 % 50 + 2)], maxTokens: 20, adapter: "a\($0 % 20)") }
        harness.run()
        #expect(ids.allSatisfy { harness.outcomes[$0]!.finish == .length })
        #expect(harness.engine.counterSnapshot.adapterLoads <= 60)
    }
}
