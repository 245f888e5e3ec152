// Adapters that come, go and change while nobody reloads.

import BerthClient
import BerthCore
import BerthLoop
import Foundation
import Testing

@testable import BerthServer

@Suite struct SettlingTests {
    @Test func aSecondOfQuietSettles() {
        var changes = SettlingChanges()
        let second: UInt64 = 1_000_000_000
        #expect(changes.changed(now: 5 * second) == 6 * second)
        #expect(changes.changed(now: 5 * second + 7) == 6 * second + 7)
        // Where it never stops, somebody looks in the end.
        #expect(changes.changed(now: 34 * second + 500_000_000) == 35 * second)
        changes.settled()
        #expect(changes.changed(now: 40 * second) == 41 * second)
    }

    @Test func adaptersLieInFoldersAndTheirFolders() throws {
        let root = NSTemporaryDirectory() + "berth-watched-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: root) }
        for path in ["a/inner/deeper", "b", ".hidden/x"] { try FileManager.default.createDirectory(atPath: "\(root)/\(path)", withIntermediateDirectories: true) }
        try "x".write(toFile: "\(root)/file", atomically: true, encoding: .utf8)
        let folders = WatchedFolder.list(root)
        #expect(folders.map(\.path) == ["", "/a", "/a/inner", "/b"].map { root + $0 })
        #expect(WatchedFolder.list(root + "/nowhere").isEmpty)
        // Another folder of the same name is not the one that is watched.
        try FileManager.default.createDirectory(atPath: root + "/c", withIntermediateDirectories: true)
        rename(root + "/b", root + "/old")
        rename(root + "/c", root + "/b")
        #expect(Set(WatchedFolder.list(root)).subtracting(folders).map(\.path).sorted() == ["/b", "/old"].map { root + $0 })
    }
}

@Suite(.serialized) struct AdapterWatchTests {
    private let folder = NSTemporaryDirectory() + "berth-watch-\(UUID().uuidString)"

    private func put(_ adapter: String, as name: String) throws {
        try? FileManager.default.removeItem(atPath: "\(folder)/\(name)")
        try FileManager.default.createDirectory(atPath: ("\(folder)/\(name)" as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
        try FileManager.default.copyItem(atPath: "\(RealDaemon.demo)/adapters/\(adapter)", toPath: "\(folder)/\(name)")
    }

    private func answer(_ daemon: RealDaemon, _ model: String) async throws -> String {
        try await daemon.client.complete(CompletionRequest(model: model, prompt: "80 =", options: SamplingOptions(maxTokens: 20, temperature: 0))).text
    }

    @Test func changesTakeEffectByThemselves() async throws {
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try put("french", as: "one")
        try put("german", as: "gone")
        try FileManager.default.createDirectory(atPath: "\(folder)/empty", withIntermediateDirectories: true)
        let daemon = try await RealDaemon(adapters: folder) { $0.watchAdapters = .on }
        defer { daemon.stop() }
        let french = try await answer(daemon, "one")

        // What comes, in a folder and in a folder's folder, and what goes.
        var count = daemon.lines.count
        try put("spanish", as: "new")
        try put("roman", as: "nested/default")
        try FileManager.default.removeItem(atPath: "\(folder)/gone")
        let summary = try #require(try await daemon.line("the adapters directory has changed", after: count))
        #expect(summary.contains("2 added, 0 changed, 1 removed, 0 refused"), "\(summary)")
        for text in ["adapter new is new", "adapter nested is new", "adapter gone is removed"] { #expect(daemon.lines.contains { $0.contains(text) }, "\(text)") }
        #expect(try await daemon.client.models().map(\.name).sorted() == ["demo", "nested", "new", "one"])
        #expect(try await answer(daemon, "new") != french)

        // A file that is written piece by piece is looked at when it is whole.
        count = daemon.lines.count
        let whole = try Data(contentsOf: URL(fileURLWithPath: "\(RealDaemon.demo)/adapters/german/adapter_model.safetensors"))
        let configuration = try Data(contentsOf: URL(fileURLWithPath: "\(RealDaemon.demo)/adapters/german/adapter_config.json"))
        let target = "\(folder)/slow"
        try FileManager.default.createDirectory(atPath: target, withIntermediateDirectories: true)
        try configuration.write(to: URL(fileURLWithPath: "\(target)/adapter_config.json"))
        FileManager.default.createFile(atPath: "\(target)/adapter_model.safetensors", contents: nil)
        let file = try #require(FileHandle(forWritingAtPath: "\(target)/adapter_model.safetensors"))
        for piece in 0..<8 {
            try file.write(contentsOf: whole[(whole.count * piece / 8)..<(whole.count * (piece + 1) / 8)])
            try await Task.sleep(nanoseconds: 300_000_000)
        }
        try file.close()
        _ = try #require(try await daemon.line("adapter slow is new", after: count))
        #expect(!daemon.lines.dropFirst(count).contains { $0.contains("refused:") })
        // What has been said before is not said again.
        #expect(daemon.lines.count { $0.contains("adapter folder empty is left out") } == 1)

        // A version in place of another.
        count = daemon.lines.count
        try put("german", as: "one.new")
        rename("\(folder)/one", "\(folder)/one.old")
        rename("\(folder)/one.new", "\(folder)/one")
        _ = try #require(try await daemon.line("adapter one has changed", after: count))
        #expect(try await answer(daemon, "one") == answer(daemon, "slow"))
        // And the new folder is watched like the old one.
        count = daemon.lines.count
        for name in ["adapter_config.json", "adapter_model.safetensors"] {
            try Data(contentsOf: URL(fileURLWithPath: "\(RealDaemon.demo)/adapters/french/\(name)")).write(to: URL(fileURLWithPath: "\(folder)/one/\(name)"))
        }
        _ = try #require(try await daemon.line("adapter one has changed", after: count))
        #expect(try await answer(daemon, "one") == french)
    }

    /// A directory that comes later, goes and comes again.
    @Test func theDirectoryItselfMayGo() async throws {
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        let daemon = try await RealDaemon(adapters: folder) { $0.watchAdapters = .on }
        defer { daemon.stop() }
        var count = daemon.lines.count
        try put("french", as: "one")
        _ = try #require(try await daemon.line("adapter one is new", after: count))
        count = daemon.lines.count
        rename(folder, folder + ".away")
        defer { try? FileManager.default.removeItem(atPath: folder + ".away") }
        _ = try #require(try await daemon.line("adapters directory", after: count))
        count = daemon.lines.count
        rename(folder + ".away", folder)
        try put("german", as: "two")
        _ = try #require(try await daemon.line("adapter two is new", after: count))
    }
}
