// A Hugging Face checkpoint on disk: `config.json` and the tensors, in one safetensors file or in shards with an index.
//
// Opened once at start, held while the model is packed, then dropped. Nothing in it is trusted: the index may only
// name plain files of the same directory (which may be symbolic links, as in model caches), and every tensor that it lists must be where it
// says (CheckpointFiles.swift), so that a wrong or half-copied checkpoint is refused by name instead of served.

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
    /// Tensors in files of this checkpoint that its index does not list. A model that needs them may use them.
    public let unlistedTensors: Set<String>
    /// What is odd about the files and yet has a meaning, in sentences for a log.
    public let warnings: [String]
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

        let found = try CheckpointFiles(directory: directory)
        (files, tensors, unusableTensors) = (found.files, found.tensors, found.unusable)
        (unlistedTensors, warnings) = (found.unlisted, found.warnings)
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

/// A name that cannot lead out of its directory.
func isPlainFileName(_ name: String) -> Bool {
    !name.isEmpty && !name.hasPrefix(".") && !name.utf8.contains { $0 == UInt8(ascii: "/") || $0 == 0 } && name.utf8.count <= 255
}

/// Whether something stands at `path` (a broken symbolic link does not count).
func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }
