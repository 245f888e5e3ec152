// `--memory` while the daemon runs: who moves it, what bounds it, and what gives way under pressure.

import BerthClient
import BerthCore
import Foundation
import Testing

@testable import BerthServer

@Suite struct PressurePolicyTests {
    private static let second: UInt64 = 1_000_000_000

    /// Observes once a second from `time` on, with a stall of the given share of every second.
    private func pass(_ policy: inout PressurePolicy, _ time: inout UInt64, _ total: inout UInt64, seconds: Int, stall: Double, fill: Double? = nil) {
        for _ in 0..<seconds {
            time += Self.second
            total += UInt64(stall * 1e6)
            policy.observe(.init(machineStalled: total, fill: fill), now: time)
        }
    }

    @Test func shrinksStepByStepAndGrowsBackWithHysteresis() {
        var policy = PressurePolicy()
        var time: UInt64 = 5 * Self.second, total: UInt64 = 77_000_000
        // What was before the first look says nothing.
        policy.observe(.init(machineStalled: total), now: time)
        #expect(policy.withheldSteps == 0)
        pass(&policy, &time, &total, seconds: 7, stall: 0.3)
        #expect(policy.withheldSteps == 4 && abs(policy.stall - 0.3) < 1e-9)
        // Neither pressed nor calm: nothing moves, however long.
        pass(&policy, &time, &total, seconds: 100, stall: 0.05)
        #expect(policy.withheldSteps == 4)
        pass(&policy, &time, &total, seconds: 30, stall: 0)
        #expect(policy.withheldSteps == 4, "half a minute of calm comes first")
        pass(&policy, &time, &total, seconds: 1, stall: 0)
        #expect(policy.withheldSteps == 3)
        pass(&policy, &time, &total, seconds: 9, stall: 0)
        #expect(policy.withheldSteps == 3)
        pass(&policy, &time, &total, seconds: 1, stall: 0)
        #expect(policy.withheldSteps == 2)
        // A moment between takes the calm away.
        pass(&policy, &time, &total, seconds: 1, stall: 0.05)
        pass(&policy, &time, &total, seconds: 30, stall: 0)
        #expect(policy.withheldSteps == 2)
        pass(&policy, &time, &total, seconds: 60, stall: 0)
        #expect(policy.withheldSteps == 0)
    }

    @Test func neverTakesEverything() {
        var policy = PressurePolicy()
        var time: UInt64 = 0, total: UInt64 = 0
        pass(&policy, &time, &total, seconds: 1000, stall: 1)
        #expect(policy.withheldSteps == 12 && PressurePolicy.steps == 16)
    }

    @Test func aFullGroupIsPressure() {
        var policy = PressurePolicy()
        var time: UInt64 = 0, total: UInt64 = 0
        pass(&policy, &time, &total, seconds: 3, stall: 0, fill: 0.98)
        #expect(policy.withheldSteps == 1)
        pass(&policy, &time, &total, seconds: 300, stall: 0, fill: 0.95)
        #expect(policy.withheldSteps == 1)
        pass(&policy, &time, &total, seconds: 31, stall: 0, fill: 0.5)
        #expect(policy.withheldSteps == 0)
    }

    /// Clocks that stand, counters that fall and readings that fail change nothing.
    @Test func oddReadingsAreHarmless() {
        var policy = PressurePolicy()
        for (total, time) in [(5, 10), (9_000_000, 10), (3, 2), (nil, 3_000_000_000), (9, 4_000_000_000)] as [(UInt64?, UInt64)] {
            policy.observe(.init(machineStalled: total, groupStalled: nil), now: time)
        }
        #expect(policy.withheldSteps == 0)
    }
}

/// A tree of the kernel's files in a temporary directory.
private final class FakeKernel: Sendable {
    let root = NSTemporaryDirectory() + "berth-kernel-\(UUID().uuidString)"
    deinit { try? FileManager.default.removeItem(atPath: root) }

