// Files about routing: what the next start may begin with, and recordings for `berth-bench replay`.
//
// The history is a hint. It lies beside the images, one file for a checkpoint and format, and one that cannot be read or does not fit is as good as none.

import BerthCore
import BerthModels
import BerthStore
import Foundation
import Logging

/// How often each expert of a model was chosen, across restarts.
struct RoutingHistory: Sendable {
    private let path: String

    init(directory: String, model: String, experts: Int) {
        path = "\(directory)/routing-\(Digest.label(of: model))-\(experts).history"
    }

    /// Nil where there is none, or none for so many experts.
    func read(experts: Int) -> [Float]? {
        guard let data = FileManager.default.contents(atPath: path), data.count == experts * 4 else { return nil }
        return data.withUnsafeBytes { bytes in
            (0..<experts).map { Float(bitPattern: UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: $0 * 4, as: UInt32.self))) }
        }
    }

    /// Replaces what was there, whole or not at all.
    func write(_ popularity: [Float]) throws {
        var data = Data(capacity: popularity.count * 4)
        for value in popularity { withUnsafeBytes(of: value.bitPattern.littleEndian) { data.append(contentsOf: $0) } }
        try data.write(to: URL(fileURLWithPath: path), options: .atomic)
    }
}

/// A recording under way. Used by the engine's thread alone.
final class RoutingFile: @unchecked Sendable {
    // Unchecked: the engine's thread is the only one that writes after `init`.
    private let file: FileHandle
    private let logger: Logger
    private var hasFailed = false

    init(path: String, logger: Logger) throws {
        guard FileManager.default.createFile(atPath: path, contents: nil), let file = FileHandle(forWritingAtPath: path) else {
            throw AssemblyError("--record-routing: cannot write \(path)")
        }
        self.file = file
        self.logger = logger
    }

    func write(_ bytes: [UInt8]) {
        if hasFailed { return }
        do {
            try file.write(contentsOf: bytes)
        } catch {
            hasFailed = true
            logger.error("the recording of the routing ends here: \(error)")
        }
    }
}
