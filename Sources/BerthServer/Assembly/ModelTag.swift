// What tells the state of one base model from that of another in the same directory.

import BerthCore
import Glibc

enum ModelTag {
    /// A name for the checkpoint at `path`, the same through whatever symbolic links it is reached.
    static func of(_ path: String) -> String {
        let resolved = realpath(path, nil)
        defer { free(resolved) }
        // FNV-1a: only tells models of one machine apart.
        let hash = (resolved.map { String(cString: $0) } ?? path).utf8.reduce(0xcbf2_9ce4_8422_2325 as UInt64) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
        return String(hash, radix: 16)
    }
}

extension Configuration {
    /// Where files and batches are kept: each base model has its own, since a line names its adapters. Nil where nothing is kept.
    var batchDirectory: String? {
        guard let stateDirectory, let model else { return nil }
        return "\(stateDirectory)/batches-\(ModelTag.of(model))"
    }
}
