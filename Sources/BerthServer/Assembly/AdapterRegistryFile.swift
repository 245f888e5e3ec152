// Which adapters an administrator has loaded and unloaded, so that a restart finds what was there.
//
// One small JSON file per base model in the daemon's cache directory:
// {"loaded": {"name": "/path", …}, "unloaded": ["name", …]}. Written whole, to a temporary file, then renamed over the old one, so
// that it is always either the old state or the new.

import BerthCore
import BerthStore
import Glibc
import OrderedCollections

struct AdapterRegistryFile: Sendable {
    struct Contents: Sendable, Equatable {
        /// Name to directory.
        var loaded: OrderedDictionary<String, String> = [:]
        /// Adapters of the configured directory that were unloaded.
        var unloaded: Set<String> = []
    }

    private let directory: String
    private let path: String

    /// `model` is the checkpoint's directory: adapters belong to a base model.
    init(directory: String, model: String) {
        self.directory = directory
        let resolved = realpath(model, nil)
        defer { free(resolved) }
        let name = resolved.map { String(cString: $0) } ?? model
        // FNV-1a: only tells models of one machine apart; a collision would show as adapters that do not fit.
        let hash = name.utf8.reduce(0xcbf2_9ce4_8422_2325 as UInt64) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
        path = "\(directory)/adapters-\(String(hash, radix: 16)).json"
    }

    /// What was written last; empty where nothing was.
    /// - Throws: a sentence, where the file is there and cannot be understood.
    func read() throws -> Contents {
        guard let file = fopen(path, "r") else {
            if errno == ENOENT || errno == ENOTDIR { return Contents() }
            throw AssemblyError("\(path): \(String(cString: strerror(errno)))")
        }
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = fread(&buffer, 1, buffer.count, file)
            if count == 0 { break }
            bytes += buffer[..<count]
            guard bytes.count <= Limits.configurationFileBytes * 8 else { throw AssemblyError("\(path): too large for a list of adapters") }
        }
        let json: JSON
        do { json = try JSON(parsing: bytes) } catch { throw AssemblyError("\(path): \(error)") }
        var contents = Contents()
        for (name, value) in json["loaded"]?.object ?? [:] { contents.loaded[name] = value.string }
        contents.unloaded = Set((json["unloaded"]?.array ?? []).compactMap(\.string))
        return contents
    }

    /// Replaces what was written before.
    func write(_ contents: Contents) throws {
        let loaded = OrderedDictionary(uniqueKeysWithValues: contents.loaded.map { ($0.key, JSON.string($0.value)) })
        let json: JSON = ["loaded": .object(loaded), "unloaded": .array(contents.unloaded.sorted().map(JSON.string))]
        for end in directory.indices.dropFirst() where directory[end] == "/" { mkdir(String(directory[..<end]), 0o755) }
        mkdir(directory, 0o755)
        let temporary = path + ".new"
        guard let file = fopen(temporary, "w") else { throw AssemblyError("\(temporary): \(String(cString: strerror(errno)))") }
        let bytes = json.utf8
        let isWritten = fwrite(bytes, 1, bytes.count, file) == bytes.count && fflush(file) == 0 && fsync(fileno(file)) == 0
        let code = errno
        fclose(file)
        guard isWritten, rename(temporary, path) == 0 else {
            throw AssemblyError("\(path): \(String(cString: strerror(isWritten ? errno : code)))")
        }
    }
}