    func write(_ path: String, _ text: String) throws {
        let file = root + path
        try FileManager.default.createDirectory(atPath: (file as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
        try text.write(toFile: file, atomically: true, encoding: .utf8)
    }
}

@Suite struct ControlGroupTests {
    @Test func theTightestBoundOnTheWayCounts() throws {
        let kernel = FakeKernel()
        try kernel.write("/proc/self/cgroup", "0::/system.slice/berthd.service\n")
        #expect(ControlGroup(root: kernel.root).limit == nil)
        try kernel.write("/sys/fs/cgroup/system.slice/memory.max", "8589934592\n")
        try kernel.write("/sys/fs/cgroup/system.slice/berthd.service/memory.max", "max\n")
        #expect(ControlGroup(root: kernel.root).limit == 8 << 30)
        try kernel.write("/sys/fs/cgroup/system.slice/berthd.service/memory.high", "4294967296\n")
        #expect(ControlGroup(root: kernel.root).limit == 4 << 30)
        try kernel.write("/sys/fs/cgroup/system.slice/berthd.service/memory.stat", "anon 1073741824\nfile 5\nshmem 1073741824\nfile_mapped 9\n")
        try kernel.write("/sys/fs/cgroup/system.slice/berthd.service/memory.pressure", "some avg10=1.00 avg60=0.00 avg300=0.00 total=123\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=5\n")
        try kernel.write("/proc/pressure/memory", "some avg10=0.00 avg60=0.00 avg300=0.00 total=456\n")
        #expect(ControlGroup(root: kernel.root).reading == .init(machineStalled: 456, groupStalled: 123, fill: 0.5))
    }

    @Test func theFirstVersionIsUnderstood() throws {
        let kernel = FakeKernel()
        try kernel.write("/proc/self/cgroup", "5:cpu,cpuacct:/x\n4:memory:/box/inner\n0::/\n")
        try kernel.write("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n")
        try kernel.write("/sys/fs/cgroup/memory/box/memory.limit_in_bytes", "1073741824\n")
        try kernel.write("/sys/fs/cgroup/memory/box/memory.stat", "cache 4\nrss 1\ntotal_rss 268435456\ntotal_shmem 0\n")
        let group = ControlGroup(root: kernel.root)
        #expect(group.limit == 1 << 30 && group.reading == .init(fill: 0.25))
    }

    @Test func limitsAreLoweredWithAWarning() {
        let wanted = ByteSize("8G")!
        #expect(MemoryGovernor.bounded(wanted, group: nil).warning == nil)
        #expect(MemoryGovernor.bounded(wanted, group: 8 << 30).size == wanted && MemoryGovernor.bounded(wanted, group: 8 << 30).warning == nil)
        let lowered = MemoryGovernor.bounded(wanted, group: 4 << 30)
        #expect(lowered.size == ByteSize("4G") && lowered.warning?.contains("control group") == true)
        #expect(MemoryGovernor.bounded(wanted, group: 6 << 30, most: 2 << 30).size == ByteSize("2G"))
        #expect(MemoryGovernor.bounded(wanted, group: nil, most: 2 << 30).warning != nil)
    }
}

@Suite(.serialized) struct MovedMemoryTests {
    private static let options: SamplingOptions = {
        var options = SamplingOptions(maxTokens: 60, temperature: 0)
        options.ignoresEndTokens = true
        return options
    }()

    private static func text(_ client: BerthClient, _ index: Int) async throws -> String {
        let models = ["base", "french", "german", "roman", "spanish", "ordinal"]
        return try await client.complete(CompletionRequest(model: models[index % models.count], prompt: "\(index * 37) =", options: options)).text
    }

    /// Up and down under load: every answer is what it is at rest.
    @Test func theLimitMovesUnderLoad() async throws {
        let daemon = try await RealDaemon { $0.memory = ByteSize("192M") }
        defer { daemon.stop() }
        var alone: [String] = []
        for index in 0..<24 { alone.append(try await Self.text(daemon.client, index)) }
        let first = try await daemon.admin.memory()
        let least = try #require(first["least_bytes"]?.int)
        #expect(first["limit_bytes"]?.int == 192 << 20 && least < 192 << 20)
        var seed = RandomSource(seed: 11)
        for _ in 0..<3 {
            let load = Task { () -> [Int: String] in
                try await withThrowingTaskGroup(of: (Int, String).self) { group in
                    for index in 0..<24 { group.addTask { (index, try await Self.text(daemon.client, index)) } }
                    return try await group.reduce(into: [:]) { $0[$1.0] = $1.1 }
                }
            }
            for _ in 0..<34 {
                let bytes = Int.random(in: least...(least + 160 << 20), using: &seed)
                let answer = try await daemon.admin.setMemory(bytes: bytes)
                #expect(answer["limit_bytes"]?.int == bytes && answer["warnings"] == [])
                try await Task.sleep(nanoseconds: 5_000_000)
            }
            let together = try await load.value
            for index in 0..<24 { #expect(together[index] == alone[index], "\(index)") }
        }
        #expect(daemon.lines.contains { $0.contains("instead of 192.0 MiB") })
        try await daemon.admin.setMemory(bytes: least)
        #expect(try await daemon.admin.pool()["pages"]?.int == (least - (try await fixed(daemon))) / (try await pageBytes(daemon)))
        // Less than the least is refused with the least, and nothing changes.
        do {
            try await daemon.admin.setMemory(bytes: least - (4 << 20))
            Issue.record("it was accepted")
        } catch {
            guard case .refused(let refusal) = error else { throw error }
            #expect(refusal.status == 400 && refusal.message.contains("the least is --memory \(least >> 20)M"), "\(refusal.message)")
        }
        #expect(try await daemon.admin.memory()["limit_bytes"]?.int == least)
        // More than the machine has is lowered, and said.
        let most = try await daemon.admin.setMemory(bytes: 1 << 50)
        #expect(most["limit_bytes"]?.int ?? .max < 1 << 50 && most["warnings"]?.array?.count == 1, "\(most.text)")
    }

    private func fixed(_ daemon: RealDaemon) async throws -> Int {
        let plan = try await daemon.admin.memory()["plan"]
        return ["weights", "activations", "process"].reduce(0) { $0 + (plan?[$1]?.int ?? 0) }
    }

    private func pageBytes(_ daemon: RealDaemon) async throws -> Int { try await daemon.admin.pool()["page_bytes"]?.int ?? 0 }

    /// The control group bounds the limit at start and later, and pressure takes from what can be read again; both are said, and shown.
    @Test func theKernelHasASay() async throws {
        let kernel = FakeKernel()
        try kernel.write("/proc/self/cgroup", "0::/berth\n")
        try kernel.write("/sys/fs/cgroup/berth/memory.max", "\(150 << 20)\n")
        let daemon = try await RealDaemon {
            $0.memory = ByteSize("192M")
            $0.kernelRoot = kernel.root
        }
        defer { daemon.stop() }
        func limit() async throws -> Int? { try await daemon.admin.memory()["limit_bytes"]?.int }
        func becomes(_ bytes: Int) async throws -> Bool {
            for _ in 0..<500 {
                if try await limit() == bytes { return true }
                try await Task.sleep(nanoseconds: 20_000_000)
            }
            return false
        }
        #expect(daemon.lines.contains { $0.contains("the control group allows 150.0 MiB: the limit of 192.0 MiB is lowered to that") })
        #expect(try await limit() == 150 << 20)
        let answer = try await daemon.admin.setMemory(bytes: 170 << 20)
        #expect(answer["limit_bytes"]?.int == 150 << 20 && answer["wanted_bytes"]?.int == 170 << 20 && answer["warnings"]?.array?.count == 1)
        try kernel.write("/sys/fs/cgroup/berth/memory.high", "\(130 << 20)\n")
        #expect(try await becomes(130 << 20))
        try kernel.write("/sys/fs/cgroup/berth/memory.high", "max\n")
        try kernel.write("/sys/fs/cgroup/berth/memory.max", "max\n")
        #expect(try await becomes(170 << 20))
        // Impossible is said once, and changes nothing.
        try kernel.write("/sys/fs/cgroup/berth/memory.max", "\(1 << 20)\n")
        _ = try #require(try await daemon.line("the kernel may end this process"))
        #expect(try await limit() == 170 << 20)
        try kernel.write("/sys/fs/cgroup/berth/memory.max", "max\n")

        for index in 0..<12 { _ = try await Self.text(daemon.client, index) }
        let idle = try await daemon.admin.pool(), pages = try #require(idle["pages"]?.int), touched = try #require(idle["touched"]?.int)
        #expect(touched > 0)
        var total = 1_000_000
        for _ in 0..<400 where try await daemon.admin.pool()["withheld"]?.int == 0 {
            total += 10_000
            try kernel.write("/sys/fs/cgroup/berth/memory.pressure", "some avg10=20.00 avg60=0.00 avg300=0.00 total=\(total)\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n")
            try await Task.sleep(nanoseconds: 20_000_000)
        }
        // All that was not touched is withheld, and a part of what was.
        let most = max(touched * 15 / 16, pages / 16), pressed = try await daemon.admin.pool()
        #expect(pressed["withheld"]?.int ?? 0 >= pages - most && pressed["touched"]?.int ?? .max <= most, "\(touched) of \(pages) pages, then \(pressed.text)")
        #expect(try await daemon.admin.memory()["withheld_bytes"]?.int ?? 0 > 0)
        #expect(daemon.lines.contains { $0.contains("memory pressure: the pool's caches do without 1 of 16 parts of the memory that it had") })
        #expect(daemon.lines.count { $0.contains("the kernel may end this process") } == 1)
    }

    /// A reload takes over a limit that has changed in the configuration, and leaves one that an administrator moved.
    @Test func aReloadMovesTheLimit() async throws {
        let configured = Box<ByteSize>()
        configured.set(ByteSize("160M")!)
        let daemon = try await RealDaemon(configured: configured) { $0.memory = ByteSize("160M") }
        defer { daemon.stop() }
        func reload() async throws {
            let count = daemon.lines.count
            daemon.reload()
            _ = try #require(try await daemon.line("reloaded", after: count))
        }
        try await daemon.admin.setMemory(bytes: 170 << 20)
        try await reload()
        #expect(try await daemon.admin.memory()["limit_bytes"]?.int == 170 << 20)
        configured.set(ByteSize("200M")!)
        try await reload()
        #expect(try await daemon.admin.memory()["limit_bytes"]?.int == 200 << 20)
        configured.set(ByteSize("8M")!)
        try await reload()
        #expect(try await daemon.admin.memory()["limit_bytes"]?.int == 200 << 20)
        #expect(daemon.lines.contains { $0.contains("the memory limit stays as it is") && $0.contains("the least is") })
    }
}
