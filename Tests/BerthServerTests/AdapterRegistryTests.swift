// The files in which the daemon remembers adapters, byte by byte.

import BerthCore
import BerthStore
import Foundation
import Testing

@testable import BerthServer

@Suite struct AdapterRegistryTests {
    private final class Folder {
        let path = NSTemporaryDirectory() + "berth-registry-\(UUID().uuidString)"
        deinit { try? FileManager.default.removeItem(atPath: path) }
    }

    private let folder = Folder()
    private var file: AdapterRegistryFile { AdapterRegistryFile(directory: folder.path, formerDirectory: nil, model: "/m") }

    private func write(_ text: String) throws {
        try FileManager.default.createDirectory(atPath: folder.path, withIntermediateDirectories: true)
        try text.write(toFile: file.path, atomically: true, encoding: .utf8)
    }

    @Test func whatIsWrittenIsRead() throws {
        var contents = AdapterRegistryFile.Contents()
        #expect(try file.read() == contents)
        contents.loaded = [AdapterName("org/z")!: "/z", AdapterName("a")!: "/a b"]
        contents.unloaded = [AdapterName("c")!]
        contents.pinned = [AdapterName("a")!, AdapterName("d")!]
        contents.audiences = [AdapterName("a")!: .only([TenantName("acme")!, TenantName("beta")!]), AdapterName("org/z")!: .everybody]
        try file.write(contents)
        #expect(try file.read() == contents)
    }

    /// What is not understood is named, and the rest holds.
    @Test func oddEntriesAreNamed() throws {
        try write(#"{"loaded": {"a": "/a", "../b": "/b", "c": 3, "d": "relative"}, "unloaded": ["e", ".f", 4], "pinned": ["a", null], "later": {}}"#)
        let contents = try file.read()
        #expect(contents.loaded == [AdapterName("a")!: "/a"] && contents.unloaded == [AdapterName("e")!] && contents.pinned == [AdapterName("a")!])
        #expect(contents.problems == [
            "'../b' cannot be an adapter's name", "the path of adapter c is 3, no absolute path", "the path of adapter d is \"relative\", no absolute path",
            "\".f\" among the unloaded cannot be an adapter's name", "4 among the unloaded cannot be an adapter's name", "null among the pinned cannot be an adapter's name", "'later' is not known",
        ])
        // What was meant for some is for nobody where it cannot be read.
        try write(#"{"tenants": {"a": ["acme"], "b": "acme", "c": ["-"], "d": [3], "../e": [], "f": []}}"#)
        let tenants = try file.read()
        #expect(tenants.audiences.map { "\($0.key) \($0.value.texts ?? ["?"])" } == [#"a ["acme"]"#, "b []", "c []", "d []", "f []"])
        #expect(tenants.problems.count == 4 && tenants.problems[0] == "the tenants of adapter b are \"acme\", no list of names: nobody may use it")
        try write(#"{"loaded": [], "unloaded": {}}"#)
        #expect(try file.read().problems == ["'loaded' is an array", "'unloaded' is an object"])
    }

    @Test(arguments: ["", "{", "[]", "3", "{\"loaded\": {\"a\": \"/a\"}"])
    func whatIsNoListIsRefused(text: String) throws {
        try write(text)
        #expect(throws: AssemblyError.self) { try file.read() }
        #expect(try file.setAside() == file.path + ".unreadable-1")
        #expect(try file.read() == AdapterRegistryFile.Contents())
    }

    @Test func isTakenOverOnce() throws {
        let new = AdapterRegistryFile(directory: folder.path + "/new", formerDirectory: folder.path, model: "/m")
        #expect(try new.takeOver() == nil)
        try write(#"{"loaded": {"a": "/a"}}"#)
        #expect(try new.read().loaded.count == 1, "before it is taken over, too")
        #expect(try new.takeOver() == file.path && new.takeOver() == nil)
        #expect(try new.read().loaded.count == 1 && file.read().loaded.isEmpty)
        // A daemon of an older version wrote to the old place: what is here holds.
        try write(#"{"loaded": {"b": "/b"}}"#)
        #expect(try new.takeOver() == nil && new.read().loaded.keys.first == AdapterName("a"))
        #expect(try AdapterRegistryFile(directory: folder.path, formerDirectory: folder.path, model: "/m").takeOver() == nil)
    }

    @Test func reloadsAreSummedUp() {
        var reload = AdapterReload()
        reload.added = [AdapterName("a")!]
        reload.unchanged = 7
        #expect(reload.summary == "1 added, 0 changed, 0 removed, 0 refused, 7 as before")
    }
}
