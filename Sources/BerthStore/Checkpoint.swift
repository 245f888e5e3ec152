// A Hugging Face checkpoint on disk: `config.json` and the tensors, in one safetensors file or in shards with an index.
//
// Opened once at start, held while the model is packed, then dropped. Nothing in it is trusted: the index may only
// name plain files of the same directory (which may be symbolic links, as in model caches), and index and shards must
// agree on every tensor, so that a wrong or half-copied checkpoint is refused by name instead of served.

import BerthCore
import Glibc

/// A base model's directory, checked as far as that is possible without knowing its architecture.
public final class Checkpoint: Sendable {
    public let directory: String
    /// `config.json`.
    public let config: JSON
    /// `generation_config.json`, where there is one.
    public let generationConfig: JSON?
    /// Every tensor of a usable type, by name.
    public let tensors: [String: TensorView]
    /// The dtypes of tensors that are present in a type that is not supported, by name.
    public let unusableTensors: [String: String]
    /// Sum of the files' bytes.
    public let bytes: Int

    private let files: [SafetensorsFile]

    /// Opens the checkpoint in `directory`; throws what is wrong with it, naming the file, tensor or field.
    public init(directory: String) throws(StoreError) {
        self.directory = directory
        config = try ReadableFile.configuration(directory + "/config.json")
        let generationPath = directory + "/generation_config.json"
        // Not `nil`, which would be the JSON value null.
        generationConfig = exists(generationPath) ? try ReadableFile.configuration(generationPath) : Optional<JSON>.none

        let singlePath = directory + "/model.safetensors"
        let indexPath = singlePath + ".index.json"
        if exists(singlePath) {
            files = [try SafetensorsFile(path: singlePath)]
        } else if exists(indexPath) {
            let index = try CheckpointIndex(path: indexPath)
            var shards: [SafetensorsFile] = []
            for name in index.files { shards.append(try SafetensorsFile(path: "\(directory)/\(name)")) }
            for (name, shard) in zip(index.files, shards) { try index.check(shard.header, of: name) }
            files = shards
        } else {
            for pickle in ["pytorch_model.bin", "pytorch_model.bin.index.json", "model.pt", "consolidated.00.pth"] where exists("\(directory)/\(pickle)") {
                throw StoreError(
                    .unsupported, "\(pickle) is a pickle, which can run code; only safetensors are read (convert it with save_pretrained)", path: directory)
            }
            throw StoreError(.unreadable, "there is neither model.safetensors nor model.safetensors.index.json", path: directory)
        }
        tensors = files.reduce(into: [:]) { all, file in all.merge(file.tensors) { first, _ in first } }
        unusableTensors = files.reduce(into: [:]) { all, file in all.merge(file.unusable) { first, _ in first } }
        bytes = files.reduce(0) { $0 + $1.bytes }
    }

    /// The tensor `name`; throws where it is absent or of a dtype that is not supported.
    public func tensor(_ name: String) throws(StoreError) -> TensorView {
        if let tensor = tensors[name] { return tensor }
        if let dtype = unusableTensors[name] { throw StoreError(.unsupported, "tensor '\(name)' has dtype \(dtype), which is not supported", path: directory) }
        throw StoreError(.missing, "tensor '\(name)' is missing", path: directory)
    }

    /// Names this version of the checkpoint without reading the weights: `config.json`, and each file's name, header, size
    /// and time of modification. Whoever edits weights in place and restores the time of modification is not noticed;
    /// everything else is (a copy of a checkpoint counts as another one). Takes milliseconds.
    public func digest() -> Digest {
        var builder = DigestBuilder()
        builder.update("berth checkpoint 1")
        builder.update(config.utf8)
        for file in files {
            builder.update(fileName(file.path))
            builder.update(file.header.digest.bytes)
            let identity = file.file.identity
            builder.update("\(identity.bytes) \(identity.modifiedSeconds).\(identity.modifiedNanoseconds)")
        }
        return builder.finish()
    }

    /// Names the contents exactly, whatever the files' dates: reads everything (about a second per GB).
    public func contentDigest() throws(StoreError) -> Digest {
        var builder = DigestBuilder()
        builder.update("berth checkpoint contents 1")
        builder.update(config.utf8)
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 64)
        defer { buffer.deallocate() }
        for file in files {
            builder.update(fileName(file.path))
            builder.update("\(file.bytes)")
            var offset = 0
            while offset < file.bytes {
                let piece = UnsafeMutableRawBufferPointer(rebasing: buffer[..<min(buffer.count, file.bytes - offset)])
                try file.file.read(at: offset, into: piece)
                builder.update(UnsafeRawBufferPointer(piece))
                offset += piece.count
            }
        }
        return builder.finish()
    }
}

/// `model.safetensors.index.json`: which tensor is in which shard.
struct CheckpointIndex {
    /// Names of the shards, sorted.
    let files: [String]
    private let shardOfTensor: [String: String]
    private let path: String

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

    /// Checks that the shard `name` holds exactly the tensors that the index places there.
    func check(_ header: SafetensorsHeader, of name: String) throws(StoreError) {
        var expected = Set(shardOfTensor.lazy.filter { $0.value == name }.map(\.key))
        for entry in header.entries where expected.remove(entry.name) == nil {
            let place = shardOfTensor[entry.name].map { "the index places in \($0)" } ?? "the index does not list"
            throw StoreError(.malformed, "\(name) holds tensor '\(entry.name)', which \(place)", path: path)
        }
        if let missing = expected.min() {
            throw StoreError(.missing, "tensor '\(missing)' is not in \(name), where the index places it", path: path)
        }
    }
}

/// A name that cannot lead out of its directory.
func isPlainFileName(_ name: String) -> Bool {
    !name.isEmpty && !name.hasPrefix(".") && !name.utf8.contains { $0 == UInt8(ascii: "/") || $0 == 0 } && name.utf8.count <= 255
}

/// Whether something stands at `path` (a broken symbolic link does not count).
func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }
