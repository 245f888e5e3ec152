// Which adapters an administrator has loaded, unloaded and pinned, so that a restart finds what was there.
//
// One small JSON file per base model in the daemon's state directory:
// {"loaded": {"name": "/path", …}, "unloaded": ["name", …], "pinned": ["name", …], "tenants": {"name": ["acme", …], …}}. It used to lie in the cache directory, which
// anybody may empty, and is taken over from there once.

import BerthCore
import BerthStore
import Glibc
import OrderedCollections

struct AdapterRegistryFile: Sendable {
    struct Contents: Sendable, Equatable {
        /// By name: the directory.
        var loaded: OrderedDictionary<AdapterName, String> = [:]
        /// Adapters of the configured directory that were unloaded.
        var unloaded: Set<AdapterName> = []
        /// Whatever their files are: a pin belongs to the name.
        var pinned: Set<AdapterName> = []
        /// Whom loaded adapters are for, where that was said.
        var audiences: OrderedDictionary<AdapterName, AdapterAudience> = [:]
        /// What of the file is not understood, one sentence each.
        var problems: [String] = []
    }

    private let file: StateFile
    private let former: StateFile?

    /// - Parameters:
    ///   - formerDirectory: where the file may still lie.
    ///   - model: the checkpoint's directory: adapters belong to a base model.
    init(directory: String, formerDirectory: String?, model: String) {
        // A collision would show as adapters that do not fit.
        let name = "adapters-\(ModelTag.of(model)).json"
        file = StateFile(directory: directory, name: name, limit: Limits.adapterRegistryBytes)
        former = formerDirectory.flatMap { $0 == directory ? nil : StateFile(directory: $0, name: name, limit: Limits.adapterRegistryBytes) }
    }

    var path: String { file.path }

    /// Moves the file here from where it used to be, byte for byte. Returns the old path where there was something to move.
    func takeOver() throws(StoreError) -> String? {
        guard let former, try file.read() == nil, let bytes = try former.read() else { return nil }
        try file.write(bytes)
        former.remove()
        return former.path
    }

    /// What was written last; empty where nothing was.
    /// - Throws: where the file is there and cannot be read, or is no such list at all.
    func read() throws -> Contents {
        // Where it could not be taken over, what is there still holds.
        guard let bytes = try file.read() ?? former?.read() else { return Contents() }
        let json: JSON
        do { json = try JSON(parsing: bytes) } catch { throw AssemblyError("\(path): \(error)") }
        guard let members = json.object else { throw AssemblyError("\(path) is \(json.kind), not an object") }
        var contents = Contents()
        for (key, value) in members {
            switch (key, value) {
            case ("loaded", .object(let loaded)): for (name, path) in loaded { contents.add(loaded: name, path) }
            case ("tenants", .object(let audiences)): for (name, tenants) in audiences { contents.add(audience: name, tenants) }
            case ("unloaded", .array(let names)): contents.unloaded = contents.names(names, among: key)
            case ("pinned", .array(let names)): contents.pinned = contents.names(names, among: key)
            case ("loaded", _), ("unloaded", _), ("pinned", _), ("tenants", _): contents.problems.append("'\(key)' is \(value.kind)")
            default: contents.problems.append("'\(key.prefix(100))' is not known")
            }
        }
        return contents
    }

    /// Replaces what was written before; durable when it returns.
    func write(_ contents: Contents) throws(StoreError) {
        let loaded = OrderedDictionary(uniqueKeysWithValues: contents.loaded.map { ($0.key.text, JSON.string($0.value)) })
        func list(_ names: Set<AdapterName>) -> JSON { .array(names.sorted().map { .string($0.text) }) }
        let audiences = OrderedDictionary(
            uniqueKeysWithValues: contents.audiences.compactMap { name, audience in audience.texts.map { (name.text, JSON.array($0.map(JSON.string))) } })
        let json: JSON = [
            "loaded": .object(loaded), "unloaded": list(contents.unloaded), "pinned": list(contents.pinned), "tenants": .object(audiences),
        ]
        try file.write(json.utf8)
    }

    /// Keeps what is there under another name, which it returns.
    func setAside() throws(StoreError) -> String { try file.setAside() }
}

extension AdapterRegistryFile.Contents {
    fileprivate mutating func add(loaded text: String, _ value: JSON) {
        guard let name = AdapterName(text) else { return problems.append("'\(text.prefix(100))' cannot be an adapter's name") }
        guard let path = value.string, path.hasPrefix("/"), !path.utf8.contains(0) else {
            return problems.append("the path of adapter \(name) is \(value.text.prefix(100)), no absolute path")
        }
        loaded[name] = path
    }

    /// What cannot be understood is for nobody: it was meant for some only.
    fileprivate mutating func add(audience text: String, _ value: JSON) {
        guard let name = AdapterName(text) else { return problems.append("'\(text.prefix(100))' cannot be an adapter's name") }
        let texts = value.array.flatMap { elements in elements.allSatisfy { $0.string != nil } ? elements.compactMap(\.string) : nil }
        let audience = texts.flatMap { AdapterAudience($0) }
        if audience == nil { problems.append("the tenants of adapter \(name) are \(value.text.prefix(100)), no list of names: nobody may use it") }
        audiences[name] = audience ?? .only([])
    }

    fileprivate mutating func names(_ values: [JSON], among list: String) -> Set<AdapterName> {
        var names: Set<AdapterName> = []
        for value in values {
            if let name = value.string.flatMap({ AdapterName($0) }) {
                names.insert(name)
            } else {
                problems.append("\(value.text.prefix(100)) among the \(list) cannot be an adapter's name")
            }
        }
        return names
    }
}
