// What the configured adapters directory holds: one folder for each adapter, and whatever else people put there.

import BerthCore
import BerthStore
import Glibc

/// One look at the directory. Nothing of a folder is opened.
struct AdapterFolders {
    /// Folders that hold an adapter, or several, by the names that they give; in the order of their names.
    private(set) var found: [(name: AdapterName, path: String)] = []
    /// What is there and will not be served, one sentence for the log each.
    private(set) var notes: [String] = []

    /// - Throws: where the directory cannot be read.
    init(_ directory: String, reserved: Set<String>) throws {
        if access("\(directory)/\(AdapterCheckpoint.configurationName)", F_OK) == 0 {
            notes.append("the adapters directory \(directory) holds an adapter itself, which is left out: adapters are looked for in its folders")
        }
        for folder in try Self.folders(of: directory) {
            let path = "\(directory)/\(folder)"
            do {
                guard case .none = try AdapterPlace(of: path) else {
                    guard let name = AdapterName(folder), !reserved.contains(folder) else {
                        notes.append("adapter folder \(folder) is left out: its name cannot be an adapter's")
                        continue
                    }
                    found.append((name, path))
                    continue
                }
                notes.append("adapter folder \(folder) is left out: there is no \(AdapterCheckpoint.configurationName) in it or one folder further down")
            } catch {
                notes.append("adapter folder \(folder) is left out: \(error)")
            }
        }
    }

    /// Names of the folders, symbolic links to folders among them; hidden ones left out.
    static func folders(of directory: String) throws -> [String] {
        guard let listing = opendir(directory) else { throw AssemblyError("adapters directory \(directory): \(String(cString: strerror(errno)))") }
        defer { closedir(listing) }
        var folders: [String] = []
        while let entry = readdir(listing) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: MemoryLayout.size(ofValue: entry.pointee.d_name)) { String(cString: $0) }
            }
            var status = stat()
            guard !name.hasPrefix("."), stat("\(directory)/\(name)", &status) == 0, status.st_mode & S_IFMT == S_IFDIR else { continue }
            folders.append(name)
        }
        return folders.sorted()
    }
}
