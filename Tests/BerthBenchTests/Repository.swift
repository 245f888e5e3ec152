// Where the tests find small models, and files that they write.

import BerthCore
import BerthKernels
import BerthModels
import BerthStore
import Glibc
import Testing

enum Repository {
    static let root = #filePath.split(separator: "/").dropLast(3).map { "/" + $0 }.joined()
    /// A trained model with a tokenizer and adapters.
    static let demo = root + "/Deploy/demo"
    static func fixture(_ name: String) -> String { "\(root)/Tests/BerthModelsTests/Fixtures/\(name)" }

    static func model(_ directory: String, _ format: WeightFormat = .bf16, maxRows: Int = 64) throws -> Model {
        try Model(checkpoint: Checkpoint(directory: directory), format: format, compute: Compute(threads: 2), maxRows: maxRows, maxLogitRows: maxRows)
    }
}

/// A folder that goes with the object.
final class TemporaryFolder {
    let path: String

    init() throws {
        var name = Array("/tmp/berth-bench-XXXXXX".utf8CString)
        path = String(cString: try #require(mkdtemp(&name)))
    }

    deinit {
        for name in ["text", "tokens", "logits"] { unlink("\(path)/\(name)") }
        rmdir(path)
    }

    func write(_ bytes: some Sequence<UInt8>, to name: String) throws -> String {
        let file = try #require(fopen("\(path)/\(name)", "wb"))
        defer { fclose(file) }
        let bytes = Array(bytes)
        #expect(fwrite(bytes, 1, bytes.count, file) == bytes.count)
        return "\(path)/\(name)"
    }
}
