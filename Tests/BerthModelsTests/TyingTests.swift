// A head beside tied embeddings: used where it is another, tied where it is the same.

import BerthCore
import BerthKernels
import BerthStore
import Glibc
import Testing

@testable import BerthModels

@Suite struct TyingTests {
    /// A copy of a checkpoint whose configuration says that it ties, with the bytes of its head changed.
    private func model(of fixture: String, change: (inout [UInt8], _ head: Range<Int>, _ table: Range<Int>) -> Void) throws -> Model {
        let source = TestModel.fixture(fixture).folder
        var template = Array("/tmp/berth-models-XXXXXX".utf8CString)
        let folder = try #require(mkdtemp(&template).map { String(cString: $0) })
        defer {
            for name in ["config.json", "model.safetensors"] { unlink("\(folder)/\(name)") }
            rmdir(folder)
        }
        func write(_ bytes: [UInt8], _ name: String) throws {
            let file = try #require(fopen("\(folder)/\(name)", "wb"))
            fwrite(bytes, 1, bytes.count, file)
            fclose(file)
        }
        try write(JSON(parsing: contents(of: source + "/config.json")).adding("tie_word_embeddings", true).utf8, "config.json")
        var bytes = try contents(of: source + "/model.safetensors")
        let length = bytes[..<8].reversed().reduce(0) { $0 << 8 | Int($1) }
        let header = try JSON(parsing: Array(bytes[8..<8 + length]))
        func range(_ name: String) throws -> Range<Int> {
            let offsets = try #require(header[name]?["data_offsets"]?.array?.compactMap { $0.int })
            return 8 + length + offsets[0]..<8 + length + offsets[1]
        }
        change(&bytes, try range("lm_head.weight"), try range("model.embed_tokens.weight"))
        try write(bytes, "model.safetensors")
        return try Model(checkpoint: Checkpoint(directory: folder), format: .f32, compute: Compute(threads: 1), maxRows: 64, maxLogitRows: 64)
    }

    @Test(arguments: ["mistral", "qwen3", "mixtral"])
    func aHeadOfItsOwnIsUsed(fixture: String) throws {
        let own = try model(of: fixture) { _, _, _ in }
        #expect(!own.configuration.tiesEmbeddings && own.configuration.warnings.contains { $0.contains("lm_head.weight is not model.embed_tokens.weight") })
        let untied = try TestModel.fixture(fixture).model(.f32)
        #expect(!untied.configuration.tiesEmbeddings && untied.configuration.warnings.isEmpty)
        for name in ["lm_head", "model.embed_tokens"] { #expect(own.bytes(of: name) == untied.bytes(of: name)) }

        let same = try model(of: fixture) { bytes, head, table in bytes.replaceSubrange(head, with: bytes[table]) }
        #expect(same.configuration.tiesEmbeddings && same.configuration.warnings.isEmpty && !same.weightPlan.contains("lm_head"))
        // The last value alone decides, too.
        let nearly = try model(of: fixture) { bytes, head, table in
            bytes.replaceSubrange(head, with: bytes[table])
            bytes[head.upperBound - 1] ^= 1
        }
        #expect(!nearly.configuration.tiesEmbeddings)
    }
}

extension Model {
    fileprivate func bytes(of extent: String) -> [UInt8] {
        let extent = weightPlan[extent]
        return Array(packedWeights[extent.offset..<extent.offset + extent.bytes])
    }
}
