// Which files of a checkpoint's folder hold its tensors, and which tensors those are.
//
// Folders of the world hold more than one checkpoint's worth: a single file left beside the shards it was split into, shards left beside
// the file they were merged into, the makers' own format. What is read follows transformers where transformers can load the folder at all: one
// complete `model.safetensors`, else the shards of the index. Whatever is there and not read is said.

import BerthCore

/// The tensors of a checkpoint, found in a folder.
struct CheckpointFiles {
    private(set) var files: [SafetensorsFile] = []
    private(set) var tensors: [String: TensorView] = [:]
    /// Their dtypes.
    private(set) var unusable: [String: String] = [:]
    /// Tensors that the index does not list.
    private(set) var unlisted: Set<String> = []
    private(set) var warnings: [String] = []

    private static let single = "model.safetensors"
    private static let index = "model.safetensors.index.json"

    /// Opens the files in `directory`. Throws what is missing or contradicts itself, by name.
    init(directory: String) throws(StoreError) {
        func path(_ name: String) -> String { "\(directory)/\(name)" }
        let others = try fileNames(in: directory).filter { $0.hasSuffix(".safetensors") }
        if exists(path(Self.index)) {
            let index = try CheckpointIndex(path: path(Self.index))
            if !index.files.contains(Self.single), exists(path(Self.single)), try takeSingle(path(Self.single), beside: index) {
                report(others.filter { $0 != Self.single }, "\(Self.single) has all tensors that \(Self.index) lists")
            } else {
                try takeShards(of: index, directory)
                report(others.filter { !index.files.contains($0) && $0 != Self.single }, "not named by \(Self.index)")
            }
        } else if exists(path(Self.single)) {
            take(try SafetensorsFile(path: path(Self.single))) { _ in true }
            report(others.filter { $0 != Self.single }, "there is no \(Self.index), so \(Self.single) is the checkpoint")
        } else {
            throw Self.nothing(in: directory, others)
        }
    }

    /// Takes a single file that has every tensor of the index; false, with a warning, where it does not.
    private mutating func takeSingle(_ path: String, beside index: CheckpointIndex) throws(StoreError) -> Bool {
        let lack: String
        do throws(StoreError) {
            let file = try SafetensorsFile(path: path)
            let names = Set(file.header.entries.map(\.name))
            guard let missing = index.tensors.filter({ !names.contains($0) }).min() else {
                take(file) { _ in true }
                return true
            }
            lack = "it lacks tensor '\(missing)', which \(Self.index) lists"
        } catch {
            lack = error.message
        }
        warnings.append("\(Self.single) is not read: \(lack)")
        return false
    }

    private mutating func takeShards(of index: CheckpointIndex, _ directory: String) throws(StoreError) {
        for name in index.files {
            let shard = try SafetensorsFile(path: "\(directory)/\(name)")
            for entry in shard.header.entries where index.shard(of: entry.name) != name {
                if let place = index.shard(of: entry.name) {
                    warnings.append("tensor '\(entry.name)' in \(name) is not read: the index places it in \(place)")
                } else if unlisted.insert(entry.name).inserted {
                    warnings.append("tensor '\(entry.name)' in \(name) is not listed by the index; it is used if the model has such a tensor")
                }
            }
            let present = Set(shard.header.entries.map(\.name))
            if let missing = index.tensors.filter({ index.shard(of: $0) == name && !present.contains($0) }).min() {
                throw StoreError(.missing, "tensor '\(missing)' is not in \(name), where the index places it", path: index.path)
            }
            take(shard) { index.shard(of: $0) == name || index.shard(of: $0) == nil }
        }
    }

    private mutating func take(_ file: SafetensorsFile, where isWanted: (String) -> Bool) {
        files.append(file)
        tensors.merge(file.tensors.filter { isWanted($0.key) }) { first, _ in first }
        unusable.merge(file.unusable.filter { isWanted($0.key) }) { first, _ in first }
    }

    private mutating func report(_ unread: [String], _ reason: String) {
        guard let first = unread.first else { return }
        let names = unread.count <= 4 ? unread.joined(separator: ", ") : "\(first) and \(unread.count - 1) more .safetensors files"
        let verb = unread.count == 1 ? "is" : "are"
        warnings.append("\(names) \(verb) not read: \(reason)")
    }

    private static func nothing(in directory: String, _ others: [String]) -> StoreError {
        for pickle in ["pytorch_model.bin", "pytorch_model.bin.index.json", "model.pt", "consolidated.00.pth"] where exists("\(directory)/\(pickle)") {
            return StoreError(
                .unsupported, "\(pickle) is a pickle, which can run code; only safetensors are read (convert it with save_pretrained)", path: directory)
        }
        let there = others.isEmpty ? "" : " (there is \(others.prefix(4).joined(separator: ", "))\(others.count > 4 ? ", …" : ""))"
        return StoreError(.unreadable, "there is neither \(single) nor \(index)\(there)", path: directory)
    }
}

/// `model.safetensors.index.json`: which tensor is in which shard.
struct CheckpointIndex {
    /// Names of the shards, sorted.
    let files: [String]
    let path: String
    private let shardOfTensor: [String: String]

    var tensors: some Collection<String> { shardOfTensor.keys }
    func shard(of tensor: String) -> String? { shardOfTensor[tensor] }

    init(path: String) throws(StoreError) {
        func refuse(_ reason: String) -> StoreError { StoreError(.malformed, "\(fileName(path)): \(reason)", path: path) }
        let json = try ReadableFile.configuration(path, limit: Limits.checkpointIndexBytes)
        guard let map = json["weight_map"]?.object else { throw refuse("weight_map is missing or not an object") }
        var shardOfTensor: [String: String] = [:]
        for (tensor, value) in map {
            guard let file = value.string else { throw refuse("weight_map['\(tensor)'] is \(value.kind), not a file name") }
            guard isPlainFileName(file), file.hasSuffix(".safetensors") else {
                throw refuse("weight_map['\(tensor)'] is not the plain name of a .safetensors file: '\(file)'")
            }
            shardOfTensor[tensor] = file
        }
        guard !shardOfTensor.isEmpty else { throw refuse("weight_map is empty") }
        files = Set(shardOfTensor.values).sorted()
        guard files.count <= Limits.checkpointShards else { throw refuse("\(files.count) shards are more than \(Limits.checkpointShards)") }
        self.shardOfTensor = shardOfTensor
        self.path = path
    }
}
